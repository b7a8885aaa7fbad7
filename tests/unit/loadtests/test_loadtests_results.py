"""From what happened to each request to the numbers: no coordinated omission."""

import numpy as np
import pytest

from loadtests.outcomes import NEVER_SENT, NO_ANSWER, Requests
from loadtests.results import summarise
from modelway.contract import Slo

SLO = Slo(latency_limit_ms=25, rate_rps=100)


def requests(
    rows: list[tuple[float, float, float, float, int]], judged: list[bool] | None = None
) -> Requests:
    """(due, ready, sent, ended, status), seconds."""
    due, ready, sent, ended, status = (np.array(column) for column in zip(*rows, strict=True))
    return Requests(
        due_s=due,
        ready_s=ready,
        sent_s=sent,
        ended_s=ended,
        status=status.astype(np.int64),
        judged=np.array(judged or [True] * len(rows)),
        revision=tuple(f"r{k % 2}" for k in range(len(rows))),
        error=tuple("" if s == 200 else f"error {s}" for s in status),
    )


def of(rows: list[tuple[float, float, float, float, int]], judged: list[bool] | None = None):
    return summarise(requests(rows, judged), SLO, asked_rps=100.0, duration_s=10.0, cpu_share=0.1)


def test_a_request_that_waited_for_a_connection_is_slow_though_its_answer_was_fast() -> None:
    found = of([(1.0, 1.5, 1.5, 1.501, 200)])

    assert found.latency_ms.at["100"] == pytest.approx(501.0)
    assert found.service_ms.at["100"] == pytest.approx(1.0)
    assert (found.slow, found.slow_by_server) == (1, 1)


def test_a_request_that_we_sent_late_is_slow_but_not_the_servers_doing() -> None:
    found = of([(1.0, 1.0, 1.1, 1.101, 200)])

    assert (found.slow, found.slow_by_server) == (1, 0)
    assert found.generator_late_ms.at["100"] == pytest.approx(100.0)


def test_failing_fast_is_counted_and_has_no_latency() -> None:
    found = of(
        [(0, 0, 0, 0.001, 503), (0, 0, 0, 0.002, 429), (0, 0, 0, 0.002, NO_ANSWER), (0, 0, 0, 0.01, 200)]
    )

    assert (found.failed, found.ok, found.timed, found.slow) == (3, 1, 1, 0)
    assert found.first_error == "error 503"


def test_hanging_until_the_time_out_is_slow_as_well_as_failed() -> None:
    found = of([(0, 0, 0, 5.0, NO_ANSWER), (1.0, 9.0, 9.0, 9.0, NEVER_SENT)])

    assert (found.failed, found.timed, found.slow_by_server, found.never_sent) == (2, 2, 2, 1)
    assert found.offered_rps == pytest.approx(0.1)


@pytest.mark.parametrize("status", [400, 404, 422, 301])
def test_refusals_are_neither_failures_nor_answers(status: int) -> None:
    found = of([(0, 0, 0, 0.001, status)])

    assert (found.rejected, found.failed, found.ok, found.timed) == (1, 0, 0, 0)


def test_a_phase_that_is_not_judged_is_shown_but_not_held_against_the_server() -> None:
    found = of([(0, 0, 0, 0.010, 200), (1, 1, 1, 1.9, 200), (1, 1, 1, 1.9, 500)], [True, False, False])

    assert (found.planned, found.judged, found.timed, found.slow, found.judged_failed) == (3, 1, 1, 0, 0)


def test_each_revision_has_its_own_numbers() -> None:
    found = of([(0, 0, 0, 0.010, 200), (0, 0, 0, 0.020, 200), (0, 0, 0, 0.030, 500)])

    assert [(r.revision, r.requests, r.failed) for r in found.revisions] == [("r0", 2, 1), ("r1", 1, 0)]
    assert found.revisions[1].latency_ms.at["50"] == pytest.approx(20.0)


def test_percentiles_of_no_answer_are_absent_not_zero() -> None:
    assert of([(0, 0, 0, 0.001, 503)]).latency_ms.at == {}
