from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from parcels_case import DAY0, ParcelUseCase, parcels

from modelway.contract import DataContract, Outcome, RowRule
from modelway.data.report import contract_report, freshness
from modelway.data.validation import Inspection
from modelway.errors import ContractError

CONTRACT = ParcelUseCase.contract


def _report(inspection: Inspection, contract: DataContract = CONTRACT):
    return contract_report(contract, inspection.seen)


def test_a_sound_table_is_kept_whole() -> None:
    inspection = Inspection(CONTRACT)

    kept, aside = inspection.take(parcels(5))

    assert kept.equals(parcels(5))
    assert aside.is_empty()
    assert _report(inspection).passed


def test_every_rule_is_named_with_its_count_even_when_nobody_broke_it() -> None:
    inspection = Inspection(CONTRACT)
    inspection.take(parcels(4, zone=["north", "west", "?", None], weight_kg=[0.0, 1.0, 2.0, 3.0]))

    rules = _report(inspection).evidence["rules"]

    assert {name: found["rows"] for name, found in rules.items()} == {
        "arrived_before_sent": 0,
        "zone_code": 2,
        "weightless": 1,
        "duplicate_key": 0,
    }


def test_a_repair_replaces_only_the_broken_cells() -> None:
    kept, _ = Inspection(CONTRACT).take(parcels(4, zone=["north", "west", "south", None]))

    assert kept["zone"].to_list() == ["north", None, "south", None]


def test_a_quarantined_row_is_kept_with_its_first_reason_and_all_others() -> None:
    frame = parcels(
        3, arrived_at=[DAY0 - timedelta(days=1), *parcels(3)["arrived_at"][1:]], weight_kg=[99, 1, 2]
    )

    kept, aside = Inspection(CONTRACT).take(frame)

    assert kept["parcel"].to_list() == ["P1", "P2"]
    row = aside.row(0, named=True)
    assert row["parcel"] == "P0"
    assert row["_reason"] == "arrived_before_sent"
    assert row["_reasons"] == "arrived_before_sent, weight_kg:less_than_or_equal_to(50.0)"


def test_no_row_is_lost_kept_and_set_aside_are_all() -> None:
    frame = parcels(30, weight_kg=[-1.0 if n % 7 == 0 else 1.0 for n in range(30)])

    kept, aside = Inspection(CONTRACT).take(frame)

    assert sorted(kept["parcel"].to_list() + aside["parcel"].to_list()) == sorted(frame["parcel"].to_list())
    assert aside.height == 5


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        pytest.param("parcel", [None, "a", "b"], "parcel:not_nullable", id="a-null-where-none-may-be"),
        pytest.param("weight_kg", [-1.0, 1, 1], "weight_kg:greater_than_or_equal_to(0.0)", id="too-small"),
    ],
)
def test_a_cell_its_column_does_not_allow_sets_the_row_aside(column, values, reason) -> None:
    _, aside = Inspection(CONTRACT).take(parcels(3, **{column: values}))

    assert aside["_reason"].to_list() == [reason]


def test_a_key_met_in_an_earlier_chunk_is_set_aside() -> None:
    inspection = Inspection(CONTRACT)
    inspection.take(parcels(3))

    kept, aside = inspection.take(parcels(2, first=2))

    assert kept["parcel"].to_list() == ["P3"]
    assert aside["parcel"].to_list() == ["P2"]
    assert aside["_reason"].to_list() == ["duplicate_key"]


def test_not_a_number_is_a_missing_value() -> None:
    kept, _ = Inspection(CONTRACT).take(parcels(2, weight_kg=[float("nan"), 1.0]))

    assert kept["weight_kg"].to_list() == [None, 1.0]


def test_a_column_without_any_value_is_let_in_and_named() -> None:
    inspection = Inspection(CONTRACT)
    kept, aside = inspection.take(parcels(3, weight_kg=[float("nan")] * 3))
    report = _report(inspection)

    assert (kept.height, aside.height, report.passed) == (3, 0, True)
    assert "weight_kg has no value at all" in [r.message for r in report.reasons]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(parcels(2).drop("zone"), id="column-missing"),
        pytest.param(parcels(2).with_columns(pl.lit(1).alias("zone")), id="column-of-another-type"),
    ],
)
def test_a_broken_schema_is_refused_by_name(frame) -> None:
    with pytest.raises(ContractError, match="zone is"):
        Inspection(CONTRACT).take(frame)


def test_a_rule_that_cannot_be_evaluated_is_an_error_not_a_pass() -> None:
    rule = RowRule(name="odd", message="", violated="colour = 'red'", action="note")

    with pytest.raises(ContractError, match="rule odd"):
        Inspection(CONTRACT.model_copy(update={"rules": (rule,)})).take(parcels(2))


def test_too_many_rows_set_aside_fail_the_report() -> None:
    inspection = Inspection(CONTRACT)
    inspection.take(parcels(4, weight_kg=[-1.0, -1.0, -1.0, 1.0]))
    report = _report(inspection)

    assert report.outcome is Outcome.FAIL
    assert "3 of 4 rows (75.00%) set aside, at most 50.00% may be" in report.summary()


def test_too_few_rows_fail_the_report() -> None:
    inspection = Inspection(CONTRACT)
    inspection.take(parcels(4))

    report = _report(inspection, CONTRACT.model_copy(update={"min_rows": 5}))

    assert "4 sound rows, at least 5 are needed" in report.summary()


def test_a_report_over_chunks_equals_the_report_over_the_whole() -> None:
    frame = parcels(
        40, zone=["?" if n % 5 == 0 else "north" for n in range(40)], weight_kg=[60.0] + [1.0] * 39
    )
    whole, split = Inspection(CONTRACT), Inspection(CONTRACT)
    whole.take(frame)
    for start in range(0, 40, 7):
        split.take(frame.slice(start, 7))

    assert _report(split) == _report(whole)


@pytest.mark.parametrize(
    ("age_days", "outcome"), [(6, Outcome.PASS), (7, Outcome.PASS), (8, Outcome.FAIL)], ids=str
)
def test_freshness_is_counted_from_the_newest_row(age_days, outcome) -> None:
    as_of = datetime(2024, 2, 1, tzinfo=UTC)

    found = freshness(as_of - timedelta(days=age_days), as_of=as_of, max_age=timedelta(days=7))

    assert found.outcome is outcome


def test_freshness_without_a_row_is_inconclusive() -> None:
    found = freshness(None, as_of=DAY0, max_age=timedelta(days=7))

    assert found.outcome is Outcome.INCONCLUSIVE
