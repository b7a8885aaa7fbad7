"""Fit a calibrator by name. Platt's own fit stands in `calibration`."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from modelway.training.calibration import (
    AnyCalibrator,
    BetaCalibrator,
    Calibrator,
    IsotonicCalibrator,
    drawn_in,
    fit_calibrator,
    logistic,
    softplus,
)
from modelway.training.candidates.base import Margins
from modelway.training.encoding import Labels
from modelway.training.policy import CalibratorMethod

Array = npt.NDArray[np.float64]
STEEPEST_LOG = math.log(100.0)
"""Temperature beyond 100 or below 1/100 is no temperature: the rows do not say."""
_GOLDEN = (math.sqrt(5) - 1) / 2


def fit_method(method: CalibratorMethod, margins: Margins, y: Labels) -> AnyCalibrator:
    """One method on rows the model has not learnt from.

    Args:
        method: See `SIMPLEST_FIRST`.
        margins: Log-odds, shape (n,), finite.
        y: Both labels, shape (n,).
    """
    return _FITS[method](margins, y)


def _none(_margins: Margins, _y: Labels) -> Calibrator:
    return Calibrator(method="none", slope=1.0, intercept=0.0)


def _temperature(margins: Margins, y: Labels) -> Calibrator:
    """One slope, no intercept, by golden section on its logarithm: the loss has one minimum in it.

    Source:
        Guo, Pleiss, Sun & Weinberger (2017), "On calibration of modern neural networks", section 4.2.
    """
    targets = drawn_in(y)
    low, high = -STEEPEST_LOG, STEEPEST_LOG
    while high - low > 1e-9:  # noqa: PLR2004 - a billionth in the logarithm
        a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, b) if _loss(margins, targets, a) < _loss(margins, targets, b) else (a, high)
    return Calibrator(method="temperature", slope=math.exp((low + high) / 2), intercept=0.0)


def _loss(margins: Margins, targets: Array, log_slope: float) -> float:
    z = math.exp(log_slope) * margins
    return float(np.mean(np.logaddexp(0, z) - targets * z))


def _beta(margins: Margins, y: Labels) -> BetaCalibrator | Calibrator:
    """Three parameters; a slope that turns the order round is set to 0 and the others fitted again.

    Where both are, the margins say nothing, and Platt's answer to that is given.
    """
    targets = drawn_in(y)
    features = np.column_stack([-softplus(-margins), softplus(margins)])
    used = np.arange(features.shape[1])
    while used.size:
        slopes, intercept = _surface(features[:, used], targets)
        if (slopes > 0).all():
            low, high = np.bincount(used, weights=slopes, minlength=2)
            return BetaCalibrator(low=float(low), high=float(high), intercept=intercept)
        used = used[slopes > 0]
    return fit_calibrator(margins, y)


def _surface(features: Array, targets: Array) -> tuple[Array, float]:
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    design = np.column_stack([(features - centre) / spread, np.ones(len(features))])
    start = np.zeros(design.shape[1])
    start[-1] = math.log(targets.mean() / (1 - targets.mean()))
    beta = logistic(design, targets, start)
    slopes = beta[:-1] / spread
    return slopes, float(beta[-1] - slopes @ centre)


def _isotonic(margins: Margins, y: Labels) -> IsotonicCalibrator:
    """Pool adjacent violators over labels drawn in as Platt's are: no step promises 0 or 1.

    A step begins half way between the rows on either side of it. Margins are rounded to float32 first,
    for the graph cannot tell rows apart that differ by less.

    Source:
        Ayer, Brunk, Ewing, Reid & Silverman (1955); for classifiers Zadrozny & Elkan (2002).
    """
    points, place = np.unique(margins.astype(np.float32), return_inverse=True)
    rows = np.bincount(place).astype(np.float64)
    starts, levels = _pooled(np.bincount(place, weights=drawn_in(y)) / rows, rows)
    below, above = points[starts[1:] - 1].astype(np.float64), points[starts[1:]].astype(np.float64)
    middle = ((below + above) / 2).astype(np.float32)
    edges = np.where(middle > points[starts[1:] - 1], middle, points[starts[1:]])
    return IsotonicCalibrator(edges=tuple(map(float, edges)), levels=tuple(map(float, levels)))


def _pooled(means: Array, rows: Array) -> tuple[npt.NDArray[np.intp], Array]:
    """First index and mean of each block, so that the means rise strictly."""
    blocks: list[tuple[int, float, float]] = []
    for index, (mean, weight) in enumerate(zip(means.tolist(), rows.tolist(), strict=True)):
        block = (index, mean, weight)
        while blocks and blocks[-1][1] >= block[1]:
            start, mean_before, before = blocks.pop()
            both = before + block[2]
            block = (start, (mean_before * before + block[1] * block[2]) / both, both)
        blocks.append(block)
    return np.array([b[0] for b in blocks], dtype=np.intp), np.array([b[1] for b in blocks])


_FITS: Mapping[CalibratorMethod, Callable[[Margins, Labels], AnyCalibrator]] = {
    "none": _none,
    "temperature": _temperature,
    "platt": fit_calibrator,
    "beta": _beta,
    "isotonic": _isotonic,
}
