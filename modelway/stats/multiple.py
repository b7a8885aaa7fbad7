"""Many tests at once: how sure we still are."""

import numpy as np
import numpy.typing as npt


def benjamini_hochberg(p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Adjust p-values so that `adjusted <= alpha` keeps the false discovery rate at `alpha`.

    Args:
        p_values: Shape (m,), each in [0, 1], any order; NaN for a test that could not be made, which
            then counts neither as a test nor as a discovery.

    Returns:
        Shape (m,), in the order given; NaN where the input is NaN.

    Raises:
        ValueError: A p-value lies outside [0, 1].

    Source:
        Benjamini & Hochberg (1995), JRSS B 57(1), step-up procedure.
    """
    adjusted = np.full(p_values.shape, np.nan)
    made = ~np.isnan(p_values)
    p = p_values[made]
    if p.size == 0:
        return adjusted
    if p.min() < 0 or p.max() > 1:
        raise ValueError("p-values lie in [0, 1]")
    order = np.argsort(p)
    scaled = p[order] * p.size / np.arange(1, p.size + 1)
    monotone = np.minimum.accumulate(scaled[::-1])[::-1]
    found = np.empty_like(p)
    found[order] = np.minimum(monotone, 1.0)
    adjusted[made] = found
    return adjusted
