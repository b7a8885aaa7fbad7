from collections.abc import Callable

import pytest

from serving.rollout.experiment import Experiment
from serving.rollout.forecast import forecast, pairs_needed
from serving.rollout.outputs import output_reasons
from serving.rollout.plan import Plan
from serving.rollout.sights import SHIFT_BINS, Pairs

Make = Callable[..., Plan]


def test_each_stop_says_its_requests_and_seconds(make_plan: Make) -> None:
    needs = forecast(make_plan(), rate_rps=100)

    assert [need.stop for need in needs] == ["5 %", "25 %", "50 %", "100 %"]
    assert needs[-1].requests == needs[-1].of_service
    assert needs[0].of_service == pytest.approx(20 * needs[0].requests)
    assert needs[-1].least_s == pytest.approx(needs[-1].requests / 100)
    assert all(need.in_time for need in needs)


def test_without_a_rate_no_time_is_promised(make_plan: Make) -> None:
    for rate_rps in (None, 0.0):
        assert {need.in_time for need in forecast(make_plan(), rate_rps=rate_rps)} == {None}


def test_a_rate_too_low_for_the_deadline_is_said(make_plan: Make) -> None:
    assert not forecast(make_plan(step_deadline_s=10), rate_rps=1)[-1].in_time


def test_pairs_are_counted_as_the_judge_counts_them(make_plan: Make) -> None:
    limits = make_plan(strategy="shadow-canary").limits(0)
    needed = pairs_needed(limits)

    def passes(pairs: int) -> bool:
        alike = Pairs(compared=pairs, changed=0, shifts=(pairs, *[0] * (SHIFT_BINS - 1)))
        return all(reason.outcome == "pass" for reason in output_reasons(alike, limits))

    assert passes(needed)
    assert not passes(needed - 1)


def test_blue_green_watches_at_least_its_window_and_a_b_counts_units(make_plan: Make) -> None:
    smoke, _, watch = forecast(make_plan(strategy="blue-green", watch_s=90), rate_rps=1000)
    assert (smoke.requests, watch.least_s) == (0, 90)
    experiment = Experiment(effect=0.02)
    test, _ = forecast(make_plan(strategy="a-b", experiment=experiment), rate_rps=None, reward_rate=0.1)
    assert test.requests == experiment.units_needed(0.1)
    assert test.of_service == 2 * test.requests
