"""How far the outcomes of some rows lie from what was promised for them."""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from modelway.stats.bootstrap import Estimate


def gap_estimate(y: npt.ArrayLike, scores: npt.ArrayLike, *, level: float) -> Estimate:
    """Observed rate minus mean score, with an interval that holds for rare outcomes.

    Were every promise true, the outcomes would be independent with variance p(1 - p) each: the interval takes
    the larger of that and the observed variance, so that rows without a single positive are not called sure.

    Args:
        y: Shape (n,), n >= 1, 0 or 1.
        scores: Shape (n,), probabilities.
        level: Coverage aimed at.

    Source:
        Spiegelhalter (1986), "Probabilistic prediction in patient management": the null variance.
    """
    outcomes, promised = np.asarray(y, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    gap = float((outcomes - promised).mean())
    variance = max(float((promised * (1 - promised)).mean()), float((outcomes - promised).var()))
    half = float(ndtri(0.5 + level / 2)) * float(np.sqrt(variance / outcomes.size))
    return Estimate(value=gap, low=gap - half, high=gap + half)


def adjusted_level(level: float, looks: int) -> float:
    """Coverage of each of `looks` intervals such that all hold together with `level`.

    Source:
        Bonferroni (1936), by Dunn (1961).
    """
    return 1 - (1 - level) / max(looks, 1)
