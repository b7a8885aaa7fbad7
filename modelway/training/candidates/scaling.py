"""How a row becomes numbers of a like size and rows of one table: what linear models and networks read."""

from typing import Any

import numpy as np
import numpy.typing as npt

from modelway.bundle.signature import Input
from modelway.training.encoding import Floats, code_limits

CLIP = 8.0
"""Standard deviations beyond which a number counts as no further away: keeps ±infinity finite."""


class Scaling:
    """Learnt from the train rows, the same in the graph (`input_graph`)."""

    def __init__(
        self, numbers: list[int], categories: list[int], sizes: list[int], **moments: list[float]
    ) -> None:
        """Columns of numbers and categories, vocabulary sizes; `mean` and `deviation` per number."""
        self.numbers, self.categories, self.sizes = numbers, categories, sizes
        self.mean, self.deviation = moments["mean"], moments["deviation"]

    @classmethod
    def of(cls, X: Floats, inputs: tuple[Input, ...]) -> "Scaling":
        """Measure the numbers on a signed log scale: sums of money span six orders of magnitude."""
        numbers = [i for i, column in enumerate(inputs) if column.kind == "numeric"]
        categories = [i for i, column in enumerate(inputs) if column.kind == "category"]
        values = np.ma.masked_invalid(signed_log(X[:, numbers]))
        mean, deviation = values.mean(axis=0).filled(0.0), values.std(axis=0).filled(1.0)
        return cls(
            numbers,
            categories,
            [int(size) for size in code_limits(inputs)[categories]],
            mean=[float(m) for m in mean],
            deviation=[float(d) if d > 0 else 1.0 for d in deviation],
        )

    @property
    def offsets(self) -> list[int]:
        """Where each category's rows begin in the one table; its last row is "unknown"."""
        return [0, *np.cumsum([size + 1 for size in self.sizes]).tolist()]

    def prepare(self, X: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Scaled numbers beside their missing indicators (n, 2M), and rows of the table (n, K)."""
        values = X[:, self.numbers]
        missing = np.isnan(values)
        mean = np.array(self.mean, dtype=np.float32)
        z = (signed_log(values) - mean) / np.array(self.deviation, dtype=np.float32)
        z = np.where(missing, np.float32(0), np.clip(z, -CLIP, CLIP))
        return np.hstack([z, missing]).astype(np.float32), self._table_rows(X[:, self.categories])

    def _table_rows(self, codes: Floats) -> npt.NDArray[np.int64]:
        unknown = np.array(self.sizes, dtype=np.float32)
        offsets = np.array(self.offsets[:-1], dtype=np.int64)
        rows: npt.NDArray[np.int64] = np.where(np.isnan(codes), unknown, codes).astype(np.int64) + offsets
        return rows

    def facts(self) -> dict[str, Any]:
        """What `Scaling(**facts)` takes."""
        return dict(vars(self))


def signed_log(values: Floats) -> Floats:
    """sign(x) · ln(1 + |x|) in float32."""
    scaled: Floats = np.sign(values) * np.log(np.float32(1) + np.abs(values))
    return scaled
