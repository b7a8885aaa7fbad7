"""Does a series rise? A slope that single outliers cannot bend, with its interval."""

import math

import numpy as np
import numpy.typing as npt

from modelway.contract import Frozen

FEWEST_POINTS = 8
"""With fewer points no series shows a trend at 1 %."""


class Growth(Frozen):
    """How much a series grows from its first point to its last, in its own unit."""

    points: int
    first: float | None = None
    """Level at the beginning, on the fitted line."""
    growth: float | None = None
    """None: too few points to say."""
    low: float | None = None
    high: float | None = None

    def rises_by(self, limit: float) -> bool:
        """It grew by more than `limit`, and not only by chance."""
        return self.growth is not None and self.low is not None and self.low > 0 and self.growth > limit


def growth_of(values: npt.NDArray[np.float64], level: float = 0.98) -> Growth:
    """The Theil-Sen slope of equally spaced points, times the length of the series.

    Args:
        values: Shape (n,), finite, in order of time.
        level: Of the interval; 0.98 errs with 1 % at each end.

    Returns:
        Without growth for fewer than 8 points.

    Source:
        Sen (1968), JASA 63: the median of all pairwise slopes; its interval inverts Kendall's test.
    """
    if values.size < FEWEST_POINTS:
        return Growth(points=values.size)
    from scipy.stats import theilslopes  # noqa: PLC0415 - half a second that most callers need not pay

    slope, intercept, low, high = (float(number) for number in theilslopes(values, alpha=level))
    steps = values.size - 1
    return Growth(
        points=values.size, first=intercept, growth=slope * steps, low=low * steps, high=high * steps
    )


def later_is_worse(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Chance to see so many of the events in the second part if nothing changed.

    Args:
        first: Events and trials of the first part.
        second: The same of the second part.

    Returns:
        One-sided p-value; 1 without any event.

    Source:
        Given all events, those of the second part are hypergeometric: Fisher's exact test (1935).
    """
    events, trials = first[0] + second[0], first[1] + second[1]
    if not events:
        return 1.0
    from scipy.stats import hypergeom  # noqa: PLC0415 - as above

    return min(1.0, math.fsum([float(hypergeom.sf(second[0] - 1, trials, events, second[1]))]))
