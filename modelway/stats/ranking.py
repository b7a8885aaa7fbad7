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


class Areas(NamedTuple):
    """Areas under both curves, each in the shape of the weights without their last axis."""

    roc_auc: FloatArray
    pr_auc: FloatArray


def _by_score(
    y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Positive and negative weight at each distinct score, highest first: two arrays (..., groups)."""
    labels, values = np.asarray(y, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=np.inf))
    counted = row_weights(labels.size, weights)[..., order]
    positives, total = counted * labels[order], counted
    if starts.size < order.size:  # summing groups of one would double the time
        positives, total = (np.add.reduceat(each, starts, axis=-1) for each in (positives, total))
    return positives, total - positives


def areas(y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None = None) -> Areas:
    """`roc_auc` and `pr_auc` in one pass: sorting and grouping are most of the work of either.

    Args:
        y: Shape (n,), 0 or 1.
        scores: Shape (n,); only their order matters.
        weights: Shape (..., n), non-negative; None counts each row once.

    Returns:
        Two arrays of shape (...), in [0, 1]. NaN where a score is NaN or a class that is needed
        has no weight: both classes for ROC, the positives for PR.

    Source:
        Mann & Whitney (1947), the weighted form counting pairs by the product of their weights;
        Davis & Goadrich (2006), "The relationship between Precision-Recall and ROC curves".
    """
    values = np.asarray(scores, dtype=np.float64)
    if not values.size or np.isnan(values).any():
        undefined = np.full(() if weights is None else weights.shape[:-1], np.nan)
        return Areas(undefined, undefined)
    positives, negatives = _by_score(y, values, weights)
    caught, alarms = np.cumsum(positives, axis=-1), np.cumsum(negatives, axis=-1)
    return Areas(_roc_area(positives, negatives, alarms), _pr_area(positives, caught, alarms))


def _roc_area(positives: FloatArray, negatives: FloatArray, alarms: FloatArray) -> FloatArray:
    """Pairs won over pairs: each positive beats the negatives below it, and half of its equals."""
    total = alarms[..., -1]
    lost = np.einsum("...g,...g->...", positives, alarms - negatives / 2)
    caught = positives.sum(-1)
    return ratio(caught * total - lost, caught * total)


def _pr_area(positives: FloatArray, caught: FloatArray, alarms: FloatArray) -> FloatArray:
    """Precision at each score, weighted by the positives gained there."""
    flagged = caught + alarms
    precision = np.divide(caught, flagged, out=np.zeros_like(caught), where=flagged > 0)
    return ratio(np.einsum("...g,...g->...", positives, precision), caught[..., -1])


def roc_auc(y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Chance that a positive scores above a negative, ties counting half. See `areas`."""
    return areas(y, scores, weights).roc_auc


def pr_auc(y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Average precision: precision at each distinct score, weighted by the recall gained there.

    A step function, not the trapezoid, which is too kind between the points. See `areas`.
    """
    return areas(y, scores, weights).pr_auc


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
