"""ROC-AUC with an interval from a formula, also for two scores of the same rows, and rank correlation."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

from modelway.stats.bootstrap import UNDEFINED, Estimate
from modelway.stats.ranking import FloatArray


class AucChange(NamedTuple):
    """ROC-AUC of the second score, and its difference to the first."""

    roc_auc: Estimate
    change: Estimate


class _Placements(NamedTuple):
    """For each positive the share of negatives below it, and the other way round; ties count half."""

    positives: FloatArray
    negatives: FloatArray

    @property
    def area(self) -> float:
        """ROC-AUC: the mean placement of the positives."""
        return float(self.positives.mean())

    def variance(self) -> float:
        """Of the area, after DeLong: one part from each class."""
        return _variance(self.positives) + _variance(self.negatives)


def auc_estimate(y: npt.ArrayLike, scores: npt.ArrayLike, *, level: float = 0.95) -> Estimate:
    """ROC-AUC with its interval, cut at 0 and 1. Undefined where a class has fewer than two rows.

    Args:
        y: Shape (n,), 0 or 1.
        scores: Shape (n,), finite.
        level: Coverage aimed at.

    Source:
        DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44; by ranks after Sun & Xu (2014).
    """
    labels = np.asarray(y) > 0
    if min(labels.sum(), (~labels).sum()) < 2:  # noqa: PLR2004 - a variance takes two
        return UNDEFINED
    found = _placements(labels, np.asarray(scores, dtype=np.float64))
    return _estimate(found.area, found.variance(), level, bounds=(0.0, 1.0))


def auc_change(
    y: npt.ArrayLike, before: npt.ArrayLike, after: npt.ArrayLike, *, level: float = 0.95
) -> AucChange:
    """The same for two scores of the same rows; the difference takes their correlation into account."""
    labels = np.asarray(y) > 0
    if min(labels.sum(), (~labels).sum()) < 2:  # noqa: PLR2004 - as above
        return AucChange(UNDEFINED, UNDEFINED)
    first, second = (_placements(labels, np.asarray(s, dtype=np.float64)) for s in (before, after))
    moved = _Placements(second.positives - first.positives, second.negatives - first.negatives)
    return AucChange(
        _estimate(second.area, second.variance(), level, bounds=(0.0, 1.0)),
        _estimate(second.area - first.area, moved.variance(), level, bounds=(-1.0, 1.0)),
    )


def _placements(labels: npt.NDArray[np.bool_], scores: FloatArray) -> _Placements:
    overall = rankdata(scores)
    above = overall[labels] - rankdata(scores[labels])
    below = overall[~labels] - rankdata(scores[~labels])
    return _Placements(above / (~labels).sum(), 1 - below / labels.sum())


def _variance(placements: FloatArray) -> float:
    return float(placements.var(ddof=1) / placements.size)


def _estimate(value: float, variance: float, level: float, bounds: tuple[float, float]) -> Estimate:
    half = float(ndtri(0.5 + level / 2)) * np.sqrt(variance)
    low, high = max(bounds[0], value - half), min(bounds[1], value + half)
    return Estimate(value=value, low=float(low), high=float(high))


def rank_correlation(one: npt.ArrayLike, other: npt.ArrayLike) -> float | None:
    """Spearman's correlation of two series (n,); None where either is constant.

    Source:
        Spearman (1904): Pearson's correlation of the ranks, ties by their mean rank.
    """
    ranks = rankdata(np.asarray(one)), rankdata(np.asarray(other))
    if min(np.ptp(ranks[0]), np.ptp(ranks[1])) == 0:
        return None
    return float(np.corrcoef(*ranks)[0, 1])
