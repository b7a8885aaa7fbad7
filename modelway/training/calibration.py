"""From log-odds to probabilities that mean what they say, and from costs to a threshold."""

import math
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from modelway.contract import CostMatrix, Frozen
from modelway.training.candidates.base import Margins
from modelway.training.encoding import Labels

ITERATIONS = 100
CONVERGED = 1e-10

Probabilities = npt.NDArray[np.float64]


def sigmoid(z: npt.NDArray[np.float64]) -> Probabilities:
    """1 / (1 + exp(-z)) without overflow."""
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1 / (1 + small), small / (1 + small)), dtype=np.float64)


def softplus(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """ln(1 + exp(z)) without overflow."""
    return np.asarray(np.logaddexp(0, z), dtype=np.float64)


class Calibrator(Frozen):
    """probability = 1 / (1 + exp(-(slope · margin + intercept))).

    Platt's two parameters; temperature scaling has no intercept, and none at all is slope 1.
    """

    method: Literal["none", "temperature", "platt"] = "platt"
    slope: float = Field(gt=0)
    intercept: float

    def probabilities(self, margins: Margins) -> Probabilities:
        """Shape (n,), in [0, 1]."""
        return sigmoid(self.slope * margins + self.intercept)

    def numbers(self) -> dict[str, float]:
        """For people, by name."""
        return {"slope": self.slope, "intercept": self.intercept}


class BetaCalibrator(Frozen):
    """logit = low · ln s - high · ln(1 - s) + intercept, where s is the uncalibrated probability.

    Bends the two ends apart from each other, which a line in the log-odds cannot.

    Source:
        Kull, Silva Filho & Flach (2017), "Beta calibration", equation 2.
    """

    method: Literal["beta"] = "beta"
    low: float = Field(ge=0)
    high: float = Field(ge=0)
    intercept: float

    @model_validator(mode="after")
    def _keeps_the_order(self) -> Self:
        if not (self.low or self.high):
            raise ValueError("one of `low` and `high` must be above 0, or every row gets the same answer")
        return self

    def probabilities(self, margins: Margins) -> Probabilities:
        """Shape (n,), in [0, 1]. ln s = -softplus(-margin), ln(1 - s) = -softplus(margin)."""
        return sigmoid(self.high * softplus(margins) - self.low * softplus(-margins) + self.intercept)

    def numbers(self) -> dict[str, float]:
        """For people, by name."""
        return {"low": self.low, "high": self.high, "intercept": self.intercept}


class IsotonicCalibrator(Frozen):
    """A rising staircase: `levels[k]` from `edges[k - 1]` on, up to `edges[k]`."""

    method: Literal["isotonic"] = "isotonic"
    edges: tuple[float, ...]
    """Log-odds at which a step begins, rising; each exact in float32, as the graph compares."""
    levels: tuple[float, ...]
    """Probabilities, rising, one more than edges."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if len(self.levels) != len(self.edges) + 1:
            raise ValueError("levels must be one more than edges")
        if list(self.edges) != sorted(set(self.edges)) or list(self.levels) != sorted(self.levels):
            raise ValueError("edges and levels must rise")
        if self.levels[0] < 0 or self.levels[-1] > 1:
            raise ValueError("levels must be probabilities")
        return self

    def probabilities(self, margins: Margins) -> Probabilities:
        """Shape (n,), in [0, 1]. A margin that is no number stays none."""
        rounded = margins.astype(np.float32).astype(np.float64)
        found = np.asarray(self.levels)[np.searchsorted(self.edges, rounded, side="right")]
        return np.where(np.isnan(margins), np.nan, found)

    def numbers(self) -> dict[str, float]:
        """For people, by name."""
        return {"steps": float(len(self.levels)), "lowest": self.levels[0], "highest": self.levels[-1]}


AnyCalibrator = Annotated[Calibrator | BetaCalibrator | IsotonicCalibrator, Field(discriminator="method")]


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
    targets = drawn_in(y)
    slope, intercept = _line(margins, targets)
    if slope <= 0:
        return Calibrator(slope=1.0, intercept=_shift(margins, float(targets.mean())))
    return Calibrator(slope=slope, intercept=intercept)


def drawn_in(y: Labels) -> npt.NDArray[np.float64]:
    """Labels drawn in from 0 and 1 by what one more row of each class would change."""
    positives = int(y.sum())
    negatives = len(y) - positives
    return np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _line(margins: Margins, targets: npt.NDArray[np.float64]) -> tuple[float, float]:
    # Standardised, so that one step length suits both parameters whatever the margins' scale.
    centre, spread = float(margins.mean()), float(margins.std()) or 1.0
    design = np.column_stack([(margins - centre) / spread, np.ones_like(margins)])
    start = np.array([0.0, math.log(targets.mean() / (1 - targets.mean()))])
    beta = logistic(design, targets, start)
    slope = float(beta[0] / spread)
    return slope, float(beta[1]) - slope * centre


def logistic(
    design: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], start: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Coefficients (k,) that minimise the log loss of sigmoid(design @ beta) against targets in (0, 1).

    Args:
        design: Shape (n, k), columns of about unit size.
        targets: Shape (n,).
        start: Where Newton's method begins, shape (k,).
    """
    beta = start
    for _ in range(ITERATIONS):
        step = _newton_step(design, targets, beta)
        beta = beta + step
        if np.abs(step).max() < CONVERGED:
            break
    return beta


def _newton_step(
    design: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], beta: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The longest of the Newton step, its half, its quarter … that does not raise the loss."""
    p = sigmoid(design @ beta)
    hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(len(beta))
    step = np.asarray(np.linalg.solve(hessian, design.T @ (targets - p)), dtype=np.float64)
    before = _loss(design @ beta, targets)
    for _ in range(30):
        if _loss(design @ (beta + step), targets) <= before:
            return step
        step /= 2
    return np.zeros(len(beta))


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
