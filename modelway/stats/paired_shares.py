"""Two shares measured on the same occasions: is the second larger, and by how much?"""

import math

from scipy.optimize import brentq
from scipy.stats import binom, norm

from modelway.contract import Frozen


class PairedShares(Frozen):
    """Pairs of outcomes, one of each arm, counted by what happened to them."""

    pairs: int
    both: int = 0
    only_a: int = 0
    only_b: int = 0

    @property
    def share_a(self) -> float:
        """Share of pairs in which A's outcome was bad; 0 without pairs."""
        return (self.both + self.only_a) / self.pairs if self.pairs else 0.0

    @property
    def share_b(self) -> float:
        """The same of B."""
        return (self.both + self.only_b) / self.pairs if self.pairs else 0.0

    @property
    def difference(self) -> float:
        """B's share less A's."""
        return self.share_b - self.share_a


def b_is_worse(counts: PairedShares) -> float:
    """Chance to see so many pairs that only B got wrong, if a coin decides which of the two fails.

    Exact when a coin decided who of the pair came first, even where bad outcomes come in bursts.

    Returns:
        One-sided p-value.

    Source:
        McNemar (1947), Psychometrika 12, in its exact binomial form.
    """
    apart = counts.only_a + counts.only_b
    return float(binom.sf(counts.only_b - 1, apart, 0.5)) if apart else 1.0


def difference_interval(counts: PairedShares, level: float = 0.95) -> tuple[float, float]:
    """Interval of B's share less A's.

    Unlike the textbook's normal interval it has its coverage when nothing bad happened at all: then it
    is ± z²/(n + z²), where the textbook says ± 0.

    Args:
        counts: At least one pair.
        level: Coverage.

    Raises:
        ValueError: There is no pair.

    Source:
        Tango (1998), Statistics in Medicine 17: the score interval of a paired difference.
    """
    if not counts.pairs:
        raise ValueError("a difference needs at least one pair")
    z = float(norm.ppf(0.5 + level / 2.0))
    found = counts.difference
    return _end(counts, z, found, -1.0), _end(counts, -z, found, 1.0)


def pairs_to_show_below(margin: float, level: float = 0.95) -> int:
    """Pairs without any bad outcome that show a difference below `margin`: the smallest evidence.

    Args:
        margin: 0 < margin < 1.
        level: Of the two-sided interval.
    """
    z = float(norm.ppf(0.5 + level / 2.0))
    return math.floor(z * z * (1.0 - margin) / margin) + 1


def _end(counts: PairedShares, target: float, found: float, edge: float) -> float:
    inner = edge * (1.0 - 1e-12)
    if (_score(counts, inner) - target) * (_score(counts, found) - target) > 0:
        return edge
    return float(brentq(lambda difference: _score(counts, difference) - target, found, inner, xtol=1e-10))


def _score(counts: PairedShares, difference: float) -> float:
    """Tango's score statistic for "B's share less A's is `difference`"; falls as it rises."""
    pairs, gap = counts.pairs, counts.only_b - counts.only_a - counts.pairs * difference
    only_a = _likeliest_only_a(counts, difference)
    variance = pairs * (2.0 * only_a + difference * (1.0 - difference))
    return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0.0


def _likeliest_only_a(counts: PairedShares, difference: float) -> float:
    """Probability of "only A" that fits best under the given difference."""
    pairs, b, c = counts.pairs, counts.only_b, counts.only_a
    linear = -b - c + (2.0 * pairs - b + c) * difference
    constant = -c * difference * (1.0 - difference)
    root = math.sqrt(max(0.0, linear * linear - 8.0 * pairs * constant))
    return max(0.0, (root - linear) / (4.0 * pairs))
