"""Matured performance: joined on what was known, judged only on enough of it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from modelway.contract import Outcome
from modelway.errors import ContractError
from modelway.monitoring.performance import join_matured, measure_performance
from modelway.monitoring.policy import PerformancePolicy
from modelway.monitoring.windows import Window, windows_before

SINCE = datetime(2005, 1, 1, tzinfo=UTC)
MONTHS = tuple(Window(SINCE + timedelta(days=30 * k), SINCE + timedelta(days=30 * (k + 1))) for k in range(4))
AS_OF = SINCE + timedelta(days=1000)
UTC_MICROSECONDS = pl.Datetime("us", "UTC")


def labels_for(
    log: pl.DataFrame, draw: np.random.Generator, *, truth: np.ndarray | None = None
) -> pl.DataFrame:
    """Labels drawn from the scores (calibrated, the relation holds) or from `truth`."""
    p = log["_probability"].to_numpy() if truth is None else truth
    return pl.DataFrame(
        {
            "loan_id": log["_entity_id"],
            "label": (draw.random(p.size) < p).astype(np.int8),
            "label_matured_at": log["_event_time"] + timedelta(days=720),
        }
    )


def _report(log: pl.DataFrame, labels: pl.DataFrame, *, reference: float | None = 0.75, **changes: object):
    return measure_performance(
        log,
        labels,
        key="loan_id",
        as_of=changes.pop("as_of", AS_OF),
        windows=MONTHS,
        reference={"roc_auc": reference},
        policy=PerformancePolicy(**changes),
    )


def test_a_label_that_matures_after_the_date_is_not_seen(make_log) -> None:
    log = make_log(np.random.default_rng(1), 4)
    labels = labels_for(log, np.random.default_rng(2)).with_columns(
        pl.Series("label", [1, 0, 1, None], dtype=pl.Int8),
        pl.Series(
            "label_matured_at",
            [AS_OF, AS_OF + timedelta(microseconds=1), AS_OF - timedelta(days=1), AS_OF],
            dtype=UTC_MICROSECONDS,
        ),
    )

    joined = join_matured(log, labels, key="loan_id", as_of=AS_OF)

    assert joined.sort("_entity_id")["_label"].to_list() == [1.0, None, 1.0, None]


def test_an_entity_scored_twice_counts_once_with_its_newest_score(make_log) -> None:
    log = make_log(np.random.default_rng(1), 3)
    again = log.head(1).with_columns(
        pl.col("_event_time") + timedelta(days=5), pl.lit(0.9, pl.Float32).alias("_probability")
    )

    joined = join_matured(
        pl.concat([log, again]), labels_for(log, np.random.default_rng(2)), key="loan_id", as_of=AS_OF
    )

    assert joined.height == 3
    assert joined.filter(pl.col("_entity_id") == "e0")["_probability"].item() == pytest.approx(0.9)


def test_whole_number_keys_meet_the_logs_strings(make_log) -> None:
    log = make_log(np.random.default_rng(1), 3).with_columns(pl.Series("_entity_id", ["7", "8", "9"]))
    labels = labels_for(log, np.random.default_rng(2)).with_columns(pl.Series("loan_id", [7, 8, 9]))

    assert join_matured(log, labels, key="loan_id", as_of=AS_OF)["_label"].null_count() == 0


def test_metrics_are_scikit_learns_and_lie_in_their_intervals(make_log) -> None:
    draw = np.random.default_rng(3)
    log = make_log(draw, 2000, days=120)
    labels = labels_for(log, draw)
    found = _report(log, labels, judged_positives=10_000).judged
    y, p = labels["label"].to_numpy(), log["_probability"].to_numpy()

    assert (found.predictions, found.matured, found.positives) == (2000, 2000, int(y.sum()))
    assert found.metrics.roc_auc.value == pytest.approx(roc_auc_score(y, p))
    assert found.metrics.pr_auc.value == pytest.approx(average_precision_score(y, p))
    assert found.metrics.brier.value == pytest.approx(np.mean((y - p) ** 2), rel=1e-6)
    assert found.metrics.observed_rate.value == pytest.approx(y.mean())
    assert found.metrics.rate_ratio.value == pytest.approx(y.mean() / p.mean(), rel=1e-5)
    for estimate in (found.metrics.roc_auc, found.metrics.pr_auc, found.metrics.brier):
        assert estimate.low < estimate.value < estimate.high


def test_while_the_relation_holds_the_scores_alone_expect_what_the_labels_show(make_log) -> None:
    draw = np.random.default_rng(4)
    log = make_log(draw, 8000, days=120)
    report = _report(log, labels_for(log, draw), judged_positives=10_000)

    assert report.judged.expected.roc_auc == pytest.approx(report.judged.metrics.roc_auc.value, abs=0.02)
    assert report.verdict.outcome is Outcome.PASS


def test_a_relation_that_changed_is_decay_which_the_scores_alone_do_not_see(make_log) -> None:
    draw = np.random.default_rng(5)
    log = make_log(draw, 3000, days=120)
    unrelated = np.full(log.height, float(log["_probability"].mean()))
    report = _report(log, labels_for(log, draw, truth=unrelated))

    assert report.verdict.outcome is Outcome.FAIL
    assert {r.metric: r.outcome for r in report.verdict.reasons} == {
        "roc_auc": Outcome.FAIL,
        "rate_ratio": Outcome.PASS,
    }
    assert report.judged.expected.roc_auc > 0.7


def test_seven_times_the_predicted_rate_is_decay_though_the_ranking_holds(make_log) -> None:
    draw = np.random.default_rng(6)
    log = make_log(draw, 3000, days=120)
    true_rate = log["_probability"].to_numpy()
    low = log.with_columns((pl.col("_probability") / 7).alias("_probability"))
    report = _report(low, labels_for(log, draw, truth=true_rate))

    assert {r.metric: r.outcome for r in report.verdict.reasons} == {
        "roc_auc": Outcome.PASS,
        "rate_ratio": Outcome.FAIL,
    }


def test_too_few_matured_positives_say_nothing(make_log) -> None:
    log = make_log(np.random.default_rng(7), 500, days=120)
    labels = labels_for(log, np.random.default_rng(8), truth=np.full(500, 0.02))

    report = _report(log, labels)

    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert report.verdict.reasons[0].metric == "matured positives"


def test_nothing_matured_yet_says_nothing_and_still_shows_what_to_expect(make_log) -> None:
    log = make_log(np.random.default_rng(9), 400, days=120)
    report = _report(log, labels_for(log, np.random.default_rng(1)), as_of=SINCE + timedelta(days=130))

    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert "none of 400 predictions" in report.verdict.reasons[0].message
    assert report.judged is None
    assert [w.coverage for w in report.windows] == [0.0] * 4
    assert all(w.expected.roc_auc > 0.5 for w in report.windows)


def test_coverage_is_the_share_that_matured(make_log) -> None:
    log = make_log(np.random.default_rng(10), 400, days=120)
    labels = labels_for(log, np.random.default_rng(1))

    report = _report(log, labels, as_of=SINCE + timedelta(days=720 + 45))

    assert [round(w.coverage, 2) for w in report.windows] == [1.0, 0.51, 0.0, 0.0]


def test_the_newest_windows_with_enough_positives_are_judged(make_log) -> None:
    log = make_log(np.random.default_rng(11), 4000, days=120)
    labels = labels_for(log, np.random.default_rng(1))

    judged = _report(log, labels, judged_positives=50).judged
    all_of_it = _report(log, labels, judged_positives=10**6).judged

    assert (judged.since, judged.until) == MONTHS[-1]
    assert (all_of_it.since, all_of_it.until) == (MONTHS[0].since, MONTHS[-1].until)


def test_without_a_recorded_reference_the_ranking_is_not_judged(make_log) -> None:
    draw = np.random.default_rng(12)
    log = make_log(draw, 2000, days=120)

    report = _report(log, labels_for(log, draw), reference=None)

    assert report.verdict.outcome is Outcome.INCONCLUSIVE


def test_a_little_lower_but_not_surely_is_inconclusive(make_log) -> None:
    draw = np.random.default_rng(13)
    log = make_log(draw, 400, days=120)
    labels = labels_for(log, draw)
    found = _report(log, labels, judged_positives=10**6).judged.metrics.roc_auc

    report = _report(log, labels, reference=found.value + 0.001, max_roc_auc_loss=0.0, judged_positives=10**6)

    assert report.verdict.reasons[0].outcome is Outcome.INCONCLUSIVE


def test_a_label_table_without_its_clock_is_refused(make_log) -> None:
    log = make_log(np.random.default_rng(1), 3)

    with pytest.raises(ContractError, match="label_matured_at"):
        join_matured(log, pl.DataFrame({"loan_id": ["e0"], "label": [1]}), key="loan_id", as_of=AS_OF)


def test_no_prediction_at_all_says_nothing(make_log) -> None:
    log = make_log(np.random.default_rng(1), 3)

    report = _report(log.clear(), labels_for(log, np.random.default_rng(1)))

    assert report.verdict.outcome is Outcome.INCONCLUSIVE
    assert report.windows[0].expected is None
    assert report.windows[0].coverage is None


def test_windows_end_at_the_date_and_leave_no_gap() -> None:
    windows = windows_before(AS_OF, days=30, count=3)

    assert windows[-1].until == AS_OF
    assert windows[0].since == AS_OF - timedelta(days=90)
    assert [w.until for w in windows[:-1]] == [w.since for w in windows[1:]]
