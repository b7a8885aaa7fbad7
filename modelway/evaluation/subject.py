"""The served graph and the rows it is looked at with: what every closer look begins from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modelway.bundle.signature import Input
from modelway.contract import CostMatrix
from modelway.evaluation.scored import ScoredRows
from modelway.stats.bootstrap import Sampling

Floats = npt.NDArray[np.float32]
Answer = Callable[[Floats], npt.NDArray[np.floating]]

MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Subject:
    """A graph, the test rows in the form it takes (n, F), and training rows to compare with (r, F)."""

    answer: Answer
    inputs: tuple[Input, ...]
    X: Floats
    rows: ScoredRows
    keys: tuple[str, ...]
    """Names of the test rows' subjects."""
    newest: npt.NDArray[np.bool_]
    """Which test rows are the newest quarter."""
    reference: Floats
    """Newest rows that taught the model, the calibration rows among them."""
    costs: CostMatrix
    sampling: Sampling

    @property
    def names(self) -> tuple[str, ...]:
        """Input names in matrix order."""
        return tuple(column.name for column in self.inputs)

    @property
    def measures(self) -> list[int]:
        """Columns that are numbers with more than two values: what can be measured wrongly."""
        return [i for i, c in enumerate(self.inputs) if c.kind == "numeric" and _many(self.X[:, i])]

    def sample(self, most: int, purpose: int) -> npt.NDArray[np.intp]:
        """Indices of at most `most` test rows, drawn by the seed, in order."""
        n = len(self.X)
        if n <= most:
            return np.arange(n)
        random = np.random.default_rng([self.sampling.seed, purpose])
        return np.sort(random.choice(n, size=most, replace=False))

    def text(self, column: int, value: float) -> str:
        """A matrix value as people know it."""
        known = self.inputs[column]
        if np.isnan(value):
            return MISSING
        if known.kind == "category":
            code = int(value)
            return known.vocabulary[code] if 0 <= code < len(known.vocabulary) else MISSING
        return f"{value:,.6g}"


def _many(values: Floats) -> bool:
    return np.unique(values[np.isfinite(values)]).size > 2  # noqa: PLR2004 - two values are a yes and a no


def spread(values: Floats) -> float:
    """Of the middle 80 %, in standard deviations of a normal; the deviation itself where that is 0."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return 0.0
    low, high = np.quantile(finite, [0.1, 0.9])
    return float((high - low) / 2.563) or float(finite.std())
