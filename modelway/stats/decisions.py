"""What a threshold makes of scores: hits, misses, and what they cost.

`flagged` is the decision, 1 where the score reaches the threshold. As in `ranking`, weights of
shape (..., n) make one call a whole bootstrap, and a rate without a denominator is NaN.
"""

import numpy as np
import numpy.typing as npt

from modelway.stats.ranking import FloatArray, ratio, row_weights


def _counts(
    y: npt.ArrayLike, flagged: npt.ArrayLike, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Weight of true positives, false positives, false negatives, and of all rows."""
    labels, decision = np.asarray(y, dtype=np.float64), np.asarray(flagged, dtype=np.float64)
    counted = row_weights(labels.size, weights)
    parts = (labels * decision, (1 - labels) * decision, labels * (1 - decision), np.ones(labels.size))
    hit, alarm, miss, rows = (np.asarray(counted @ part) for part in parts)
    return hit, alarm, miss, rows


def precision(y: npt.ArrayLike, flagged: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Share of positives among the flagged rows."""
    hit, alarm, _, _ = _counts(y, flagged, weights)
    return ratio(hit, hit + alarm)


def recall(y: npt.ArrayLike, flagged: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Share of flagged rows among the positives."""
    hit, _, miss, _ = _counts(y, flagged, weights)
    return ratio(hit, hit + miss)


def f1(y: npt.ArrayLike, flagged: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Harmonic mean of precision and recall."""
    hit, alarm, miss, _ = _counts(y, flagged, weights)
    return ratio(2 * hit, 2 * hit + alarm + miss)


def cost_per_row(
    y: npt.ArrayLike,
    flagged: npt.ArrayLike,
    prices: tuple[float, float],
    weights: FloatArray | None = None,
) -> FloatArray:
    """Mean cost of the decisions, in the currency of `prices`: of a false positive, a false negative."""
    _, alarm, miss, rows = _counts(y, flagged, weights)
    return ratio(alarm * prices[0] + miss * prices[1], rows)
