"""The load verdict, case by case: numbers in, outcome out."""

import pytest

from loadtests.results import LatencySummary, LoadResults
from loadtests.rules import allowed_slow
from loadtests.verdict import judge_load
from modelway.contract import Outcome, Slo, Verdict

SLO = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.001, rate_rps=100)
EMPTY = LatencySummary(samples=0, at={})


def results(**changes: object) -> LoadResults:
    """1,000 good requests in ten seconds, but for `changes`."""
    good = {
        "asked_rps": 100.0,
        "planned": 1000,
        "duration_s": 10.0,
        "ok": 1000,
        "failed": 0,
        "rejected": 0,
        "never_sent": 0,
        "first_error": "",
        "judged": 1000,
        "judged_failed": 0,
        "judged_never_sent": 0,
        "judged_rejected": 0,
        "timed": 1000,
        "slow": 0,
        "slow_by_server": 0,
        "latency_ms": LatencySummary(samples=1000, at={"99": 9.0}),
        "service_ms": EMPTY,
        "generator_late_ms": EMPTY,
        "generator_cpu_share": 0.2,
        "revisions": (),
    }
    return LoadResults.model_validate(good | changes)


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {r.metric: r.outcome for r in verdict.reasons}


@pytest.mark.parametrize(
    ("changes", "metric", "expected"),
    [
        pytest.param({}, "latency p99", Outcome.PASS, id="all-fast"),
        pytest.param(
            {"slow": 10, "slow_by_server": 10}, "latency p99", Outcome.PASS, id="ten-of-a-thousand-may"
        ),
        pytest.param({"slow": 11, "slow_by_server": 11}, "latency p99", Outcome.FAIL, id="eleven-may-not"),
        pytest.param(
            {"slow": 11, "slow_by_server": 10}, "latency p99", Outcome.INCONCLUSIVE, id="we-sent-late"
        ),
        pytest.param(
            {"slow": 50, "slow_by_server": 50, "generator_cpu_share": 0.95},
            "latency p99",
            Outcome.INCONCLUSIVE,
            id="a-generator-out-of-cpu-measures-itself",
        ),
        pytest.param({"generator_cpu_share": 0.95}, "latency p99", Outcome.PASS, id="and-yet-all-were-fast"),
        pytest.param({"timed": 298}, "latency p99", Outcome.INCONCLUSIVE, id="too-few-to-say"),
        pytest.param({"timed": 299}, "latency p99", Outcome.PASS, id="just-enough"),
        pytest.param(
            {"timed": 298, "slow": 3, "slow_by_server": 3},
            "latency p99",
            Outcome.FAIL,
            id="already-too-many-slow",
        ),
        pytest.param(
            {"timed": 298, "slow": 2, "slow_by_server": 2},
            "latency p99",
            Outcome.INCONCLUSIVE,
            id="not-yet-too-many",
        ),
        pytest.param(
            {"timed": 0, "latency_ms": EMPTY}, "latency p99", Outcome.INCONCLUSIVE, id="no-answer-at-all"
        ),
        pytest.param({"judged_failed": 1}, "error rate", Outcome.PASS, id="one-error-of-a-thousand-may"),
        pytest.param({"judged_failed": 2}, "error rate", Outcome.FAIL, id="two-may-not"),
        pytest.param(
            {"judged": 100, "judged_failed": 0}, "error rate", Outcome.INCONCLUSIVE, id="a-hundred-say-little"
        ),
        pytest.param(
            {"judged": 100, "judged_failed": 1}, "error rate", Outcome.FAIL, id="but-one-error-says-enough"
        ),
        pytest.param(
            {"judged_failed": 9, "judged_never_sent": 9, "generator_cpu_share": 1.0},
            "error rate",
            Outcome.INCONCLUSIVE,
            id="requests-an-overworked-generator-never-sent-are-not-the-servers",
        ),
        pytest.param(
            {"judged_failed": 9, "judged_never_sent": 9},
            "error rate",
            Outcome.FAIL,
            id="but-a-hanging-servers-are",
        ),
        pytest.param(
            {"judged_rejected": 2},
            "rejected requests",
            Outcome.INCONCLUSIVE,
            id="wrong-requests-prove-nothing",
        ),
        pytest.param({"judged_never_sent": 50}, "offered rate", Outcome.PASS, id="nineteen-of-twenty-sent"),
        pytest.param({"judged_never_sent": 51}, "offered rate", Outcome.INCONCLUSIVE, id="fewer-are-no-load"),
        pytest.param(
            {"planned": 0, "judged": 0, "timed": 0},
            "offered rate",
            Outcome.INCONCLUSIVE,
            id="stopped-at-once",
        ),
    ],
)
def test_each_limit_from_both_sides(changes: dict[str, object], metric: str, expected: Outcome) -> None:
    assert outcomes(judge_load(results(**changes), SLO))[metric] is expected


def test_good_numbers_pass_on_every_count() -> None:
    verdict = judge_load(results(), SLO)

    assert verdict.passed
    assert list(outcomes(verdict)) == ["latency p99", "error rate", "rejected requests", "offered rate"]


def test_a_lower_rate_than_promised_is_named() -> None:
    message = judge_load(results(asked_rps=50.0), SLO).reasons[-1].message

    assert "the promise is for 100, which this run does not show" in message


def test_allowed_slow_answers_leave_the_percentile_within_the_limit() -> None:
    # p99 of 1000 is the 990th smallest: ten may be slower; of 299 the 297th: two
    assert (allowed_slow(1000, SLO), allowed_slow(299, SLO), allowed_slow(1, SLO)) == (10, 2, 0)
