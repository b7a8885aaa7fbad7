"""`Scaling` as ONNX nodes: what linear models and networks begin with.

Written node by node from the weights: `torch.onnx` puts large weights into a second file, and its
output changes with its version, so the same training would not give the same bundle.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from modelway.optimize.graph import KNOWN, GraphPart, constant, node
from modelway.training.candidates.scaling import CLIP, Scaling

Weights = Mapping[str, npt.NDArray[np.float32]]


def together(*parts: GraphPart) -> GraphPart:
    """One part after the other."""
    return GraphPart(
        tuple(n for part in parts for n in part.nodes),
        tuple(c for part in parts for c in part.constants),
    )


def numbers_graph(scaling: Scaling) -> GraphPart:
    """`KNOWN` -> `scaled` and `missing`, both float32 (n, M)."""
    constants = (
        constant("number_columns", scaling.numbers, np.int64),
        constant("mean", scaling.mean),
        constant("deviation", scaling.deviation),
        constant("clip_low", -CLIP),
        constant("clip_high", CLIP),
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


def codes_graph(scaling: Scaling, table: npt.NDArray[np.float32]) -> GraphPart:
    """`KNOWN` -> `embedded`, float32 (n, K, width of the table)."""
    constants = (
        constant("category_columns", scaling.categories, np.int64),
        constant("unknown_code", scaling.sizes),
        constant("table_offset", scaling.offsets[:-1], np.int64),
        constant("table", table),
    )
    nodes = (
        node("Gather", [KNOWN, "category_columns"], "codes", axis=1),
        node("IsNaN", ["codes"], "is_unknown"),
        node("Where", ["is_unknown", "unknown_code", "codes"], "valid_codes"),
        node("Cast", ["valid_codes"], "code_numbers", to=7),
        node("Add", ["code_numbers", "table_offset"], "table_rows"),
        node("Gather", ["table", "table_rows"], "embedded", axis=0),
    )
    return GraphPart(nodes, constants)
