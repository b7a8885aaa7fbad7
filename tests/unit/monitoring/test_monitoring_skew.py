"""Served features against training's, from a log whose right values are found by loops and not by joins."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelway.bundle.policy import ByKey, ServingPolicy
from modelway.bundle.signature import Input, Signature
from modelway.contract import Column, DataContract, Outcome
from modelway.errors import ConfigError, GateError
from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.monitoring.forget import forget
from modelway.monitoring.monitor import Subject
from modelway.monitoring.policy import SkewPolicy
from modelway.monitoring.skew import FeatureSkew, SkewReport, measure_skew
from modelway.monitoring.skew_gate import require_compared, require_no_skew
from modelway.monitoring.skew_page import write_skew
from modelway.monitoring.windows import Window

TIME = pl.Datetime("us", "UTC")
FIRST = datetime(2020, 1, 1, tzinfo=UTC)
DAYS, ROWS = 40, 300
TTL = timedelta(days=7)
WINDOW = Window(FIRST, FIRST + timedelta(days=2 * DAYS))
PLACES = ("north", "south", "west")
Published = tuple[str, datetime, datetime, float]
"""Place, event time, known at, busy."""


def busy(history: pl.LazyFrame) -> pl.LazyFrame:
    """Every sale tells of its shop's third root of the amount, an hour later; and it comes late at times."""
    return history.select(
        "shop",
        "event_time",
        (pl.col("known_at") + pl.duration(hours=1)).alias("known_at"),
        pl.col("amount").cbrt().alias("busy"),
    )


@pytest.fixture(scope="module")
def use_case() -> Any:
    columns = [Column(name=name, kind="timestamp") for name in ("event_time", "known_at")]
    columns += [Column(name=name, kind="string") for name in ("sale", "shop", "place")]
    view = FeatureView(
        name="lately", entity="shop", ttl_days=TTL.days, compute=busy, features=(Feature(name="busy"),)
    )
    row = (Feature(name="amount"), Feature(name="place", kind="category"))
    return SimpleNamespace(
        name="sales",
        contract=DataContract(
            version="1", key="sale", columns=(*columns, Column(name="amount", kind="float"))
        ),
        features=FeatureSet(row=row, views=(view,)),
        serving=ServingPolicy(by_key=ByKey()),
    )


@pytest.fixture(scope="module")
def history() -> pl.DataFrame:
    draw = np.random.default_rng(3)
    at = np.sort(draw.uniform(0, DAYS * 24, ROWS))
    late = np.where(draw.random(ROWS) < 0.2, draw.exponential(30, ROWS), 0.0)  # hours
    return pl.DataFrame(
        {
            "sale": [f"s{n}" for n in range(ROWS)],
            "shop": draw.choice(["a", "b", "c", "d", "e"], ROWS),
            "place": draw.choice([*PLACES, "moon"], ROWS),
            "event_time": [FIRST + timedelta(hours=h) for h in at],
            "known_at": [FIRST + timedelta(hours=h) for h in at + late],
            "amount": draw.lognormal(3, 1, ROWS),
        },
        schema_overrides={"event_time": TIME, "known_at": TIME},
    )


def published(history: pl.DataFrame) -> list[Published]:
    return [
        (row["shop"], row["event_time"], row["known_at"] + timedelta(hours=1), row["amount"] ** (1 / 3))
        for row in history.iter_rows(named=True)
    ]


def newest(rows: list[Published], shop: str, at: datetime, lag: timedelta) -> float | None:
    """By hand: of what was known `lag` before `at`, the newest by event time, while it lives."""
    seen = [r for r in rows if r[0] == shop and max(r[1], r[2]) <= at - lag]
    if not seen or at - (best := max(seen, key=lambda r: (r[1], r[2])))[1] > TTL:
        return None
    return best[3]


def log_of(history: pl.DataFrame, *, lag: timedelta = timedelta(0), **changes: Any) -> pl.DataFrame:
    """What a server by key logs when each sale is asked about as it comes in, its store `lag` behind."""
    rows, codes = published(history), {place: float(code) for code, place in enumerate(PLACES)}
    served = [newest(rows, row["shop"], row["known_at"], lag) for row in history.iter_rows(named=True)]
    count = history.height
    return pl.DataFrame(
        {
            "_request_id": [f"q{n}" for n in range(count)],
            "_row": np.zeros(count, np.int32),
            "_entity_id": history["sale"],
            "_event_time": history["known_at"],
            "_received_at": history["known_at"],
            "_model": "sales",
            "_revision": "r1",
            "_bundle": "b1",
            "_probability": np.full(count, 0.5, np.float32),
            "_features_from": ["store"] * count,
            "_at_lately": pl.Series([None] * count, dtype=TIME),
            "_key_shop": history["shop"],
            "amount": history["amount"].cast(pl.Float32),
            "place": pl.Series([codes.get(p, np.nan) for p in history["place"]], dtype=pl.Float32),
            "busy": pl.Series([np.nan if v is None else v for v in served], dtype=pl.Float32),
            **changes,
        }
    )


@pytest.fixture
def compare(use_case: Any, history: pl.DataFrame, tmp_path: Path) -> Callable[..., SkewReport]:
    def run(
        log: pl.DataFrame, *, masked: Any = None, known: pl.DataFrame = history, **policy: Any
    ) -> SkewReport:
        log.write_parquet(tmp_path / "r1-1-0.parquet")
        inputs = (
            Input(name="amount", kind="numeric"),
            Input(name="place", kind="category", vocabulary=PLACES),
            Input(name="busy", kind="numeric"),
        )
        signature = Signature(model_name="sales", key="sale", label="back", inputs=inputs, threshold=0.5)
        subject = Subject(signature=signature, bundle="b1", as_of=FIRST, masked=masked or {})
        limits = SkewPolicy(**{"min_rows": 100, **policy})
        return measure_skew(
            tmp_path, known.lazy(), use_case=use_case, subject=subject, window=WINDOW, policy=limits
        )

    return run


def feature(report: SkewReport, name: str) -> FeatureSkew:
    return next(each for each in report.features if each.name == name)


def test_a_log_of_right_values_passes_with_every_row_compared(compare, history) -> None:
    report = compare(log_of(history))

    assert report.verdict.outcome is Outcome.PASS, report.verdict.summary()
    assert report.predictions == report.compared == ROWS
    assert [(f.rows, f.differing) for f in report.features] == [(ROWS, 0)] * 3
    assert feature(report, "amount").exact == ROWS
    assert feature(report, "busy").max_difference < 1e-5


def test_a_store_that_lags_behind_fails_and_shows_the_worst_with_entity_and_time(compare, history) -> None:
    report = compare(log_of(history, lag=timedelta(hours=12)))

    busy = feature(report, "busy")
    rows = published(history)
    by_hand = [
        (
            newest(rows, r["shop"], r["known_at"], timedelta(0)),
            newest(rows, r["shop"], r["known_at"], timedelta(hours=12)),
        )
        for r in history.iter_rows(named=True)
    ]
    assert report.verdict.outcome is Outcome.FAIL
    assert busy.differing == sum(now != then for now, then in by_hand) > ROWS / 4
    assert busy.missing_online == sum(then is None and now is not None for now, then in by_hand)
    assert busy.examples[0].online is None, "missing on one side comes first"
    both = [abs(a - b) for a, b in by_hand if a is not None and b is not None]
    assert busy.max_difference == pytest.approx(max(both), rel=1e-6)
    absent = min(5, busy.missing_online + busy.missing_offline)
    worst = busy.examples[absent]
    assert len(busy.examples) == absent + 5
    assert abs(worst.online - worst.offline) == pytest.approx(max(both), rel=1e-6)
    assert worst.entity in set("abcde")
    assert worst.at in set(history["known_at"])
    assert feature(report, "amount").differing == 0


def test_the_same_lag_passes_where_the_limit_allows_it(compare, history) -> None:
    log = log_of(history, lag=timedelta(minutes=10))

    few = feature(compare(log), "busy").differing

    assert 0 < few < ROWS / 10
    assert compare(log, max_differing_share=0.0).verdict.outcome is Outcome.FAIL
    assert compare(log, max_differing_share=0.1).verdict.outcome is Outcome.PASS


@pytest.mark.parametrize(("scale", "outcome"), [(1 + 5e-7, Outcome.PASS), (1 + 1e-5, Outcome.FAIL)])
def test_float32_steps_are_no_skew_and_more_is(compare, history, scale: float, outcome: Outcome) -> None:
    log = log_of(history)

    report = compare(log.with_columns((pl.col("amount").cast(pl.Float64) * scale).cast(pl.Float32)))

    assert feature(report, "amount").exact < ROWS
    assert report.verdict.outcome is outcome


def test_a_category_under_another_code_is_told_in_words(compare, history) -> None:
    swapped = pl.col("place").replace({0.0: 1.0, 1.0: 0.0})

    report = compare(log_of(history).with_columns(swapped))

    place = feature(report, "place")
    told = {(each.online, each.offline) for each in place.examples}
    assert report.verdict.outcome is Outcome.FAIL
    assert place.differing == history["place"].is_in(["north", "south"]).sum()
    assert told <= {("north", "south"), ("south", "north")}
    assert place.max_difference is None


def test_rows_that_brought_their_features_are_held_against_their_own_row(compare, history) -> None:
    """The moment that the client names is not the one at which training looks."""
    late = (pl.col("_event_time") + timedelta(hours=9)).alias("_event_time")
    log = log_of(history).drop("_features_from", "_at_lately", "_key_shop").with_columns(late)

    assert compare(log).verdict.outcome is Outcome.PASS
    moved = compare(log.with_columns(pl.lit("store").alias("_features_from")))
    assert moved.verdict.outcome is Outcome.FAIL, "a server by key answers for the moment that was named"


def test_few_rows_clear_nothing_but_can_fail(compare, history) -> None:
    right = log_of(history).head(30)
    wrong = right.with_columns(pl.col("amount") * 2)

    assert compare(right).verdict.outcome is Outcome.INCONCLUSIVE
    report = compare(wrong)
    assert report.verdict.outcome is Outcome.FAIL
    assert feature(report, "amount").share == 1.0


@pytest.mark.parametrize("lost", ["no rows", "no keys", "not in the history"])
def test_what_cannot_be_looked_up_is_inconclusive(compare, history, lost: str) -> None:
    log = log_of(history)
    if lost == "no rows":
        log = log.head(0)
    if lost == "no keys":
        log = log.with_columns(pl.lit(None, pl.String).alias("_entity_id")).drop("_key_shop")

    early = history.filter(pl.col("known_at") < FIRST + timedelta(days=1))
    report = compare(log, known=early if lost == "not in the history" else history)

    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert report.compared < 20


def test_most_rows_must_be_found_for_the_rest_to_count(compare, history) -> None:
    strangers = [f"?{sale}" if n % 3 else sale for n, sale in enumerate(history["sale"])]
    log = log_of(history, _entity_id=strangers).drop("_key_shop")

    report = compare(log, min_rows=50)

    assert (report.predictions, report.compared) == (ROWS, ROWS / 3)
    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert compare(log, min_rows=50, min_compared_share=0.3).verdict.outcome is Outcome.PASS


def test_an_entity_that_the_log_names_needs_no_subject(compare, history) -> None:
    report = compare(log_of(history, _entity_id=[None] * ROWS))

    assert (feature(report, "busy").rows, feature(report, "amount").rows) == (ROWS, 0)
    assert feature(report, "busy").differing == 0
    assert report.verdict.outcome is Outcome.INCONCLUSIVE


def test_a_masked_column_is_named_and_keeps_the_verdict_open(compare, history) -> None:
    report = compare(log_of(history).drop("amount"), masked={"amount": "drop"})

    assert report.masked == ("amount",)
    assert [each.name for each in report.features] == ["place", "busy"]
    assert report.verdict.outcome is Outcome.INCONCLUSIVE


def test_a_log_that_masks_every_input_is_inconclusive(compare, history) -> None:
    names = ("amount", "place", "busy")

    report = compare(log_of(history).drop(names), masked=dict.fromkeys(names, "drop"))

    assert (report.compared, report.features) == (0, ())
    assert report.verdict.outcome is Outcome.INCONCLUSIVE


def test_a_feature_that_neither_side_ever_has_was_not_compared(compare, history) -> None:
    """Ids that no history knows find nothing online and nothing offline: that clears nothing."""
    strangers = log_of(history, _key_shop=[f"?{shop}" for shop in history["shop"]])

    report = compare(strangers.with_columns(pl.lit(np.nan, pl.Float32).alias("busy")))

    busy = feature(report, "busy")
    assert (busy.rows, busy.differing, busy.valued) == (ROWS, 0, 0)
    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert "busy differs in 0 of 300 rows, all of them without a value" in report.verdict.summary()


def test_answers_of_the_fallback_rule_are_no_features_but_stale_ones_are(compare, history) -> None:
    why = ["store", "stale", None] * (ROWS // 3)
    missing = pl.when(pl.col("_fallback").is_not_null()).then(np.nan).otherwise("busy").alias("busy")
    log = log_of(history, _fallback=why).with_columns(missing)

    report = compare(log)

    assert report.predictions == ROWS * 2 // 3
    assert feature(report, "busy").missing_online > ROWS / 4
    assert report.verdict.outcome is Outcome.FAIL


def test_a_use_case_without_the_models_columns_is_refused(compare, history, use_case, monkeypatch) -> None:
    monkeypatch.setattr(use_case, "features", FeatureSet(row=use_case.features.row))

    with pytest.raises(ConfigError, match="busy, which sales does not define"):
        compare(log_of(history))


def test_the_page_names_the_worst_rows_and_has_a_twin_for_machines(compare, history, tmp_path) -> None:
    shops = [f"<shop {shop}>" for shop in history["shop"]]
    known = history.with_columns(pl.Series("shop", shops))
    log = log_of(history, lag=timedelta(hours=12)).with_columns(pl.Series("_key_shop", shops))
    report = compare(log, known=known)

    path = write_skew(report, tmp_path / "deep" / "skew.html")

    text = path.read_text("utf-8")
    worst = feature(report, "busy").examples[-1]
    assert f"busy: {feature(report, 'busy').differing} rows" in text
    assert f"{worst.at:%Y-%m-%d %H:%M:%S}" in text
    assert "&lt;" in text
    assert not any(shop in text for shop in set(shops))
    assert SkewReport.model_validate_json(path.with_suffix(".json").read_text("utf-8")) == report


def test_what_one_id_was_asked_about_can_be_forgotten(history, tmp_path) -> None:
    log_of(history).write_parquet(tmp_path / "r1-1-0.parquet")
    theirs = int((history["shop"] == "a").sum())

    assert forget(tmp_path, "a").rows == theirs > 0
    assert forget(tmp_path, "s0").rows == int(history["shop"][0] != "a")
    left = pl.read_parquet(tmp_path / "r1-1-0.parquet")
    assert "a" not in set(left["_key_shop"])


def test_training_stops_on_skew_and_a_rollout_waits_for_a_comparison(compare, history) -> None:
    passed = compare(log_of(history)).verdict
    failed = compare(log_of(history, lag=timedelta(hours=12))).verdict
    unseen = compare(log_of(history).head(0)).verdict

    require_no_skew(passed, where="the log")
    require_no_skew(unseen, where="the log")
    with pytest.raises(GateError, match="busy differs"):
        require_no_skew(failed, where="the log")
    require_compared(passed, "sales/2", unseen="hold")
    require_compared(unseen, "sales/2", unseen="go_on")
    with pytest.raises(GateError, match="sales/2 is registered and not rolled out"):
        require_compared(unseen, "sales/2", unseen="hold")
    with pytest.raises(GateError):
        require_compared(failed, "sales/2", unseen="go_on")
