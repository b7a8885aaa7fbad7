"""How well scores put positives before negatives: ROC and precision against recall, exact under ties.

Every function takes optional row weights of shape (..., n) and answers in shape (...): with resample
counts as weights, one call computes a whole bootstrap. The weight of a row is how often it counts.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class RankingCurve(NamedTuple):
    """Points of a curve, one for each distinct score, strictest threshold first."""

    x: FloatArray
    y: FloatArray


def row_weights(rows: int, weights: FloatArray | None) -> FloatArray:
    """The weights, or one for each row."""
    return np.ones(rows) if weights is None else weights


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Divide, and say NaN where there is nothing to divide by."""
    quotient: FloatArray = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) > 0)
    return quotient


def _by_score(
    y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Positive and negative weight at each distinct score, highest first: two arrays (..., groups)."""
    labels, values = np.asarray(y, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=np.inf))
    counted = row_weights(labels.size, weights)[..., order]
    positives = np.add.reduceat(counted * labels[order], starts, axis=-1)
    return positives, np.add.reduceat(counted, starts, axis=-1) - positives


def _undefined(scores: npt.ArrayLike, weights: FloatArray | None) -> FloatArray | None:
    """NaN in the answer's shape when there is no ranking: no rows, or a score that is no number."""
    values = np.asarray(scores, dtype=np.float64)
    if values.size and not np.isnan(values).any():
        return None
    return np.full(() if weights is None else weights.shape[:-1], np.nan)


def roc_auc(y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Chance that a positive scores above a negative, ties counting half.

    Args:
        y: Shape (n,), 0 or 1.
        scores: Shape (n,); only their order matters.
        weights: Shape (..., n), non-negative; None counts each row once.

    Returns:
        Shape (...): in [0, 1], NaN where a class is absent or a score is NaN.

    Source:
        Mann & Whitney (1947); the weighted form counts pairs by the product of their weights.
    """
    if (undefined := _undefined(scores, weights)) is not None:
        return undefined
    positives, negatives = _by_score(y, scores, weights)
    below = negatives.sum(-1, keepdims=True) - np.cumsum(negatives, axis=-1)
    won = np.sum(positives * (below + negatives / 2), axis=-1)
    return ratio(won, positives.sum(-1) * negatives.sum(-1))


def pr_auc(y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Average precision: precision at each distinct score, weighted by the recall gained there.

    A step function, not the trapezoid, which is too kind between the points.

    Args:
        y: Shape (n,), 0 or 1.
        scores: Shape (n,); only their order matters.
        weights: Shape (..., n), non-negative; None counts each row once.

    Returns:
        Shape (...): in [0, 1], NaN where no positive has weight or a score is NaN.

    Source:
        Davis & Goadrich (2006), "The relationship between Precision-Recall and ROC curves".
    """
    if (undefined := _undefined(scores, weights)) is not None:
        return undefined
    positives, negatives = _by_score(y, scores, weights)
    caught = np.cumsum(positives, axis=-1)
    flagged = caught + np.cumsum(negatives, axis=-1)
    precision = np.divide(caught, flagged, out=np.zeros_like(caught), where=flagged > 0)
    return ratio(np.sum(positives * precision, axis=-1), caught[..., -1])


def _cumulative(y: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    positives, negatives = _by_score(y, scores, None)
    return np.cumsum(positives), np.cumsum(negatives)


def roc_curve(y: npt.ArrayLike, scores: npt.ArrayLike) -> RankingCurve:
    """False-positive rate (x) against true-positive rate (y), from (0, 0) to (1, 1).

    Empty where a class is absent or a score is NaN.
    """
    if np.isnan(roc_auc(y, scores)):
        return RankingCurve(np.empty(0), np.empty(0))
    caught, alarms = _cumulative(y, scores)
    return RankingCurve(np.append(0.0, alarms / alarms[-1]), np.append(0.0, caught / caught[-1]))


def pr_curve(y: npt.ArrayLike, scores: npt.ArrayLike) -> RankingCurve:
    """Recall (x) against precision (y), strictest threshold first; empty where there is no positive."""
    if np.isnan(pr_auc(y, scores)):
        return RankingCurve(np.empty(0), np.empty(0))
    caught, alarms = _cumulative(y, scores)
    return RankingCurve(caught / caught[-1], caught / (caught + alarms))
