"""Decisions at other thresholds than the one in use, and what the rows say each would have cost."""

from functools import partial

import numpy as np

from modelway.contract import CostMatrix
from modelway.evaluation.findings import ThresholdPoint, ThresholdReport
from modelway.evaluation.scored import ScoredRows
from modelway.stats.bootstrap import Estimate, Sampling, bootstrap
from modelway.stats.ranking import FloatArray
from modelway.stats.thresholds import ThresholdCounts, at_thresholds

POINTS = 40
FEW_FLAGGED = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04)
"""Thresholds tried: the scores' quantiles, so that each step flags about as many rows more, and closer
together where few are flagged: there the dear decisions are made."""


def threshold_report(rows: ScoredRows, costs: CostMatrix, sampling: Sampling) -> ThresholdReport | None:
    """Share flagged, recall, precision and cost at each of at most 49 thresholds.

    The cheapest of them is cheapest on these very rows, which flatters it: its saving over the threshold
    in use is resampled in pairs, and the cheapest one is chosen anew in each resample.

    Returns:
        None where a score is no probability or there are no rows.
    """
    if rows.invalid or not rows.y.size:
        return None
    tried = _tried(rows)
    prices = costs.false_positive, costs.false_negative
    own = int(np.searchsorted(tried, rows.threshold))
    measured = partial(_statistics, rows, tried, prices, own)
    found = bootstrap(measured, rows.y.size, sampling, raised_by_noise=frozenset({"saving"}))
    counts = at_thresholds(rows.y, rows.scores, tried)
    cheapest = int(np.argmin(counts.cost_per_row(prices)))
    points = tuple(_point(float(t), counts, i, found[f"cost/{i}"]) for i, t in enumerate(tried))
    return ThresholdReport(
        points=points, cheapest=points[cheapest], in_use=points[own], saving=found["saving"]
    )


def _tried(rows: ScoredRows) -> FloatArray:
    at = np.concatenate([np.linspace(0, 1, POINTS), 1 - np.array(FEW_FLAGGED)])
    quantiles = np.quantile(rows.scores, at, method="lower")
    nobody = np.nextafter(rows.scores.max(), 2)
    return np.unique(np.concatenate([quantiles, [rows.threshold, nobody]]))


def _statistics(
    rows: ScoredRows, tried: FloatArray, prices: tuple[float, float], own: int, weights: FloatArray
) -> dict[str, FloatArray]:
    cost = at_thresholds(rows.y, rows.scores, tried, weights).cost_per_row(prices)
    each = {f"cost/{i}": cost[..., i] for i in range(tried.size)}
    return {**each, "saving": cost[..., own] - cost.min(axis=-1)}


def _point(threshold: float, counts: ThresholdCounts, i: int, cost: Estimate) -> ThresholdPoint:
    precision = float(counts.precision[i])
    return ThresholdPoint(
        threshold=threshold,
        selection_rate=float(counts.selection_rate[i]),
        recall=_defined(float(counts.recall[i])),
        precision=_defined(precision),
        cost_per_row=cost,
    )


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
