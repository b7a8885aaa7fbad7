"""The load-test flow is a gate: whatever is not shown to hold stops it."""

import numpy as np
import pytest

from flows.load_test import _require_kept
from loadtests.outcomes import Requests
from loadtests.outputs import LoadReport
from loadtests.results import summarise
from loadtests.verdict import judge_load
from modelway.contract import Outcome, Slo
from modelway.errors import SloBreachError

SLO = Slo(latency_limit_ms=25, rate_rps=100)


def report(count: int, took_s: float) -> LoadReport:
    due = np.arange(count) / 100.0
    requests = Requests(
        due_s=due,
        ready_s=due,
        sent_s=due,
        ended_s=due + took_s,
        status=np.full(count, 200),
        judged=np.ones(count, dtype=np.bool_),
        revision=("r1",) * count,
        error=("",) * count,
    )
    results = summarise(requests, SLO, asked_rps=100, duration_s=count / 100, cpu_share=0.1)
    where = {"url": "http://h", "model": "m", "profile": "steady", "users": 8, "folder": "out"}
    return LoadReport(**where, slo=SLO, results=results, verdict=judge_load(results, SLO))


@pytest.mark.parametrize(
    ("count", "took_s", "outcome"),
    [
        pytest.param(400, 0.1, Outcome.FAIL, id="slow"),
        pytest.param(200, 0.005, Outcome.INCONCLUSIVE, id="fast-but-too-few-to-say"),
    ],
)
def test_what_is_not_shown_to_hold_stops_the_flow(count: int, took_s: float, outcome: Outcome) -> None:
    found = report(count, took_s)

    assert found.verdict.outcome is outcome
    with pytest.raises(SloBreachError, match=outcome.value):
        _require_kept(found)


def test_a_promise_that_was_shown_to_hold_lets_it_go_on() -> None:
    _require_kept(report(400, 0.005))
