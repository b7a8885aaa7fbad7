"""Finalists from every side - quality, work, size, learning - and those that nothing beats on all of them."""

import math
from collections.abc import Sequence

from modelway.training.artifacts import Finalist, Trial
from modelway.training.choice import Tried
from modelway.training.costs import latencies
from modelway.training.encoding import Floats
from modelway.training.policy import Cost

MOST = 8
"""Highest PR-AUC of all trials; each kind's first finished trial and the chosen one come on top."""
COSTS: tuple[Cost, ...] = ("operations", "bytes", "row_visits")


def finalists(tried: Sequence[Tried], chosen: Trial, row: Floats) -> tuple[Finalist, ...]:
    """Look at the best trials from every side.

    Args:
        tried: All trials, in order of preference.
        chosen: One of them; it is always among the finalists.
        row: One encoded row to time the graphs with, shape (1, F).
    """
    taken = _taken([t for t in tried if math.isfinite(t.pr_auc)], chosen)
    front = non_dominated([_axes(t) for t in taken])
    timed = latencies([t.graph for t in taken], row)
    return tuple(
        Finalist(
            kind=each.trial.kind,
            number=each.trial.number,
            pr_auc=each.pr_auc,
            **{cost: each.trial.costs[cost] for cost in COSTS},
            latency_us=latency.median_us,
            latency_low_us=latency.low_us,
            latency_high_us=latency.high_us,
            fit_seconds=each.trial.fit_seconds,
            on_front=on_front,
            chosen=each.trial == chosen,
        )
        for each, latency, on_front in zip(taken, timed, front, strict=True)
    )


def _taken(finite: Sequence[Tried], chosen: Trial) -> list[Tried]:
    first = {t.trial.kind: t for t in reversed(finite)}
    highest = sorted(finite, key=lambda t: -t.pr_auc)[:MOST]
    wanted = [*first.values(), *highest]
    return [t for t in finite if t.trial == chosen or any(t is w for w in wanted)]


def _axes(tried: Tried) -> tuple[float, ...]:
    """Lower is better on each; no clock has a part in any."""
    return (-tried.pr_auc, *(float(tried.trial.costs[cost]) for cost in COSTS))


def non_dominated(points: Sequence[Sequence[float]]) -> list[bool]:
    """Whether no other point is as low on every axis and lower on one."""
    return [not any(_dominates(other, point) for other in points) for point in points]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
