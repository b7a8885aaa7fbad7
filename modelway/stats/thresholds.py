"""What every threshold would have made of the same scores: caught, falsely flagged, and what it cost.

As in `ranking`, weights of shape (..., n) make one call a whole bootstrap.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from modelway.stats.ranking import FloatArray, ratio, row_weights


class ThresholdCounts(NamedTuple):
    """Row weight by decision at each threshold, arrays (..., thresholds), and by class, arrays (..., 1)."""

    caught: FloatArray
    """Positives flagged."""
    alarms: FloatArray
    """Negatives flagged."""
    positives: FloatArray
    rows: FloatArray

    @property
    def selection_rate(self) -> FloatArray:
        """Share of rows flagged."""
        return ratio(self.caught + self.alarms, np.broadcast_to(self.rows, self.caught.shape))

    @property
    def recall(self) -> FloatArray:
        """Share of positives flagged."""
        return ratio(self.caught, np.broadcast_to(self.positives, self.caught.shape))

    @property
    def precision(self) -> FloatArray:
        """Share of positives among the flagged; NaN where nothing is flagged."""
        return ratio(self.caught, self.caught + self.alarms)

    def cost_per_row(self, prices: tuple[float, float]) -> FloatArray:
        """Mean cost in the currency of `prices`: of a false positive, of a false negative."""
        lost = self.alarms * prices[0] + (self.positives - self.caught) * prices[1]
        return ratio(lost, np.broadcast_to(self.rows, lost.shape))


def at_thresholds(
    y: npt.ArrayLike, scores: npt.ArrayLike, thresholds: npt.ArrayLike, weights: FloatArray | None = None
) -> ThresholdCounts:
    """Decide every row at every threshold; a row is flagged where its score reaches the threshold.

    Args:
        y: Shape (n,), 0 or 1.
        scores: Shape (n,), finite.
        thresholds: Shape (t,), any order.
        weights: Shape (..., n), non-negative; None counts each row once.
    """
    labels, values = np.asarray(y, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    counted = row_weights(labels.size, weights)
    flagged = (values[:, None] >= np.asarray(thresholds, dtype=np.float64)).astype(np.float64)
    caught = np.asarray(counted @ (flagged * labels[:, None]))
    flagged_rows = np.asarray(counted @ flagged)
    positives = np.asarray(counted @ labels)[..., None]
    return ThresholdCounts(caught, flagged_rows - caught, positives, np.asarray(counted.sum(-1))[..., None])
