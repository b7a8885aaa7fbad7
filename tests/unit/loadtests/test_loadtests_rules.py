"""What profiles ask beyond the SLO: recovery, flatness, saturation; and that shapes make sense."""

from typing import Any

import numpy as np
import pytest

from loadtests.outcomes import Requests
from loadtests.profiles import Flatness, Phase, Profile, Recovery, profile_of
from loadtests.results import LatencySummary, LoadResults, PhaseResults, summarise
from loadtests.rules import Recovered, recovered, trends
from loadtests.saturation import saturation
from loadtests.verdict import judge_load
from loadtests.vitals import Memory, Vitals, memory_of
from modelway.contract import Outcome, Slo
from modelway.stats.trend import Growth

SLO = Slo(latency_limit_ms=25, rate_rps=100)


def requests(took_ms: np.ndarray, *, late_ms: float = 0.0, failed: np.ndarray | None = None) -> Requests:
    """A hundred a second; `late_ms` of each latency are the generator's."""
    due = np.arange(took_ms.size) / 100.0
    status = np.full(took_ms.size, 200)
    if failed is not None:
        status[failed] = 503
    return Requests(
        due_s=due,
        ready_s=due,
        sent_s=due + late_ms / 1000,
        ended_s=due + took_ms / 1000,
        status=status,
        judged=np.ones(took_ms.size, dtype=np.bool_),
        revision=("r",) * took_ms.size,
        error=("",) * took_ms.size,
    )


def results_of(given: Requests, **more: Any) -> LoadResults:
    found = summarise(given, SLO, asked_rps=100, duration_s=given.due_s.size / 100, cpu_share=0.1)
    return found.model_copy(update=more)


def outcomes(results: LoadResults, profile: str) -> dict[str, Outcome]:
    return {r.metric: r.outcome for r in judge_load(results, SLO, profile).reasons}


def test_recovery_is_when_the_rest_of_the_run_keeps_the_promise() -> None:
    # The burst is over after 10 s; for 3 s more every answer takes 100 ms; then 17 s of 5 ms.
    took = np.full(3000, 5.0)
    took[1000:1300] = 100.0
    found = recovered(requests(took), SLO, "burst", 10.0)

    # Of the 1,700 later ones 1 % may be slow: the last 17 of the 300 are forgiven.
    assert found.took_s == pytest.approx(2.82)
    assert found.samples == 1717


def test_a_service_that_was_never_late_recovers_at_once() -> None:
    assert recovered(requests(np.full(2000, 5.0)), SLO, "burst", 10.0).took_s == 0.0


def test_a_service_that_stays_late_never_recovers() -> None:
    assert recovered(requests(np.full(2000, 100.0)), SLO, "burst", 10.0).took_s is None


def test_errors_keep_a_service_from_recovering_too() -> None:
    failed = np.zeros(3000, dtype=np.bool_)
    failed[1000:1500] = True

    assert recovered(requests(np.full(3000, 5.0), failed=failed), SLO, "burst", 10.0).took_s > 4.9


def back(**changes: Any) -> Recovered:
    good = {"after": "burst", "ended_s": 10.0, "took_s": 1.0, "took_by_server_s": 1.0, "samples": 400}
    return Recovered.model_validate(good | changes)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        pytest.param(back(), Outcome.PASS, id="within-five-seconds"),
        pytest.param(back(took_s=6.0, took_by_server_s=6.0), Outcome.FAIL, id="a-second-too-late"),
        pytest.param(back(took_s=None, took_by_server_s=None), Outcome.FAIL, id="never"),
        pytest.param(back(took_s=6.0), Outcome.INCONCLUSIVE, id="but-only-the-generator-was-late"),
        pytest.param(back(samples=298), Outcome.INCONCLUSIVE, id="by-too-few-requests"),
        pytest.param(None, Outcome.INCONCLUSIVE, id="stopped-before"),
    ],
)
def test_a_spike_asks_for_recovery(found: Recovered | None, outcome: Outcome) -> None:
    assert outcomes(results_of(requests(np.full(400, 5.0)), recovery=found), "spike")["recovery"] is outcome


def soaked(took_ms: np.ndarray, memory: Memory | None, **given: Any) -> dict[str, Outcome]:
    seen = requests(took_ms, **given)
    end_s = took_ms.size / 100
    found = trends(seen, memory, start_s=0.1 * end_s, end_s=end_s)
    return outcomes(results_of(seen, trends=found, memory=memory), "soak")


STEADY_MB = memory_of(list(range(60)), [100.0] * 60, [])
NOISE_MS = 5.0 + np.random.default_rng(1).exponential(1.0, 6000)


def test_a_flat_run_is_flat() -> None:
    assert set(soaked(NOISE_MS, STEADY_MB).values()) == {Outcome.PASS}


def test_a_median_that_creeps_up_is_no_soak() -> None:
    # 4 ms over the run, of which nine tenths are looked at; a tenth of the limit, 2.5 ms, may be
    assert soaked(NOISE_MS + np.linspace(0, 4, 6000), STEADY_MB)["latency over time"] is Outcome.FAIL
    assert soaked(NOISE_MS + np.linspace(0, 1, 6000), STEADY_MB)["latency over time"] is Outcome.PASS


def test_what_only_the_generator_added_is_no_trend() -> None:
    assert soaked(NOISE_MS + 10.0, STEADY_MB, late_ms=10.0)["latency over time"] is Outcome.PASS


def test_errors_that_come_late_in_the_run_are_a_trend() -> None:
    late, even = np.zeros(6000, dtype=np.bool_), np.zeros(6000, dtype=np.bool_)
    late[[3500, 4000, 4200, 4800, 5000, 5500, 5600, 5700]] = True  # eight to none: p = 1/2^8 and less
    even[::800] = True

    assert soaked(NOISE_MS, STEADY_MB, failed=late)["errors over time"] is Outcome.FAIL
    assert soaked(NOISE_MS, STEADY_MB, failed=even)["errors over time"] is Outcome.PASS


@pytest.mark.parametrize(
    ("memory", "outcome"),
    [
        pytest.param(
            memory_of(list(range(60)), list(np.linspace(100, 120, 60)), []), Outcome.FAIL, id="a-leak"
        ),
        pytest.param(
            memory_of(list(range(60)), list(np.linspace(100, 103, 60)), []),
            Outcome.PASS,
            id="three-percent-are-let-pass",
        ),
        pytest.param(
            memory_of(list(range(60)), [90.0] * 6 + [100.0] * 54, []),
            Outcome.PASS,
            id="caches-fill-in-the-first-tenth",
        ),
        pytest.param(memory_of(list(range(60)), [None] * 60, []), Outcome.INCONCLUSIVE, id="unreadable"),
        pytest.param(None, Outcome.INCONCLUSIVE, id="nobody-looked"),
        pytest.param(memory_of(list(range(60)), [100.0] * 60, [4711]), Outcome.FAIL, id="a-process-ended"),
    ],
)
def test_memory_must_be_seen_to_be_flat(memory: Memory | None, outcome: Outcome) -> None:
    assert soaked(NOISE_MS, memory)["memory over time"] is outcome


def test_a_soak_that_was_stopped_at_once_says_nothing() -> None:
    assert outcomes(results_of(requests(NOISE_MS)), "soak")["trends"] is Outcome.INCONCLUSIVE


def step(rate_rps: float, took_ms: float, **changes: Any) -> PhaseResults:
    results = results_of(requests(np.full(400, took_ms)), **changes)
    return PhaseResults(name=f"{rate_rps:g}", start_s=0, rate_rps=rate_rps, judged=False, results=results)


def climb(*phases: PhaseResults) -> LoadResults:
    return results_of(requests(np.full(400, 5.0)), phases=phases)


def test_saturation_is_the_last_rate_before_the_first_that_breaks() -> None:
    found = saturation(climb(step(100, 5), step(200, 5), step(300, 90), step(400, 5)), SLO)

    assert (found.kept_rps, found.next_rps, found.limited_by) == (200, 300, "server")
    assert [s.outcome for s in found.steps] == [Outcome.PASS, Outcome.PASS, Outcome.FAIL]


@pytest.mark.parametrize(
    ("last", "limited_by", "outcome"),
    [
        pytest.param(step(200, 90), "server", Outcome.PASS, id="found"),
        pytest.param(step(200, 5), "nothing", Outcome.PASS, id="lies-above-the-last-step"),
        pytest.param(
            step(200, 5, judged_sent_late=100), "generator", Outcome.INCONCLUSIVE, id="could-not-send"
        ),
        pytest.param(
            step(200, 90, generator_cpu_share=0.97), "generator", Outcome.INCONCLUSIVE, id="out-of-cpu"
        ),
        pytest.param(
            step(200, 90, generator_lag_ms=LatencySummary.of(np.array([30.0]))),
            "generator",
            Outcome.INCONCLUSIVE,
            id="asleep-when-answers-came",
        ),
        pytest.param(step(200, 5, timed=100), "evidence", Outcome.INCONCLUSIVE, id="too-short"),
    ],
)
def test_a_climb_says_who_set_the_limit(last: PhaseResults, limited_by: str, outcome: Outcome) -> None:
    results = climb(step(100, 5), last)

    assert saturation(results, SLO).limited_by == limited_by
    assert outcomes(results, "stress")["saturation"] is outcome


def test_a_service_that_breaks_its_promise_at_the_first_step_has_no_saturation_rate() -> None:
    results = climb(step(100, 90), step(200, 5))

    assert saturation(results, SLO).kept_rps is None
    assert judge_load(results, SLO, "stress").outcome is Outcome.FAIL


def test_a_load_that_went_out_after_its_time_was_not_offered() -> None:
    # 400 requests in 4 s, every one 5 s late: none was sent while it was wanted
    given = requests(np.full(400, 5010.0), late_ms=5000.0)
    results = results_of(given)

    assert results.judged_offered_share == 0.0
    assert results.offered_rps == 0.0
    assert outcomes(results, "steady")["offered rate"] is Outcome.INCONCLUSIVE


def test_percentiles_carry_their_interval_and_open_ends_say_so() -> None:
    found = LatencySummary.of(np.arange(1.0, 101.0))

    assert found.between["50"] == (40.0, 61.0)  # binomial(100, 1/2): the textbook's ranks
    assert found.between["99"][1] is None
    assert "100" not in found.between


def test_the_generators_cpu_share_is_of_the_time_asked_for() -> None:
    vitals = Vitals(at_s=[0, 1, 2, 3], cpu_s=[0, 0.1, 1.1, 1.2], wake_at_s=[0.5, 1.5], wake_late_ms=[1, 9])

    assert vitals.cpu_share(1, 2) == pytest.approx(1.0)
    assert vitals.cpu_share(0, 3) == pytest.approx(0.4)
    assert vitals.lag_ms(1, 2).tolist() == [9]
    assert Vitals().cpu_share(0, 1) == 0.0


def test_the_rate_of_a_full_core_is_requests_over_cpu_time() -> None:
    # 400 requests took 0.1 of 4 s
    assert results_of(requests(np.full(400, 5.0))).generator_limit_rps == pytest.approx(1000)


def test_shapes_that_make_no_sense_are_refused() -> None:
    one = Phase(name="one", share=1, factor=1)
    with pytest.raises(ValueError, match="which nothing follows"):
        Profile(
            name="x", description="", duration_s=1, phases=(one,), recovery=Recovery(after="one", within_s=1)
        )
    halves = (Phase(name="up", share=0.5, factor=2), Phase(name="down", share=0.5, factor=1))
    with pytest.raises(ValueError, match="do not rise"):
        Profile(name="x", description="", duration_s=1, phases=halves, climbs=True)


def test_each_profile_has_the_rules_its_name_promises() -> None:
    assert profile_of("spike").recovery == Recovery(after="burst", within_s=5)
    assert profile_of("soak").flatness == Flatness()
    assert profile_of("stress").climbs
    assert not any(profile_of(name).climbs for name in ("smoke", "steady", "spike", "soak"))


def test_a_memory_trend_needs_a_first_level() -> None:
    assert not Growth(points=3).rises_by(0.0)
