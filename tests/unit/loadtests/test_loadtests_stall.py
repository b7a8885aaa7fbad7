"""One stall of a server, by a queue worked out in place of a clock: no machine's noise."""

import heapq

import numpy as np
import pytest

from loadtests.judge import judge_slo
from loadtests.outcomes import Requests
from loadtests.results import LoadResults, summarise
from modelway.contract import Outcome, Slo

SLO = Slo(latency_limit_ms=20, rate_rps=200)
CONNECTIONS, DURATION_S, ANSWER_S = 4, 4.0, 0.001


def queued(stall_at_s: float, stall_s: float) -> Requests:
    """Even arrivals over four connections to a server that answers in 1 ms, or when its stall is over."""
    due_s = np.arange(0.0, DURATION_S, 1 / SLO.rate_rps)
    free_s, ready_s, ended_s = [0.0] * CONNECTIONS, [], []
    for due in due_s:
        ready = max(due, heapq.heappop(free_s))
        stalled = stall_at_s <= ready < stall_at_s + stall_s
        ended = (stall_at_s + stall_s if stalled else ready) + ANSWER_S
        heapq.heappush(free_s, ended)
        ready_s.append(ready)
        ended_s.append(ended)
    none = tuple("" for _ in due_s)
    return Requests(
        due_s=due_s,
        ready_s=np.array(ready_s),
        sent_s=np.array(ready_s),
        ended_s=np.array(ended_s),
        status=np.full(due_s.size, 200),
        judged=np.ones(due_s.size, dtype=np.bool_),
        revision=none,
        error=none,
    )


def results(requests: Requests) -> LoadResults:
    return summarise(requests, SLO, asked_rps=200, duration_s=DURATION_S, cpu_share=0.1)


def test_one_stall_is_felt_by_four_and_delays_two_hundred() -> None:
    requests = queued(1.0, 1.0)
    found = results(requests)

    # Due at 1.000, 1.005, 1.010 and 1.015 s: each on a connection of its own, all answered at 2.001 s.
    assert (requests.service_ms > 500).sum() == CONNECTIONS
    # Due at 1 s + 5 ms x k, answered at 2.001 s + 1 ms x floor(k / 4): over 500 ms later for k up to 105.
    assert (requests.corrected_ms > 500).sum() == 106
    assert found.latency_ms.at["100"] == pytest.approx(1001)
    assert found.slow == found.slow_by_server > 200
    assert found.service_ms.at["99"] == pytest.approx(1)
    assert judge_slo(found, SLO).reasons[0].outcome is Outcome.FAIL


def test_without_it_the_same_load_passes() -> None:
    assert judge_slo(results(queued(9.0, 0.0)), SLO).passed
