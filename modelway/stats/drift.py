"""Two samples: do they come from one distribution, and how far apart are they?

A p-value answers the first, an effect size the second. Alarms need both: with 10,000 rows a p-value
alone fires on differences that change no decision.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, kolmogorov
from scipy.stats import hypergeom

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

SMALLEST_EXPECTED = 5.0
"""Below this expected count the chi-square approximation is poor (Cochran 1954): levels are pooled."""
SMALLEST_SHARE = 1e-4
"""Floor of a share in the PSI, whose logarithm has no value at zero."""


class Tested(NamedTuple):
    """A statistic and how often chance alone exceeds it."""

    statistic: float
    p_value: float


def ks_two_sample(reference: npt.NDArray[np.floating], current: npt.NDArray[np.floating]) -> Tested:
    """Two-sample Kolmogorov-Smirnov: largest distance of the two empirical distribution functions.

    Args:
        reference: Shape (m,), m >= 1, no NaN.
        current: Shape (n,), n >= 1, no NaN.

    Returns:
        D in [0, 1] and its asymptotic p-value. Ties make it conservative.

    Raises:
        ValueError: A sample is empty or holds NaN.

    Source:
        Smirnov (1948); the limit law at sqrt(mn / (m + n)) D.
    """
    m, n = reference.size, current.size
    if m == 0 or n == 0 or np.isnan(reference).any() or np.isnan(current).any():
        raise ValueError(f"need two non-empty samples without NaN, got {m} and {n} values")
    first, second = np.sort(reference, kind="stable"), np.sort(current, kind="stable")
    # Looked up in order, the points come out of the cache: five times as fast.
    points = np.sort(np.concatenate([first, second]), kind="stable")
    left = np.searchsorted(first, points, side="right") / m
    right = np.searchsorted(second, points, side="right") / n
    distance = float(np.abs(left - right).max())
    return Tested(distance, float(kolmogorov(math.sqrt(m * n / (m + n)) * distance)))


def chi_square(reference: Counts, current: Counts) -> Tested:
    """Homogeneity of two rows of counts, also where some levels are rare or new.

    Levels too rare for the approximation are pooled into one. Is even that one too rare (a new level
    against a large reference always is), it gets an exact test of its own beside the chi-square of the
    common levels, and the smaller p-value is doubled for the two looks.

    Args:
        reference: Shape (k,), counts per level, k >= 1; missing or unknown is a level like any other.
        current: Shape (k,), the same levels in the same order.

    Returns:
        The statistic over the levels after pooling, and the p-value; (0, 1) when there is one level
        only, because then nothing can differ.

    Raises:
        ValueError: Shapes differ, or a side has no observation.

    Source:
        Pearson (1900); pooling after Cochran (1954), Biometrics 10(4); Fisher's exact test.
    """
    if reference.shape != current.shape or reference.sum() == 0 or current.sum() == 0:
        raise ValueError("need two non-empty count vectors over the same levels")
    table = np.stack([reference, current]).astype(np.float64)
    common, rare = _split_rare(table[:, table.sum(axis=0) > 0])
    if rare is None:
        return _pearson(common)
    statistic = _pearson(np.column_stack([common, rare])).statistic
    exact = _exact(rare, table.sum(axis=1))
    if common.shape[1] < 2:  # noqa: PLR2004 - one level cannot differ, so only one look was taken
        return Tested(statistic, exact)
    return Tested(statistic, min(1.0, 2.0 * min(exact, _pearson(common).p_value)))


def _pearson(table: Floats) -> Tested:
    if table.shape[1] < 2:  # noqa: PLR2004 - one level cannot differ
        return Tested(0.0, 1.0)
    expected = _expected(table)
    statistic = float(((table - expected) ** 2 / expected).sum())
    return Tested(statistic, float(chdtrc(table.shape[1] - 1, statistic)))


def _expected(table: Floats) -> Floats:
    expected: Floats = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return expected


def _split_rare(table: Floats) -> tuple[Floats, Floats | None]:
    """Levels common enough for the chi-square, and the pool of the others when it is not."""
    rare = _expected(table).min(axis=0) < SMALLEST_EXPECTED
    if not rare.any():
        return table, None
    common, pool = table[:, ~rare], table[:, rare].sum(axis=1)
    together = np.column_stack([common, pool])
    if _expected(together)[:, -1].min() >= SMALLEST_EXPECTED:
        return together, None
    return common, pool


def _exact(hits: Floats, trials: Floats) -> float:
    """Fisher's exact test of two shares, two-sided by doubling the smaller tail."""
    law = hypergeom(int(trials.sum()), int(hits.sum()), int(trials[1]))
    return float(min(1.0, 2.0 * min(law.cdf(hits[1]), law.sf(hits[1] - 1))))


def proportions(reference: tuple[int, int], current: tuple[int, int]) -> Tested:
    """Do two shares differ? `chi_square` of (hits, trials) against (hits, trials).

    Raises:
        ValueError: A side has no trial.
    """
    return chi_square(_two_by_two(reference), _two_by_two(current))


def _two_by_two(hits_of_trials: tuple[int, int]) -> Counts:
    hits, trials = hits_of_trials
    return np.array([hits, trials - hits], dtype=np.int64)


def total_variation(p: Floats, q: Floats) -> float:
    """Half the sum of |p - q|: the largest difference in probability of any set of levels, in [0, 1].

    For the chi-square test this is what D is for Kolmogorov-Smirnov: the effect size.
    """
    return float(np.abs(p - q).sum() / 2.0)


def population_stability_index(p: Floats, q: Floats) -> float:
    """PSI = sum (q - p) ln(q / p) over bins, shares floored at 1e-4; shown to people, never an alarm.

    Args:
        p: Shape (k,), reference shares.
        q: Shape (k,), current shares.

    Source:
        Siddiqi (2006), "Credit Risk Scorecards"; it is Jeffreys' (1946) divergence.
    """
    p, q = np.maximum(p, SMALLEST_SHARE), np.maximum(q, SMALLEST_SHARE)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(p: Floats, q: Floats) -> float:
    """Jensen-Shannon distance, base 2: 0 for equal shares, 1 for disjoint ones.

    Source:
        Endres & Schindelin (2003): the square root of the divergence is a metric.
    """
    middle = (p + q) / 2.0
    divergence = (_relative_entropy_bits(p, middle) + _relative_entropy_bits(q, middle)) / 2.0
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def _relative_entropy_bits(p: Floats, q: Floats) -> float:
    inside = p > 0
    return float((p[inside] * np.log2(p[inside] / q[inside])).sum())


def quantile_edges(values: npt.NDArray[np.floating], bins: int = 10) -> Floats:
    """Inner edges that cut the reference into `bins` parts of equal share; fewer where values repeat."""
    return np.unique(np.quantile(values.astype(np.float64), np.arange(1, bins) / bins))


def binned_shares(values: npt.NDArray[np.floating], edges: Floats) -> Floats:
    """Share of values per bin, shape (len(edges) + 2,): left-closed bins, then the share of NaN last.

    Raises:
        ValueError: There is no value at all.
    """
    if values.size == 0:
        raise ValueError("no values to bin")
    missing = np.isnan(values)
    bins = np.searchsorted(edges, values[~missing], side="right")
    counts = np.bincount(bins, minlength=edges.size + 1)
    shares: Floats = np.append(counts, missing.sum()) / values.size
    return shares
