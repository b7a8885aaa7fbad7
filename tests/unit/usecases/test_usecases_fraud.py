"""The fraud use case by hand: its rules, its features, what it keeps from whom."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from modelway.data.declared import columns_of_features
from modelway.data.labels import with_label
from modelway.data.validation import Inspection
from modelway.features.derived import derived_frame
from modelway.features.repository import definitions_text
from modelway.features.training_set import feature_rows
from modelway.usecase import load_use_case
from usecases.fraud import use_case
from usecases.fraud.contract import RAW_COLUMNS

MONDAY = datetime(2024, 3, 4, 9, 30, tzinfo=UTC)


def raw(*changes):
    """Purchases ten minutes apart, each as it should be but for the changes."""
    rows = [
        {
            "transaction_id": f"T{n}",
            "event_time": MONDAY + timedelta(minutes=10 * n),
            "arrived_at": MONDAY + timedelta(minutes=10 * n, seconds=1.5),
            "charged_back_at": None,
            "card_id": "C1",
            "merchant_id": "M1",
            "merchant_category": "fuel",
            "entry": "chip",
            "amount_eur": 50.0,
            "limit_eur": 2_000.0,
            "distance_km": 3.0,
        }
        | change
        for n, change in enumerate(changes)
    ]
    times = dict.fromkeys(("event_time", "arrived_at", "charged_back_at"), pl.Datetime("us", "UTC"))
    texts = {"merchant_id": pl.String, "merchant_category": pl.String}
    return pl.DataFrame(rows, schema_overrides={**times, **texts, "distance_km": pl.Float64}).select(
        RAW_COLUMNS
    )


def taken(*changes):
    return Inspection(use_case.contract).take(use_case.clean(raw(*changes)))


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        pytest.param({}, [], id="sound"),
        pytest.param({"amount_eur": -5.0}, ["refund"], id="refund"),
        pytest.param({"event_time": MONDAY + timedelta(hours=1)}, ["terminal_clock_ahead"], id="clock-ahead"),
        pytest.param({"transaction_id": "T0"}, ["duplicate_key"], id="delivered-twice"),
        pytest.param({"merchant_id": "?", "merchant_category": None}, [], id="unknown-merchant-stays"),
        pytest.param({"arrived_at": MONDAY + timedelta(days=2)}, [], id="late-stays"),
        pytest.param(
            {"entry": "cheque"}, ["entry:isin(['chip', 'contactless', 'online'])"], id="unknown-entry"
        ),
    ],
)
def test_each_kind_of_dirt_meets_its_own_rule(change, reasons) -> None:
    _, aside = taken({}, change)

    assert aside["_reason"].to_list() == reasons


def test_an_unknown_merchant_has_no_name_and_late_rows_are_counted() -> None:
    inspection = Inspection(use_case.contract)
    kept, _ = inspection.take(
        use_case.clean(raw({"merchant_id": "?"}, {"arrived_at": MONDAY + timedelta(days=2)}))
    )

    assert kept["merchant_id"].to_list() == [None, "M1"]
    assert (inspection.seen.broken["unknown_merchant"], inspection.seen.broken["late"]) == (1, 1)


def test_a_charge_back_counts_within_two_months_and_is_known_on_its_day() -> None:
    days = (30, 59, 62, None)
    rows, _ = taken(*({"charged_back_at": d and MONDAY + timedelta(days=d)} for d in days))

    labelled = with_label(rows.lazy(), use_case.label).collect()
    assert labelled["label"].to_list() == [1, 1, 0, 0]
    assert labelled["label_known_at"][0] == MONDAY + timedelta(days=30)
    assert labelled["label_matured_at"][0] == datetime(2024, 5, 4, 9, 30, tzinfo=UTC)


def test_a_decision_sees_what_arrived_before_it_and_not_itself() -> None:
    late = {"arrived_at": MONDAY + timedelta(minutes=25), "amount_eur": 10.0}
    rows, _ = taken({}, late, {"merchant_category": None, "amount_eur": 100.0}, {"entry": "online"})

    features = feature_rows(use_case, rows.lazy(), rows.lazy())
    assert features["card_purchases_1h"].to_list() == [None, 2.0, 1.0, 3.0]
    assert features["card_mean_eur_1h"].to_list() == [None, 75.0, 50.0, pytest.approx(160 / 3)]
    assert features["merchant_chargeback_rate_60d"].to_list() == [None, 0.0, 0.0, 0.0]
    assert features["card_gap_s"].to_list() == [None, 1_200.0, None, 600.0]
    derived = derived_frame(features, use_case.features)
    assert derived["limit_share"].to_list() == pytest.approx([0.025, 0.005, 0.05, 0.025])
    assert derived["amount_to_card_mean_24h"].to_list() == pytest.approx([None, 10 / 75, 2, 50 / (160 / 3)])
    assert derived["card_purchases_1h_share"].to_list() == [None, 1.0, 1.0, 1.0]
    assert (features["hour"][0], features["weekday"][0], features["delay_s"][0]) == (9, 1, 1.5)


def test_no_feature_reads_the_charge_back_of_its_own_row_nor_who_it_was() -> None:
    used = {name for names in columns_of_features(use_case).values() for name in names}

    assert not used & {"charged_back_at", "card_id", "merchant_id", "transaction_id"}


def test_feasts_catalogue_says_what_is_derived_from_a_view_and_keeps_no_value_of_it() -> None:
    text = definitions_text(use_case)

    assert '"derived.amount_to_card_mean_24h": "amount_eur / card_mean_eur_24h"' in text
    assert "derived.limit_share" not in text  # of what the payment brings alone: no view has part in it
    assert 'name="amount_to_card_mean_24h"' not in text
    compile(text, "definitions.py", "exec")


def test_it_is_installed_and_says_that_it_is_made_up() -> None:
    assert load_use_case("fraud") is use_case
    assert "simulator" in use_case.description
    assert use_case.resolve("simulator?days=120&seed=7") == use_case.default_source
    assert use_case.resolve("mine.csv") == "mine.csv"
