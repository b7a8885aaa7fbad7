"""Which calibrator: the simplest that no other beats beyond noise, on calibration rows it did not see."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from modelway.contract import Frozen
from modelway.training.calibration_parts import Groups, dealt, fewest
from modelway.training.calibrator_fits import fit_method
from modelway.training.candidates.base import Margins
from modelway.training.encoding import Labels
from modelway.training.policy import SIMPLEST_FIRST, CalibratorMethod

Array = npt.NDArray[np.float64]
PARTS = 5
"""Each is scored by calibrators fitted on the other four."""
FEWEST = 2
"""Rows of each class in every part, below which no comparison is made."""
_FLOOR = 1e-15


class CalibratorChoice(Frozen):
    """The method and the sentence that explains it."""

    method: CalibratorMethod
    reason: str
    losses: dict[str, float]
    """Log loss in nats a row on rows the calibrator has not seen; empty where nothing was compared."""


def choose_calibrator(
    methods: Sequence[CalibratorMethod], margins: Margins, y: Labels, seed: int, groups: Groups | None = None
) -> CalibratorChoice:
    """Compare by log loss in a cross-fit on the calibration rows alone; train and test rows play no part.

    Args:
        methods: To choose among, any order.
        margins: Log-odds of the calibration rows, shape (n,), finite.
        y: Their labels, shape (n,).
        seed: Deals the rows to the parts, positives and negatives apart.
        groups: Rows that belong together and go to one part, shape (n,).

    Returns:
        The simplest method within one standard error of the lowest loss, the error being that of the paired
        difference over rows. Where a class has too few rows to deal out: `platt`, or else the simplest.

    Source:
        The one-standard-error rule of Breiman, Friedman, Olshen & Stone (1984), section 3.4.3.
    """
    ordered = [method for method in SIMPLEST_FIRST if method in methods]
    if len(ordered) == 1:
        return CalibratorChoice(method=ordered[0], reason=f"{ordered[0]}: the only one asked for", losses={})
    part = dealt(y, PARTS, seed, groups)
    if fewest(y, part, PARTS) < FEWEST:
        return _undecided(ordered, int(min(y.sum(), len(y) - y.sum())))
    losses = {method: _cross_fitted(method, margins, y, part) for method in ordered}
    return _simplest(ordered, losses)


def _undecided(ordered: Sequence[CalibratorMethod], rows: int) -> CalibratorChoice:
    method = "platt" if "platt" in ordered else ordered[0]
    reason = f"{method}: {rows} rows of the smaller class are too few to compare calibrators"
    return CalibratorChoice(method=method, reason=reason, losses={})


def _cross_fitted(method: CalibratorMethod, margins: Margins, y: Labels, part: Groups) -> Array:
    """Loss of each row, by a calibrator that has not seen its part."""
    p = np.empty(len(y))
    for number in range(PARTS):
        held_out = part == number
        fitted = fit_method(method, margins[~held_out], y[~held_out])
        p[held_out] = fitted.probabilities(margins[held_out])
    said = np.clip(np.where(y == 1, p, 1 - p), _FLOOR, 1)
    return np.asarray(-np.log(said), dtype=np.float64)


def _simplest(ordered: Sequence[CalibratorMethod], losses: dict[CalibratorMethod, Array]) -> CalibratorChoice:
    means = {method: float(loss.mean()) for method, loss in losses.items()}
    lowest = min(ordered, key=means.__getitem__)
    errors = {m: _standard_error(losses[m] - losses[lowest]) for m in ordered}
    chosen = next(m for m in ordered if means[m] - means[lowest] <= errors[m])
    said = f"{chosen}: log loss {means[chosen]:.4f} on calibration rows it had not seen"
    why = "the lowest" if chosen == lowest else _within(lowest, means[lowest], errors[chosen])
    return CalibratorChoice(method=chosen, reason=f"{said}, {why}", losses=dict(means))


def _within(lowest: str, loss: float, error: float) -> str:
    return f"within one standard error ({error:.4f}) of {lowest}'s {loss:.4f}, and simpler"


def _standard_error(difference: Array) -> float:
    return float(difference.std(ddof=1)) / math.sqrt(len(difference))
