"""The seeded simulator: the same world every time, as disordered and dirty as asked, its truth kept apart."""

import polars as pl
import pytest

from modelway.errors import InputError, SourceError
from usecases.fraud import use_case
from usecases.fraud.contract import RAW_COLUMNS, clean_transactions
from usecases.fraud.simulator import Drift, Scenario, simulate
from usecases.fraud.simulator.__main__ import main
from usecases.fraud.simulator.files import write_run
from usecases.fraud.simulator.scenario import FIRST_DAY, scenario_of

SMALL = Scenario(days=60, cards=600, merchants=60)


@pytest.fixture(scope="module")
def run():
    return simulate(SMALL)


def with_truth(run):
    return run.transactions.unique("transaction_id", keep="first", maintain_order=True).join(
        run.truth, on="transaction_id"
    )


def by_pattern(run, expr):
    return dict(with_truth(run).group_by("pattern").agg(expr.alias("x")).iter_rows())


def changed(**changes):
    return simulate(SMALL.model_copy(update=changes))


def test_the_same_scenario_gives_the_same_bytes_and_another_seed_another_world(run, tmp_path) -> None:
    for name, made in (("a", run), ("b", simulate(SMALL)), ("c", changed(seed=8))):
        write_run(made, tmp_path / f"{name}.parquet")
    a, b, c = ((tmp_path / f"{name}.parquet").read_bytes() for name in "abc")

    assert a == b
    assert a != c


def test_rows_come_in_order_of_arrival_and_not_in_order_of_time(run) -> None:
    arrived, happened = run.transactions["arrived_at"], run.transactions["event_time"]

    assert arrived.is_sorted()
    assert not happened.is_sorted()
    assert happened.min() >= FIRST_DAY


def test_the_truth_is_complete_and_no_part_of_the_stream(run) -> None:
    assert set(run.truth["transaction_id"]) == set(run.transactions["transaction_id"])
    assert set(run.truth["pattern"]) == {"none", "single", "burst", "ring"}
    assert set(run.transactions.columns) == set(RAW_COLUMNS)
    assert "pattern" not in RAW_COLUMNS


def test_honest_purchases_are_hardly_ever_charged_back_and_frauds_mostly(run) -> None:
    share = by_pattern(run, pl.col("charged_back_at").is_not_null().mean())

    assert share["none"] < 0.002
    assert all(0.8 < share[pattern] < 1 for pattern in ("single", "burst", "ring"))


def test_charge_backs_come_weeks_late_by_their_median(run) -> None:
    waited = (
        run.transactions.select(pl.col("charged_back_at") - pl.col("event_time")).to_series().drop_nulls()
    )

    assert 15 < waited.dt.total_hours().median() / 24 < 21


def test_a_burst_is_one_card_within_hours(run) -> None:
    bursts = with_truth(run).filter(pl.col("pattern") == "burst").sort("card_id", "event_time")
    gap = (
        bursts.select(pl.col("event_time").diff().over("card_id").dt.total_seconds()).to_series().drop_nulls()
    )

    assert gap.median() < 600


def test_a_ring_charges_at_three_merchants(run) -> None:
    merchants = with_truth(run).filter(pl.col("pattern") == "ring", pl.col("merchant_id") != "?")[
        "merchant_id"
    ]

    assert merchants.n_unique() == SMALL.rings * 3


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_as_many_are_late_as_asked(share) -> None:
    run = changed(late_share=share, disordered_share=0.0, dirty_share=0.0)
    late = run.transactions.select((pl.col("arrived_at") - pl.col("event_time")).dt.total_minutes() > 5)

    assert late.to_series().mean() == pytest.approx(share, abs=0.02)


def test_without_dirt_no_row_is_set_aside() -> None:
    rows = changed(dirty_share=0.0).transactions

    assert rows["transaction_id"].is_unique().all()
    assert rows.filter((pl.col("amount_eur") < 0) | (pl.col("arrived_at") < pl.col("event_time"))).is_empty()
    assert "?" not in rows["merchant_id"]


def test_prior_drift_makes_more_fraud_and_covariate_drift_higher_prices() -> None:
    def halves(kind, measure):
        rows = with_truth(changed(drift=Drift(kind=kind, from_day=30)))
        later = (pl.col("event_time") - FIRST_DAY).dt.total_days() >= 30
        return [rows.filter(part).select(measure).item() for part in (~later, later)]

    fraud_before, fraud_after = halves("prior", pl.col("pattern").is_in(["single", "burst"]).mean())
    price_before, price_after = halves("covariate", pl.col("amount_eur").median())
    assert 2.5 < fraud_after / fraud_before < 6
    assert 1.5 < price_after / price_before < 1.9


def test_an_address_names_a_scenario_and_back() -> None:
    scenario = scenario_of("simulator?seed=7&days=120&cards=2000&drift=concept@80&late_share=0.1")

    assert scenario == Scenario(drift=Drift(kind="concept", from_day=80), late_share=0.1)
    assert scenario.address == "simulator?seed=7&days=120&cards=2000&drift=concept@80&late_share=0.1"
    assert scenario_of("simulator") == Scenario()


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("simulator?sead=7", id="misspelt"),
        pytest.param("simulator?seed=x", id="no-number"),
        pytest.param("simulator?drift=concept", id="drift-without-a-day"),
        pytest.param("simulator?drift=other@3", id="unknown-drift"),
        pytest.param("simulator?seed=1&seed=2", id="twice"),
        pytest.param("simulator?cards=1", id="too-few-cards"),
        pytest.param("simulator?rings=99", id="more-rings-than-merchants"),
        pytest.param("simulator?seed", id="no-value"),
    ],
)
def test_an_address_that_names_no_scenario_is_refused(address) -> None:
    with pytest.raises(SourceError, match="names no scenario"):
        use_case.load(address)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_written_file_is_read_back_as_the_scenario_itself(tmp_path, suffix) -> None:
    address, target = "simulator?days=10&cards=100&merchants=40", tmp_path / f"stream.{suffix}"
    main([address, "--out", str(target)])

    of_file, of_address = (
        pl.concat(map(clean_transactions, use_case.load(place))) for place in (str(target), address)
    )
    assert of_file.equals(of_address)
    assert set(pl.read_ipc(tmp_path / "stream.truth.arrow").columns) == {
        "transaction_id",
        "pattern",
    }
    with pytest.raises(SourceError):
        list(use_case.load(str(tmp_path / "stream.truth.arrow")))


def test_another_kind_of_file_is_refused(tmp_path, run) -> None:
    with pytest.raises(InputError, match="xlsx"):
        write_run(run, tmp_path / "stream.xlsx")
