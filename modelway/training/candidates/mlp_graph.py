"""The network of `mlp` as ONNX nodes.

Written node by node from the weights: `torch.onnx` puts large weights into a second file, and its
output changes with its version, so the same training would not give the same bundle.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from modelway.optimize.graph import KNOWN, MARGIN, GraphPart, constant, node

Weights = Mapping[str, npt.NDArray[np.float32]]


class ScalingLike(Protocol):
    """What the nodes need to know of `mlp.Scaling`."""

    numbers: list[int]
    categories: list[int]
    sizes: list[int]
    mean: list[float]
    deviation: list[float]

    @property
    def offsets(self) -> list[int]:
        """Where each category's rows begin in the embedding table."""
        ...


def network_graph(scaling: ScalingLike, weights: Weights, clip: float) -> GraphPart:
    """Scale, look up, multiply: `KNOWN` (n, F) to `MARGIN` (n, 1)."""
    numbers = _numbers(scaling, clip) if scaling.numbers else GraphPart(())
    codes = _codes(scaling, weights["table.weight"]) if scaling.categories else GraphPart(())
    parts = ["scaled", "missing"] * bool(scaling.numbers) + ["looked_up"] * bool(scaling.categories)
    joined = GraphPart((node("Concat", parts, "dense_0", axis=1),))
    return _together(numbers, codes, joined, _dense(weights))


def _together(*parts: GraphPart) -> GraphPart:
    return GraphPart(
        tuple(n for part in parts for n in part.nodes),
        tuple(c for part in parts for c in part.constants),
    )


def _numbers(scaling: ScalingLike, clip: float) -> GraphPart:
    constants = (
        constant("number_columns", scaling.numbers, np.int64),
        constant("mean", scaling.mean),
        constant("deviation", scaling.deviation),
        constant("clip_low", -clip),
        constant("clip_high", clip),
        constant("one", 1.0),
        constant("zero", 0.0),
    )
    nodes = (
        node("Gather", [KNOWN, "number_columns"], "numbers", axis=1),
        node("IsNaN", ["numbers"], "is_missing"),
        node("Cast", ["is_missing"], "missing", to=1),
        node("Sign", ["numbers"], "sign"),
        node("Abs", ["numbers"], "size"),
        node("Add", ["size", "one"], "size_1"),
        node("Log", ["size_1"], "log_size"),
        node("Mul", ["sign", "log_size"], "signed_log"),
        node("Sub", ["signed_log", "mean"], "centred"),
        node("Div", ["centred", "deviation"], "standardised"),
        node("Clip", ["standardised", "clip_low", "clip_high"], "clipped"),
        node("Where", ["is_missing", "zero", "clipped"], "scaled"),
    )
    return GraphPart(nodes, constants)


def _codes(scaling: ScalingLike, table: npt.NDArray[np.float32]) -> GraphPart:
    width = len(scaling.categories) * table.shape[1]
    constants = (
        constant("category_columns", scaling.categories, np.int64),
        constant("unknown_code", scaling.sizes),
        constant("table_offset", scaling.offsets[:-1], np.int64),
        constant("table", table),
        constant("looked_up_shape", [-1, width], np.int64),
    )
    nodes = (
        node("Gather", [KNOWN, "category_columns"], "codes", axis=1),
        node("IsNaN", ["codes"], "is_unknown"),
        node("Where", ["is_unknown", "unknown_code", "codes"], "valid_codes"),
        node("Cast", ["valid_codes"], "code_numbers", to=7),
        node("Add", ["code_numbers", "table_offset"], "table_rows"),
        node("Gather", ["table", "table_rows"], "embedded", axis=0),
        node("Reshape", ["embedded", "looked_up_shape"], "looked_up"),
    )
    return GraphPart(nodes, constants)


def _dense(weights: Weights) -> GraphPart:
    layers = sum(name.startswith("dense.") and name.endswith(".weight") for name in weights)
    nodes, constants = [], []
    for layer in range(layers):
        last = layer == layers - 1
        constants += [constant(f"weight_{layer}", weights[f"dense.{layer}.weight"])]
        constants += [constant(f"bias_{layer}", weights[f"dense.{layer}.bias"])]
        inputs = [f"dense_{layer}", f"weight_{layer}", f"bias_{layer}"]
        nodes += [node("Gemm", inputs, MARGIN if last else f"sum_{layer}", transB=1)]
        nodes += [] if last else [node("Relu", [f"sum_{layer}"], f"dense_{layer + 1}")]
    return GraphPart(tuple(nodes), tuple(constants))
