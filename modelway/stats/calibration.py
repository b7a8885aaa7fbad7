"""Whether a probability means what it says: proper scores, reliability, calibration error.

As in `ranking`, weights of shape (..., n) make one call a whole bootstrap.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from modelway.stats.ranking import FloatArray, ratio, row_weights

BINS = 10
"""Enough to see a bend, few enough that a bin of 5,000 rows has a rate worth reading."""

_SMALLEST_PROBABILITY = 1e-15
"""A score of exactly 0 that is wrong would cost infinitely much; the field's usual floor."""


class ReliabilityBin(NamedTuple):
    """Rows of similar score: what was promised and what happened."""

    rows: int
    positives: int
    mean_score: float
    observed: float
    low: float
    high: float


def weighted_mean(values: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Mean of `values` (n,) under `weights` (..., n); NaN where there is no weight."""
    numbers = np.asarray(values, dtype=np.float64)
    counted = row_weights(numbers.size, weights)
    return ratio(np.asarray(counted @ numbers), counted.sum(-1))


def brier(y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Mean squared distance between probability and outcome, shape (...).

    Source:
        Brier (1950), "Verification of forecasts expressed in terms of probability".
    """
    distance = np.asarray(scores, dtype=np.float64) - np.asarray(y, dtype=np.float64)
    return weighted_mean(distance**2, weights)


def log_loss(y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
    """Mean negative log-likelihood of the outcomes, nats a row, shape (...)."""
    labels = np.asarray(y, dtype=np.float64)
    chance = np.clip(np.asarray(scores, dtype=np.float64), _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return weighted_mean(-(labels * np.log(chance) + (1 - labels) * np.log1p(-chance)), weights)


def equal_mass_bins(scores: npt.ArrayLike, bins: int = BINS) -> npt.NDArray[np.intp]:
    """Bin index of each row, (n,): bins of about equal size, equal scores always together.

    Equal width would put all rows of a 2 % base rate into the first bin.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        return np.empty(0, dtype=np.intp)
    edges = np.unique(np.percentile(values, np.linspace(0, 1, bins + 1)[1:-1] * 100))
    return np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)[1]


def calibration_error(
    y: npt.ArrayLike, scores: npt.ArrayLike, weights: FloatArray | None = None, *, bins: int = BINS
) -> FloatArray:
    """Expected calibration error: mean |observed rate - mean score| over equal-mass bins.

    The bins are those of the unweighted rows, so that a bootstrap compares like with like.

    Args:
        y: Shape (n,), 0 or 1.
        scores: Shape (n,), probabilities.
        weights: Shape (..., n), non-negative; None counts each row once.
        bins: How many bins at most; equal scores are never split.

    Returns:
        Shape (...): in [0, 1], NaN where there is no weight or a score is NaN.

    Source:
        Naeini, Cooper & Hauskrecht (2015); equal mass after Nguyen & O'Connor (2015).
    """
    gap = np.asarray(y, dtype=np.float64) - np.asarray(scores, dtype=np.float64)
    if not gap.size:
        return np.full(() if weights is None else weights.shape[:-1], np.nan)
    index = equal_mass_bins(scores, bins)
    member = (index[:, None] == np.arange(index.max() + 1)).astype(np.float64)
    counted = row_weights(gap.size, weights)
    off = np.abs(counted @ (member * gap[:, None])).sum(-1)
    return ratio(np.asarray(off), counted.sum(-1))


def wilson(successes: int, rows: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval for a rate, sane at 0 and at 1. (NaN, NaN) without rows.

    Source:
        Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    if rows == 0:
        return float("nan"), float("nan")
    z2 = float(ndtri(0.5 + level / 2)) ** 2
    centre = (successes + z2 / 2) / (rows + z2)
    half = np.sqrt(z2 * successes * (rows - successes) / rows + z2**2 / 4) / (rows + z2)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def reliability(y: npt.ArrayLike, scores: npt.ArrayLike, *, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram's points, lowest scores first, with Wilson intervals at 95 %."""
    labels, values = np.asarray(y, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    index = equal_mass_bins(values, bins)
    return tuple(_bin(labels[index == i], values[index == i]) for i in range(int(index.max(initial=-1)) + 1))


def _bin(labels: FloatArray, scores: FloatArray) -> ReliabilityBin:
    rows, positives = labels.size, int(labels.sum())
    low, high = wilson(positives, rows)
    return ReliabilityBin(rows, positives, float(scores.mean()), positives / rows, low, high)
