"""Derived features in numpy: what training learns from, and what the graph is held against."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.bundle.derived import Derived, Operation
from modelway.bundle.signature import Input
from modelway.features.definitions import FeatureSet

Floats = npt.NDArray[np.float32]

_OPERATIONS: Mapping[Operation, Callable[[Floats, Floats], Floats]] = {
    "ratio": np.divide,
    "difference": np.subtract,
    "sum": np.add,
    "product": np.multiply,
}
LARGEST = np.finfo(np.float32).max


def widened(matrix: Floats, inputs: Sequence[Input], derived: Sequence[Derived]) -> Floats:
    """The inputs and, right of them, what is derived from them.

    Args:
        matrix: Shape (n, F), float32, as `encoding.known` returns it.
        inputs: Names of its columns.
        derived: Definitions over these names.

    Returns:
        Shape (n, F + D), C order. NaN where an operand is missing, a divisor zero, or the result no finite
        float32. The graph computes the same bits, the sign of a zero aside.
    """
    if not derived:
        return matrix
    column = {each.name: matrix[:, at] for at, each in enumerate(inputs)}
    with np.errstate(all="ignore"):  # a zero divisor and an overflow are missing values, no mistakes
        made = [_finite(_OPERATIONS[d.how](column[d.of[0]], column[d.of[1]])) for d in derived]
    return np.column_stack([matrix, *made])


def derived_frame(frame: pl.DataFrame, features: FeatureSet) -> pl.DataFrame:
    """The derived features of a training set's rows, for probes and for people.

    Args:
        frame: Rows with every numeric feature that a definition reads.
        features: The use case's.

    Returns:
        A Float32 column for each derived feature, null where it is missing; rows in the same order.
    """
    if not features.derived:
        return pl.DataFrame()
    used = tuple(dict.fromkeys(name for each in features.derived for name in each.of))
    inputs = tuple(Input(name=name, kind="numeric") for name in used)
    matrix = frame.select(pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in used).to_numpy()
    made = widened(matrix, inputs, features.derived)[:, len(used) :]
    return pl.DataFrame(made, schema=[each.name for each in features.derived]).fill_nan(None)


def _finite(values: Floats) -> Floats:
    return np.where(np.abs(values) <= LARGEST, values, np.float32(np.nan))
