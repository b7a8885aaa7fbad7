"""The percentile that is an observation: no interpolation invents a tail nobody measured."""

import math

import numpy as np
import numpy.typing as npt


def percentile(values: npt.NDArray[np.float64], percent: float) -> float:
    """Return the smallest observed value that covers `percent` of the observations.

    Args:
        values: Shape (n,), n >= 1, not NaN, any order; +inf stands for "no answer yet".
        percent: 0 < percent <= 100.

    Returns:
        Always one of the inputs, in their unit.

    Raises:
        ValueError: `values` is empty, not one-dimensional or holds NaN, or `percent` is out of range.

    Source:
        Hyndman & Fan (1996), "Sample Quantiles in Statistical Packages", definition 1.
    """
    if values.ndim != 1 or values.size == 0 or np.isnan(values).any():
        raise ValueError(f"need a non-empty vector without NaN, got shape {values.shape}")
    if not 0 < percent <= 100:  # noqa: PLR2004 - a percent
        raise ValueError(f"percent must be in (0, 100], got {percent}")
    # 99.9 / 100 * 1000 is 999.0000000000001 in floating point: the rank would slip by one.
    rank = math.ceil(round(percent * values.size / 100.0, 9))
    return float(np.partition(values, rank - 1)[rank - 1])


def samples_for(percent: float, confidence: float = 0.95) -> int:
    """How many observations a statement about a percentile needs at least.

    With fewer, not even a sample whose every value keeps the limit shows, at `confidence`, that a
    share of at most 1 - percent/100 exceeds it.

    Args:
        percent: 0 < percent < 100.
        confidence: 0 < confidence < 1.

    Returns:
        The smallest n with (percent/100)^n <= 1 - confidence; 299 for the 99th at 95%.

    Source:
        The "rule of three": Hanley & Lippman-Hand (1983), JAMA 249(13).
    """
    return math.ceil(math.log(1.0 - confidence) / math.log(percent / 100.0))
