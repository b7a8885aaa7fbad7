import math
from collections.abc import Callable

import pytest

from modelway.contract import Outcome, Slo
from serving.rollout.evidence import Evidence, counts_of, weigh
from serving.rollout.judge import hard_fault, judge
from serving.rollout.plan import Limits, Metric, Plan, Risk, requests_needed, step_limits
from serving.rollout.target import Observations, Readiness

Seen = Callable[..., Observations]
SLO = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.001, rate_rps=100)
LAST = step_limits(SLO, 100, Risk(), steps=4)
HALF = step_limits(SLO, 50, Risk(), steps=4)


def after(limits: Limits, *looks: tuple[Observations | None, Observations | None]) -> Evidence:
    evidence = Evidence()
    for stable, canary in looks:
        evidence = weigh(evidence, stable, canary, limits)
    return evidence


def outcome(evidence: Evidence, limits: Limits, metric: Metric) -> Outcome:
    return next(r.outcome for r in judge(evidence, limits).reasons if r.metric == metric.value)


def test_limits_by_hand() -> None:
    # A quarter of the traffic may be four times as bad: 0.1 % / 0.25 and 1 % / 0.25.
    quarter = step_limits(SLO, 25, Risk(), steps=4)

    assert quarter.rates == {Metric.ERRORS: pytest.approx(0.004), Metric.SLOW: pytest.approx(0.04)}
    assert quarter.margins[Metric.SLOW] == pytest.approx(0.02)
    assert LAST.rates[Metric.ERRORS] == pytest.approx(0.001)  # the last step enforces the SLO itself
    # 1 % over 4 steps with 2 absolute and 3 relative tests each.
    assert math.exp(-LAST.log_fail) == pytest.approx(0.01 / 20)
    assert math.exp(-LAST.log_pass) == pytest.approx(0.05)


def test_a_small_step_is_capped() -> None:
    first = step_limits(Slo(latency_limit_ms=5, latency_percentile=95, rate_rps=1), 5, Risk(), steps=4)

    assert first.rates[Metric.SLOW] == 0.25  # 5 % / 0.05 would accept that every answer is slow


def test_every_step_takes_about_the_same_time_at_the_same_load() -> None:
    seconds = [
        requests_needed(step_limits(SLO, weight, Risk(false_step=0.05), steps=4)) / (100 * weight / 100)
        for weight in (5, 25, 50, 100)
    ]

    assert max(seconds) / min(seconds) < 1.05
    assert seconds[-1] == pytest.approx(33, abs=1)


def test_no_data_is_inconclusive(seen: Seen) -> None:
    for looks in ([], [(None, None)], [(seen(1000), None)], [(seen(1000), Observations(requests=10_000))]):
        verdict = judge(after(LAST, *looks), LAST)

        assert verdict.outcome is Outcome.INCONCLUSIVE


def test_data_that_stop_coming_are_inconclusive_however_good_they_were(seen: Seen) -> None:
    assert judge(after(LAST, (seen(0), seen(5000))), LAST).passed
    assert not judge(after(LAST, (seen(0), seen(5000)), (seen(0), None)), LAST).passed


def test_one_unknown_metric_holds_the_step(seen: Seen) -> None:
    dark = seen(5000).model_copy(update={"slo_exceeded": None})

    assert judge(after(LAST, (seen(0), dark)), LAST).outcome is Outcome.INCONCLUSIVE


def test_pass_needs_exactly_the_computed_number_of_good_answers(seen: Seen) -> None:
    needed = requests_needed(LAST)

    assert needed == 3299
    assert judge(after(LAST, (seen(0), seen(needed))), LAST).passed
    assert judge(after(LAST, (seen(0), seen(needed - 1))), LAST).outcome is Outcome.INCONCLUSIVE


def test_an_inconclusive_verdict_says_how_many_requests_are_missing(seen: Seen) -> None:
    verdict = judge(after(LAST, (seen(0), seen(1299))), LAST)

    assert "about 2,000 more requests" in verdict.summary()


def test_a_rate_at_the_limit_is_never_passed(seen: Seen) -> None:
    evidence = after(LAST, (seen(0), seen(100_000, errors=100, slow=0)))

    assert outcome(evidence, LAST, Metric.ERRORS) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("bad", [{"errors": 20}, {"slow": 60}], ids=["errors", "slow"])
def test_a_proven_breach_fails(seen: Seen, bad: dict[str, int]) -> None:
    verdict = judge(after(HALF, (seen(500), seen(500, **bad))), HALF)

    assert verdict.outcome is Outcome.FAIL
    assert f"{next(iter(bad.values()))} of 500" in verdict.summary()


def test_a_bad_day_for_both_arms_blames_neither(seen: Seen) -> None:
    both = seen(500, slow=100)

    evidence = after(HALF, (both, both))

    assert outcome(evidence, HALF, Metric.SLOW) is Outcome.INCONCLUSIVE
    assert "broken, but not shown to be worse than stable" in judge(evidence, HALF).summary()


def test_a_canary_that_drags_the_stable_arm_along_is_still_found_worse(seen: Seen) -> None:
    evidence = after(HALF, (seen(500, slow=100), seen(500, slow=450)))

    assert outcome(evidence, HALF, Metric.SLOW) is Outcome.FAIL


def test_a_canary_that_calls_good_requests_invalid_fails(seen: Seen) -> None:
    evidence = after(HALF, (seen(500, rejected=5), seen(400, rejected=105)))

    assert outcome(evidence, HALF, Metric.REJECTED) is Outcome.FAIL
    assert outcome(after(HALF, (seen(500, rejected=50), seen(500, rejected=50))), HALF, Metric.REJECTED) is (
        Outcome.PASS
    )


def test_counts_that_run_backwards_add_nothing(seen: Seen) -> None:
    steady = after(HALF, (seen(10), seen(100, errors=2)))
    jittered = after(HALF, (seen(10), seen(100, errors=2)), (seen(9), seen(98, errors=1)))

    assert jittered.tallies[Metric.ERRORS].canary == steady.tallies[Metric.ERRORS].canary


def test_the_comparison_waits_until_both_arms_are_known(seen: Seen) -> None:
    at_once = after(HALF, (seen(300), seen(300, slow=9)))
    in_two = after(HALF, (None, seen(200, slow=5)), (seen(300), seen(300, slow=9)))

    assert in_two.tallies[Metric.SLOW].worse == at_once.tallies[Metric.SLOW].worse


def test_rejections_count_as_trials_of_their_own_metric_alone() -> None:
    seen = Observations(requests=90, server_errors=1, rejected=10)

    rejected, errors = counts_of(seen, Metric.REJECTED), counts_of(seen, Metric.ERRORS)
    assert rejected is not None
    assert errors is not None
    assert (rejected.trials, errors.trials) == (100, 90)


def test_hard_faults(seen: Seen) -> None:
    risk = Risk()
    quiet = after(HALF, (seen(10), seen(10)))
    burst = after(HALF, (seen(5000), seen(5000)), (seen(5010), seen(5010, errors=9)))

    assert hard_fault(quiet, Readiness(wanted=1, ready=1, restarts=2), risk) is None
    crash = hard_fault(quiet, Readiness(wanted=1, ready=0, restarts=3, problem="exit code 1"), risk)
    assert crash is not None
    assert "crash loop: 3 restarts (exit code 1)" in crash.message
    fault = hard_fault(burst, None, risk)
    assert fault is not None
    assert "9 of 10 requests" in fault.message
    invalid = hard_fault(Evidence(invalid_outputs=1), None, risk)
    assert invalid is not None
    assert invalid.metric == "invalid_outputs"


def test_a_few_errors_between_two_looks_are_no_burst(seen: Seen) -> None:
    assert hard_fault(after(HALF, (seen(9), seen(9, errors=7))), None, Risk()) is None
    assert hard_fault(after(HALF, (seen(99), seen(99, errors=20))), None, Risk()) is None


def test_a_burst_that_both_arms_suffer_is_not_the_canarys(seen: Seen) -> None:
    both = after(HALF, (seen(90), seen(90)), (seen(100, errors=10), seen(100, errors=10)))

    assert hard_fault(both, None, Risk()) is None


def test_the_plan_refuses_what_cannot_work(make_plan: Callable[..., Plan]) -> None:
    zero = Slo(latency_limit_ms=25, max_error_rate=0, rate_rps=1)

    for changes in ({"weights": (50, 25, 100)}, {"weights": (5, 50)}, {"weights": ()}, {"slo": zero}):
        with pytest.raises(ValueError, match=r"weights must rise|no number of requests"):
            make_plan(**changes)


def test_on_a_bad_day_of_both_arms_the_canary_is_not_blamed_for_losing_the_race(seen: Seen) -> None:
    # Both arms slow in one of ten; by chance the canary a little more often. The limit is 2 %.
    evidence = after(HALF, (seen(97, slow=5), seen(106, slow=12)))

    assert evidence.tallies[Metric.SLOW].canary_over.log_wealth > HALF.log_fail
    assert outcome(evidence, HALF, Metric.SLOW) is Outcome.INCONCLUSIVE


def test_without_a_stable_arm_a_broken_limit_is_the_canarys(seen: Seen) -> None:
    assert outcome(after(LAST, (seen(0), seen(500, slow=60))), LAST, Metric.SLOW) is Outcome.FAIL
