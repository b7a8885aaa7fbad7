"""From log-odds to probabilities that mean what they say, and from costs to a threshold."""

import math

import numpy as np
import numpy.typing as npt
from pydantic import Field

from modelway.contract import CostMatrix, Frozen
from modelway.training.candidates.base import Margins
from modelway.training.encoding import Labels

ITERATIONS = 100
CONVERGED = 1e-10


class Calibrator(Frozen):
    """probability = 1 / (1 + exp(-(slope · margin + intercept)))."""

    slope: float = Field(gt=0)
    intercept: float

    def probabilities(self, margins: Margins) -> npt.NDArray[np.float64]:
        """Shape (n,), in [0, 1]."""
        return sigmoid(self.slope * margins + self.intercept)


def sigmoid(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-z)) without overflow."""
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1 / (1 + small), small / (1 + small)), dtype=np.float64)


def fit_calibrator(margins: Margins, y: Labels) -> Calibrator:
    """Platt scaling on rows the model has not learnt from.

    Targets are drawn in a little from 0 and 1, so that a model that separates the rows perfectly does
    not get an infinite slope. Where the best line would turn the order round (slope ≤ 0: the margins
    say nothing on these rows), the order stays and only the mean is corrected.

    Args:
        margins: Log-odds, shape (n,), finite.
        y: Both labels, shape (n,).

    Source:
        Platt (1999); Newton's method after Lin, Lin & Weng (2007), "A note on Platt's probabilistic
        outputs for support vector machines".
    """
    targets = _targets(y)
    slope, intercept = _newton(margins, targets)
    if slope <= 0:
        return Calibrator(slope=1.0, intercept=_shift(margins, float(targets.mean())))
    return Calibrator(slope=slope, intercept=intercept)


def _targets(y: Labels) -> npt.NDArray[np.float64]:
    positives = int(y.sum())
    negatives = len(y) - positives
    return np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _newton(margins: Margins, targets: npt.NDArray[np.float64]) -> tuple[float, float]:
    # Standardised, so that one step length suits both parameters whatever the margins' scale.
    centre, spread = float(margins.mean()), float(margins.std()) or 1.0
    design = np.column_stack([(margins - centre) / spread, np.ones_like(margins)])
    beta = np.array([0.0, math.log(targets.mean() / (1 - targets.mean()))])
    for _ in range(ITERATIONS):
        step = _newton_step(design, targets, beta)
        beta = beta + step
        if np.abs(step).max() < CONVERGED:
            break
    slope = float(beta[0] / spread)
    return slope, float(beta[1]) - slope * centre


def _newton_step(
    design: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], beta: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The longest of the Newton step, its half, its quarter … that does not raise the loss."""
    p = sigmoid(design @ beta)
    hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
    step = np.asarray(np.linalg.solve(hessian, design.T @ (targets - p)), dtype=np.float64)
    before = _loss(design @ beta, targets)
    for _ in range(30):
        if _loss(design @ (beta + step), targets) <= before:
            return step
        step /= 2
    return np.zeros(2)


def _loss(z: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]) -> float:
    return float(np.mean(np.logaddexp(0, z) - targets * z))


def _shift(margins: Margins, mean: float) -> float:
    low, high = -100.0 - float(margins.max()), 100.0 - float(margins.min())
    for _ in range(ITERATIONS):
        middle = (low + high) / 2
        if float(sigmoid(margins + middle).mean()) < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def threshold_from(costs: CostMatrix) -> float:
    """Probability from which saying "positive" costs less on average than saying "negative".

    Positive costs (1 - p) · false_positive, negative costs p · false_negative; they meet at
    false_positive / (false_positive + false_negative).

    Source:
        Elkan (2001), "The foundations of cost-sensitive learning", equation 2.
    """
    both = costs.false_positive + costs.false_negative
    return costs.false_positive / both if both > 0 else 0.5
