"""Bets on the mean of values in [0, 1], looked at any time.

With a fixed stake L the capital Π(1 + L(x - m)) is not expected to grow while the mean is at most m, and
mirrored while it is at least m. A mixture over fixed stakes needs no tuning, and its capital depends on
the values' histogram alone, so that it can be computed anew from totals at each look.

Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024).
"""

import math
from collections.abc import Sequence

from modelway.stats.sequential import RUIN, log_sum_exp

STAKES = (0.05, 0.2, 0.5, 0.9)
"""Shares of the largest stake that cannot lose everything."""


def evidence_mean_above(limit: float, histogram: Sequence[int]) -> float:
    """Log evidence against "the mean is at most `limit`".

    Args:
        limit: 0 < limit < 1.
        histogram: Values per bin; n equal bins of [0, 1]. Each value counts as its bin's lower edge, which
            can only weaken the evidence.
    """
    edges = [index / len(histogram) for index in range(len(histogram))]
    return _mixture(tuple(share / limit for share in STAKES), limit, edges, histogram)


def evidence_mean_below(bound: float, histogram: Sequence[int]) -> float:
    """Log evidence against "the mean is at least `bound`".

    Args:
        bound: 0 < bound < 1.
        histogram: As above; each value counts as its bin's upper edge.
    """
    edges = [(index + 1) / len(histogram) for index in range(len(histogram))]
    return _mixture(tuple(-share / (1.0 - bound) for share in STAKES), bound, edges, histogram)


def _mixture(
    stakes: Sequence[float], mean: float, values: Sequence[float], histogram: Sequence[int]
) -> float:
    counted = [(value - mean, count) for value, count in zip(values, histogram, strict=True) if count]
    logs = (sum(count * math.log1p(stake * away) for away, count in counted) for stake in stakes)
    return max(RUIN, log_sum_exp(logs) - math.log(len(stakes)))
