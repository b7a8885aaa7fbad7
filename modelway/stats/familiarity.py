"""How far a row lies from what is usual, seen from the spread and the correlations of reference rows."""

from dataclasses import dataclass

import numpy as np

from modelway.stats.ranking import FloatArray

_RIDGE = 0.05
"""Share of the mean variance added to each: columns that never vary would make everything infinitely far."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Centre and inverse covariance of reference rows."""

    centre: FloatArray
    precision: FloatArray

    @classmethod
    def of(cls, rows: FloatArray) -> "Usual":
        """From rows (r, d), r >= 2, finite; every column is first brought to unit variance."""
        centre = rows.mean(axis=0)
        scale = np.where((spread := rows.std(axis=0)) > 0, spread, 1.0)
        standard = (rows - centre) / scale
        covariance = standard.T @ standard / len(rows)
        ridge = _RIDGE * max(float(np.trace(covariance)) / rows.shape[1], 1e-12)
        inverse = np.linalg.inv(covariance + ridge * np.eye(rows.shape[1]))
        return cls(centre, inverse / scale[:, None] / scale)

    def distance(self, rows: FloatArray) -> FloatArray:
        """Mahalanobis distance of each row (n, d) to the centre, shape (n,), in standard deviations.

        Source:
            Mahalanobis (1936); the ridge after Ledoit & Wolf (2004), with a fixed share.
        """
        away = rows - self.centre
        squared = np.einsum("nd,de,ne->n", away, self.precision, away, optimize=True)
        return np.asarray(np.sqrt(np.maximum(squared, 0.0)))
