"""Few positives: what they weigh in training, and what calibration undoes afterwards."""

import math

import numpy as np
import numpy.typing as npt

from modelway.errors import ConfigError
from modelway.training.candidates.base import Value
from modelway.training.encoding import Labels

CLASS_WEIGHT = "class_weight"
"""Hyper-parameter that every kind has: `none`, `balanced`, or how many negatives a positive weighs."""
WEIGH_THE_LOSS = {CLASS_WEIGHT, "focal_gamma"}
"""Hyper-parameters that change what a loss means: fits that differ in them cannot be compared by it."""
NONE, BALANCED = "none", "balanced"

Weights = npt.NDArray[np.float64]


def sample_weights(y: Labels, class_weight: Value) -> Weights | None:
    """A weight per row, shape (n,), 1 on average; None where all weigh the same.

    The mean stays 1 so that the strength of a regularisation keeps its meaning. Weights move the
    log-odds by a constant, more or less; the calibrator, which is fitted on rows without weights, takes
    it back.

    Args:
        y: 0 or 1, shape (n,).
        class_weight: `none`; `balanced`, by which both classes weigh the same together; or the weight of
            a positive, a negative weighing 1.

    Raises:
        ConfigError: Something else, or a number that is not positive and finite.
    """
    if class_weight == NONE:
        return None
    weights = np.where(y == 1, _of_a_positive(y, class_weight), 1.0)
    scaled: Weights = weights / weights.mean()
    return scaled


def _of_a_positive(y: Labels, class_weight: Value) -> float:
    positives = int(y.sum())
    if class_weight == BALANCED:
        return (len(y) - positives) / max(1, positives)
    if isinstance(class_weight, str) or not (math.isfinite(class_weight) and class_weight > 0):
        raise ConfigError(
            f"class_weight is {class_weight!r}",
            expected=f"{NONE!r}, {BALANCED!r} or a positive number",
            remedy="correct the candidate in the use case",
        )
    return float(class_weight)
