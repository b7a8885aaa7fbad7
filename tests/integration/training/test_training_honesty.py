"""All probes together on a model that was really trained: none fires, or what was done to it, by name."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from train_once import FakeTracker

from modelway.bundle.derived import Derived
from modelway.contract import Candidate, Column, CostMatrix, DataContract, LabelRule, Outcome
from modelway.data.frames import write_frame
from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.features.training_set import build_training_set
from modelway.probes import hindsight
from modelway.probes.honesty import honesty
from modelway.training.splits import split_by_time
from modelway.training.tune import Request, tune

AS_OF = datetime(2025, 1, 1, tzinfo=UTC)
COLUMNS = (
    Column(name="key", kind="string"),
    Column(name="event_time", kind="timestamp"),
    Column(name="known_at", kind="timestamp"),
    Column(name="shop", kind="string"),
    Column(name="amount", kind="float"),
    Column(name="price", kind="float"),
    Column(name="sold", kind="int", nullable=True, known_from="sold_known_at"),
    Column(name="sold_known_at", kind="timestamp"),
)
PROBES = {
    "leak probe",
    "leaks among derived features",
    "duplicates: subjects",
    "duplicates: twins",
    "hindsight: history cut short",
    "hindsight: canary",
    "shuffled labels",
}


def sales(count: int = 900) -> pl.LazyFrame:
    """One a day; the label leans on both numbers, a little."""
    random = np.random.default_rng(4)
    at = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(count)]
    amount, price = random.normal(size=(2, count))
    sold = random.random(count) < 1 / (1 + np.exp(-amount - price))
    return pl.LazyFrame(
        {
            "key": [f"k{n:04d}" for n in range(count)],
            "event_time": at,
            "known_at": at,
            "shop": random.choice(["x", "y"], count),
            "amount": amount,
            "price": price,
            "sold": sold.astype(np.int8),
            "sold_known_at": [moment + timedelta(days=30) for moment in at],
        }
    )


def mean_so_far(frame: pl.LazyFrame) -> pl.LazyFrame:
    mean = pl.col("amount").cum_sum().over("shop") / pl.col("amount").cum_count().over("shop")
    return frame.sort("event_time").select("shop", "event_time", "known_at", mean.alias("shop_mean"))


def mean_of_all_time(frame: pl.LazyFrame) -> pl.LazyFrame:
    mean = pl.col("amount").mean().over("shop")
    return frame.select("shop", "event_time", "known_at", mean.alias("shop_mean"))


def shops(compute=mean_so_far) -> SimpleNamespace:
    mean = (Feature(name="shop_mean"),)
    view = FeatureView(name="shops", entity="shop", features=mean, ttl_days=900, compute=compute)
    row = (Feature(name="amount"), Feature(name="price"))
    less = Derived(name="amount_less_price", how="difference", of=("amount", "price"))
    return SimpleNamespace(
        name="shops",
        contract=DataContract(version="1.0", key="key", columns=COLUMNS),
        label=LabelRule(name="sold", value="sold", value_known_from="sold_known_at"),
        features=FeatureSet(row=row, views=(view,), derived=(less,)),
        training_window_months=60,
        costs=CostMatrix(false_positive=1, false_negative=1),
        candidates=(Candidate(kind="hgb", space={}, fixed={"max_iter": 10, "min_samples_leaf": 10}),),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Splits and the model that was trained on them."""
    folder = str(tmp_path_factory.mktemp("honest"))
    splits = split_by_time(build_training_set(shops(), sales(), as_of=AS_OF), folder)
    asked = Request(snapshot_id="s", as_of=AS_OF, seed=3, trials=1)
    return splits, tune(shops(), splits, asked, tracker=FakeTracker(), folder=folder)


@pytest.fixture
def verdict(made, tmp_path):
    """All probes, with something done to the rows of every part, or to those of one."""
    splits, trained = made

    def after(case=None, *, everywhere=(), in_test=None):
        parts = {name: getattr(splits, name).load() for name in ("train", "calibration", "test")}
        parts = {name: rows.with_columns(everywhere) for name, rows in parts.items()}
        parts["test"] = in_test(parts) if in_test else parts["test"]
        kept = {name: write_frame(rows, str(tmp_path)) for name, rows in parts.items()}
        return honesty(case or shops(), sales(), splits.model_copy(update=kept), trained)

    return after


def fired(verdict) -> set[str]:
    return {reason.metric for reason in verdict.reasons if reason.outcome is Outcome.FAIL}


def test_every_probe_has_looked_at_an_honest_model_and_none_fires(verdict) -> None:
    found = verdict()

    assert {reason.metric for reason in found.reasons} == PROBES
    assert found.outcome is Outcome.PASS, found.summary()


def test_a_column_that_tells_the_label_fires_by_its_name(verdict) -> None:
    """The features have changed since the history was written, so that shows as well."""
    found = verdict(everywhere=pl.col("label").cast(pl.Float64).alias("price"))

    assert found.outcome is Outcome.FAIL
    assert "leak probe: price" in fired(found)


def test_two_columns_that_tell_it_together_fire(verdict) -> None:
    assert "leaks among derived features" in fired(
        verdict(everywhere=(pl.col("price") + 3 * pl.col("label") - 1.5).alias("amount"))
    )


def test_a_subject_that_was_learnt_from_fires(verdict) -> None:
    """Those of the calibration rows count: they teach too."""

    def with_one(parts):
        return parts["test"].with_columns(
            pl.when(pl.int_range(pl.len()) == 0)
            .then(pl.lit(parts["calibration"]["key"][0]))
            .otherwise("key")
            .alias("key")
        )

    assert "duplicates: subjects" in fired(verdict(in_test=with_one))


def test_copied_rows_fire(verdict) -> None:
    def with_copies(parts):
        copies = parts["calibration"].head(60).with_columns(pl.concat_str(pl.lit("new-"), "key").alias("key"))
        return pl.concat([parts["test"], copies])

    assert fired(verdict(in_test=with_copies)) == {"duplicates: twins"}


def test_a_mean_over_days_to_come_fires(made, tmp_path) -> None:
    dishonest = shops(mean_of_all_time)
    splits = split_by_time(build_training_set(dishonest, sales(), as_of=AS_OF), str(tmp_path))

    assert fired(honesty(dishonest, sales(), splits, made[1])) == {"hindsight: history cut short"}


def test_a_road_that_lets_the_label_through_fires(verdict, monkeypatch) -> None:
    monkeypatch.setattr(hindsight, "known_with_the_row", lambda frame, _contract: frame)

    assert fired(verdict()) == {"hindsight: canary"}


def test_a_model_that_is_told_the_labels_by_another_way_fires(verdict, made, monkeypatch) -> None:
    splits, _ = made
    true = pl.concat([splits.train.load(), splits.calibration.load()])["label"].to_numpy()

    def init(self, X, y) -> None:
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", true.astype(y.dtype))

    monkeypatch.setattr("modelway.training.candidates.base.Rows.__init__", init)

    assert fired(verdict()) == {"shuffled labels"}


def test_a_probe_that_could_not_look_keeps_the_verdict_open(verdict) -> None:
    found = verdict(in_test=lambda parts: parts["test"].filter(pl.col("label") == 0))

    assert found.outcome is Outcome.INCONCLUSIVE
    assert not fired(found)
