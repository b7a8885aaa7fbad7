"""Every probe where it must fire and where it must not."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from modelway.bundle.derived import Derived
from modelway.contract import Column, DataContract, LabelRule, Outcome
from modelway.data.leaks import column_powers
from modelway.features import values
from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.features.training_set import feature_rows
from modelway.probes import hindsight
from modelway.probes.derived import derived_reasons
from modelway.probes.duplicates import subject_reason, twin_reason
from modelway.probes.hindsight import canary_reason, cut_short_reason

START = datetime(2020, 1, 1, tzinfo=UTC)


def rows(count: int, seed: int = 0, levels: int = 1000) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "key": [f"{seed}-{n}" for n in range(count)],
            "a": random.integers(0, levels, count),
            "b": random.integers(0, levels, count),
            "label": random.integers(0, 2, count),
        }
    )


def test_a_subject_on_both_sides_is_found_and_different_subjects_are_not() -> None:
    train, test = rows(100, seed=1), rows(50, seed=2)

    assert subject_reason(train, test, "key").outcome is Outcome.PASS
    assert subject_reason(train, pl.concat([test, train.head(1)]), "key").outcome is Outcome.FAIL


def test_copied_rows_are_found_under_another_key() -> None:
    train, test = rows(600, seed=1), rows(200, seed=2)
    copied = train.head(20).with_columns(pl.lit("new").alias("key"))

    assert twin_reason(train, test, ["a", "b"]).outcome is Outcome.PASS
    found = twin_reason(train, pl.concat([test, copied]), ["a", "b"])
    assert (found.outcome, found.found) == (Outcome.FAIL, pytest.approx(20 / 220))


def test_twins_that_a_coarse_table_has_by_nature_are_none() -> None:
    train, test = rows(600, seed=1, levels=3), rows(200, seed=2, levels=3)

    found = twin_reason(train, test, ["a", "b"])

    assert found.found == 1.0
    assert found.outcome is Outcome.PASS


def test_missing_values_equal_each_other() -> None:
    train = rows(600, seed=1).with_columns(pl.lit(None, pl.Int64).alias("b"))

    assert twin_reason(train, train.tail(60), ["a", "b"]).found == 1.0


def test_without_rows_nobody_looked() -> None:
    assert twin_reason(rows(600), rows(0), ["a"]).outcome is Outcome.INCONCLUSIVE
    assert twin_reason(rows(2), rows(50, seed=2), ["a"]).outcome is Outcome.INCONCLUSIVE


def history(count: int = 400, delay_days: int = 30) -> pl.LazyFrame:
    random = np.random.default_rng(4)
    at = [START + timedelta(days=n) for n in range(count)]
    return pl.DataFrame(
        {
            "key": [f"k{n:04d}" for n in range(count)],
            "event_time": at,
            "known_at": at,
            "shop": random.choice(["x", "y"], count),
            "amount": random.normal(size=count),
            "sold": random.integers(0, 2, count),
            "sold_known_at": [moment + timedelta(days=delay_days) for moment in at],
        }
    ).lazy()


def mean_so_far(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Each day's mean per shop over the days up to it."""
    mean = pl.col("amount").cum_sum().over("shop") / pl.col("amount").cum_count().over("shop")
    return frame.sort("event_time").select("shop", "event_time", "known_at", mean.alias("shop_mean"))


def mean_of_all_time(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Each day's mean per shop over all days, those to come among them: the classic mistake."""
    mean = pl.col("amount").mean().over("shop")
    return frame.select("shop", "event_time", "known_at", mean.alias("shop_mean"))


def use_case(compute=mean_so_far, amount_known_from: str = "known_at", label_from: str = "sold_known_at"):
    columns = (
        Column(name="key", kind="string"),
        Column(name="event_time", kind="timestamp"),
        Column(name="known_at", kind="timestamp"),
        Column(name="shop", kind="string"),
        Column(name="amount", kind="float", nullable=True, known_from=amount_known_from),
        Column(name="sold", kind="int", nullable=True, known_from=label_from),
        Column(name="sold_known_at", kind="timestamp"),
    )
    view = FeatureView(
        name="shops", entity="shop", features=(Feature(name="shop_mean"),), ttl_days=900, compute=compute
    )
    return SimpleNamespace(
        name="shops",
        contract=DataContract(version="1.0", key="key", columns=columns),
        label=LabelRule(name="sold", value="sold", value_known_from=label_from),
        features=FeatureSet(row=(Feature(name="amount"),), views=(view,)),
    )


def described(case) -> pl.DataFrame:
    return feature_rows(case, history(), history())


def test_a_mean_over_all_time_knows_the_future_and_one_up_to_the_day_does_not() -> None:
    honest, dishonest = use_case(), use_case(mean_of_all_time)

    assert cut_short_reason(honest, history(), described(honest)).outcome is Outcome.PASS
    found = cut_short_reason(dishonest, history(), described(dishonest))
    assert found.outcome is Outcome.FAIL
    assert "shop_mean" in found.message
    assert "amount" not in found.message


def test_a_value_that_came_later_and_was_used_anyway_is_found() -> None:
    case, careless = use_case(amount_known_from="sold_known_at"), use_case()
    case.features = careless.features = FeatureSet(row=(Feature(name="amount"),))
    as_if_there_from_the_start = described(careless)

    assert cut_short_reason(case, history(), described(case)).outcome is Outcome.PASS
    assert cut_short_reason(case, history(), as_if_there_from_the_start).outcome is Outcome.FAIL


def test_a_mean_of_values_that_came_later_is_found_although_the_view_looks_only_back() -> None:
    late = use_case(amount_known_from="sold_known_at")

    assert "shop_mean" in cut_short_reason(late, history(), described(late)).message


def test_without_rows_hindsight_is_not_cleared() -> None:
    case = use_case()

    assert cut_short_reason(case, history(), described(case).head(0)).outcome is Outcome.INCONCLUSIVE


def test_the_canary_does_not_arrive_and_when_the_road_leaks_it_does(monkeypatch) -> None:
    assert canary_reason(use_case(), history()).outcome is Outcome.PASS

    monkeypatch.setattr(hindsight, "known_with_the_row", lambda frame, _contract: frame)
    found = canary_reason(use_case(), history())
    assert (found.outcome, found.found) == (Outcome.FAIL, 400)


def test_a_label_known_with_its_row_must_not_be_read_by_a_feature() -> None:
    innocent = use_case(label_from="known_at")
    assert canary_reason(innocent, history()).outcome is Outcome.PASS

    guilty = use_case(label_from="known_at")
    guilty.features = FeatureSet(row=(Feature(name="hint", sql="sold * 2 + amount"),))
    found = canary_reason(guilty, history())
    assert found.outcome is Outcome.FAIL
    assert "hint" in found.message


def test_the_road_that_the_canary_takes_is_the_one_that_features_take() -> None:
    assert hindsight.known_with_the_row is values.known_with_the_row


def derived_verdict(
    frame: pl.DataFrame, explained: dict[str, str] | None = None
) -> list[tuple[Outcome, str]]:
    features = FeatureSet(
        row=(Feature(name="a"), Feature(name="b")),
        derived=(
            Derived(name="a_less_b", how="difference", of=("a", "b")),
            Derived(name="a_to_b", how="ratio", of=("a", "b")),
        ),
    )
    powers = column_powers(frame, ["a", "b"], "label")
    found = derived_reasons(features, frame, powers, explained or {})
    return [(reason.outcome, reason.message) for reason in found]


def test_columns_that_tell_the_label_only_together_are_found_by_their_formula() -> None:
    frame = rows(1200)
    told = frame.with_columns(a=pl.col("b") + 3 * pl.col("label") - 1)

    (outcome, message), *more = derived_verdict(told)

    assert column_powers(told, ["a", "b"], "label")[0].roc_auc < 0.7
    assert outcome is Outcome.FAIL
    assert "a_less_b (a - b) alone reaches ROC-AUC 1.000" in message
    assert [outcome for outcome, _ in more] == [Outcome.FAIL]  # the ratio is on either side of 1
    assert [outcome for outcome, _ in derived_verdict(frame)] == [Outcome.PASS]


def test_what_is_made_of_an_explained_column_is_explained_and_few_rows_prove_nothing() -> None:
    told = rows(1200).with_columns(a=pl.col("b") + 3 * pl.col("label") - 1)

    assert [outcome for outcome, _ in derived_verdict(told, {"b": "the clerk's own guess"})] == [
        Outcome.FAIL
    ] * 2
    ((outcome, message),) = derived_verdict(told, {"a": "the officer's", "b": "the clerk's own guess"})
    assert outcome is Outcome.PASS
    assert "the officer's; the clerk's own guess" in message
    assert [outcome for outcome, _ in derived_verdict(told.head(20))] == [Outcome.INCONCLUSIVE]
    assert not list(derived_reasons(FeatureSet(row=(Feature(name="a"),)), told, (), {}))


def test_a_derived_feature_says_itself_why_it_is_strong_and_may_be_called_anything() -> None:
    told = rows(1200).with_columns(a=pl.col("b") + 3 * pl.col("label") - 1)
    less = Derived(name="label", how="difference", of=("a", "b"))

    def verdict(derived: Derived) -> list[Outcome]:
        features = FeatureSet(row=(Feature(name="a"), Feature(name="b")), derived=(derived,))
        powers = column_powers(told, ["a", "b"], "label")
        return [reason.outcome for reason in derived_reasons(features, told, powers, {})]

    assert verdict(less) == [Outcome.FAIL]
    assert verdict(less.model_copy(update={"strong_because": "both are the clerk's"})) == [Outcome.PASS]


def test_a_derived_feature_is_no_runner_up_that_hides_a_leak() -> None:
    """Weaker than the column it is made of, it says nothing; that column is judged by itself."""
    leak = rows(1200).with_columns(a=pl.col("label") * 10 + pl.col("a") % 3, b=pl.lit(1) + pl.col("b") % 2)

    assert [outcome for outcome, _ in derived_verdict(leak)] == [Outcome.PASS]
    assert column_powers(leak, ["a", "b"], "label")[0].roc_auc > 0.9
