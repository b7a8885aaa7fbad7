"""How sure a percentile is: an interval between two observed values, whatever the distribution."""

import numpy as np
import numpy.typing as npt

from modelway.contract import Frozen


class PercentileInterval(Frozen):
    """Observed values on either side of a percentile, in the unit of the sample."""

    low: float | None
    """None: the sample is too small to bound it from below."""
    high: float | None
    """None: the sample is too small to bound it from above."""

    @property
    def bounded(self) -> bool:
        """Both ends are there."""
        return self.low is not None and self.high is not None


def percentile_interval(
    values: npt.NDArray[np.float64], percent: float, level: float = 0.95
) -> PercentileInterval:
    """Bound a percentile of the distribution that a sample comes from.

    The number of observations below the true percentile is binomial, whatever the distribution; the
    order statistics at its quantiles therefore bracket the percentile. Each end errs with probability
    at most (1 - level)/2. Ties make it wider, never narrower.

    Args:
        values: Shape (n,), independent observations, not NaN, any order; may be empty.
        percent: 0 < percent < 100.
        level: Coverage, at least.

    Returns:
        An end is None where no observation reaches far enough: 71 are too few to bound a p95 from above.

    Raises:
        ValueError: `percent` or `level` is out of range.

    Source:
        David & Nagaraja, "Order Statistics" (2003), section 7.1.
    """
    if not (0 < percent < 100 and 0 < level < 1):  # noqa: PLR2004 - a percent
        raise ValueError(f"percent must be in (0, 100) and level in (0, 1), got {percent} and {level}")
    from scipy.stats import binom  # noqa: PLC0415 - half a second that whoever asks for no interval need not pay

    size, tail = values.size, (1.0 - level) / 2.0
    share = percent / 100.0
    # low = X(r) is wrong when fewer than r observations lie below: P(B <= r - 1) <= tail.
    rank_low = int(binom.ppf(tail, size, share)) if size else 0
    if rank_low and binom.cdf(rank_low - 1, size, share) > tail:
        rank_low -= 1
    # high = X(s) is wrong when s or more lie below: P(B >= s) <= tail.
    rank_high = int(binom.ppf(1.0 - tail, size, share)) + 1 if size else 1
    ordered = np.sort(values)
    return PercentileInterval(
        low=float(ordered[rank_low - 1]) if rank_low >= 1 else None,
        high=float(ordered[rank_high - 1]) if rank_high <= size else None,
    )
