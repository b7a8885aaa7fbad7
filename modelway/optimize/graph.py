"""The parts an exported graph is put together from, and how they meet."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

KNOWN = "known"
"""float32 (n, F + D): the inputs with every impossible code made NaN, then what is derived from them. A
model's part reads it."""
MARGIN = "margin"
"""float32, n elements: log-odds before calibration. A model's part writes it."""

OPSET = 18
ML_OPSET = 3
IR_VERSION = 8
"""Old enough for TensorRT's parser and every runtime of the last years, new enough for all our nodes."""


@dataclass(frozen=True)
class GraphPart:
    """ONNX nodes with the constants they read."""

    nodes: tuple[Any, ...]
    constants: tuple[Any, ...] = ()


def constant(name: str, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> Any:
    """A named tensor inside the graph."""
    from onnx import numpy_helper  # noqa: PLC0415 - training without export does not need it

    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    """A node with one output, named after it."""
    from onnx import helper  # noqa: PLC0415 - as above

    return helper.make_node(op, inputs, [output], name=output, **attributes)
