"""Latency at a part of saturation, and a soak: both with requests that are due at a fixed rate."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from measuring.calls import Call
from measuring.paced import Pace, paced
from measuring.paced_client import Paced
from measuring.servers import Server

_SETTLE_SHARE = 0.1
"""Length of the run before a soak, as a part of it: pools and histograms fill up."""


class Soak(NamedTuple):
    """A long run."""

    load: Paced
    memory_start_mb: float
    memory_end_mb: float

    @property
    def growth(self) -> float:
        """Share by which memory grew."""
        return self.memory_end_mb / self.memory_start_mb - 1


def side_by_side(asked: Sequence[tuple[Server, Call]], pace: Pace, rounds: int) -> list[list[Paced]]:
    """So many runs of each server at one rate, in turns."""
    turns = [[paced(server.url, call, pace) for server, call in asked] for _ in range(rounds)]
    return [list(runs) for runs in zip(*turns, strict=True)]


def tail(runs: Sequence[Paced]) -> float:
    """p99 over p50: the median of the runs."""
    return median(one.p99_ms / one.p50_ms for one in runs)


def calm_tail(runs: Sequence[Paced]) -> float:
    """The same in the median tenth of a second."""
    return median(one.calm_tail for one in runs)


def stood_still(runs: Sequence[Paced]) -> float:
    """Share of the time in which the client's core was taken away: the most of the runs."""
    return max(one.stood_still for one in runs)


def soak(server: Server, call: Call, pace: Pace) -> Soak:
    """Ask for so long, after a tenth as long to settle."""
    paced(server.url, call, pace._replace(seconds=max(1.0, pace.seconds * _SETTLE_SHARE)))
    start_mb = server.memory_mb()
    load = paced(server.url, call, pace)
    return Soak(load, start_mb, server.memory_mb())
