"""Bad revisions on purpose: a signed bundle with its graph changed so that only live traffic shows the fault.

The server warms a graph up with rows of zeros: a fault that should show later spares those.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from modelway.bundle.signature import GRAPH_OUTPUT

_WIDTH = 512
_SEED = 0
_LEAST_PRODUCTS = 24
_RENAMED = f"{GRAPH_OUTPUT}_at_once"


class Fault(StrEnum):
    """What is wrong with the revision."""

    SLOW = "slow"
    ERRORS = "errors"
    INVALID = "invalid"
    CRASH = "crash"


def break_graph(fault: Fault, graph: Path, target: Path, *, limit_ms: float) -> Path:
    """Write a copy of a graph with a fault.

    Args:
        fault: `slow`: right answers, later than the limit. `errors`: fails on every row but zeros.
            `invalid`: answers NaN to them. `crash`: cannot even be warmed up, so that its process ends.
        graph: An ONNX file with the output `probability`.
        target: Where the copy goes.
        limit_ms: What `slow` has to exceed, milliseconds.
    """
    if fault is Fault.SLOW:
        return slow_down(graph, target, products=max(_LEAST_PRODUCTS, math.ceil(limit_ms)))
    return _rewrite(graph, target, lambda source: _gathered(source, fault))


def slow_down(graph: Path, target: Path, *, products: int = _LEAST_PRODUCTS) -> Path:
    """Write a copy of `graph` that multiplies `products` 512 x 512 matrices for every request.

    The product hangs on the request's shape, so that no optimiser can compute it in advance, and its
    maximum times zero is added to the answer, so that none can leave it out.

    Args:
        graph: An ONNX file with the output `probability`.
        target: Where the slow copy goes.
        products: Matrix products per request, about 2-6 ms each on one core.
    """
    return _rewrite(graph, target, lambda source: (_constants(), _detour(source, products)))


Parts = tuple[list[Any], list[Any]]
"""Initializers and nodes that are added."""


def _rewrite(graph: Path, target: Path, parts: Callable[[str], Parts]) -> Path:
    """Take the answer of `graph` through more nodes."""
    import onnx  # noqa: PLC0415 - only who breaks a graph needs it

    model = onnx.load(graph)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == GRAPH_OUTPUT:
                    names[index] = _RENAMED
    initializers, nodes = parts(model.graph.input[0].name)
    model.graph.initializer.extend(initializers)
    model.graph.node.extend(nodes)
    onnx.save(model, target)
    return target


def _gathered(source: str, fault: Fault) -> Parts:
    """Add table[any value is not zero] to the answer: the table says NaN there, or ends before."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - as above

    tables: dict[Fault, list[float]] = {Fault.INVALID: [0.0, math.nan]}
    table = np.array(tables.get(fault, [0.0]), np.float32)
    first = np.array(1 if fault is Fault.CRASH else 0, np.int64)
    constants = [
        numpy_helper.from_array(table, "fault_table"),
        numpy_helper.from_array(first, "fault_first"),
        numpy_helper.from_array(np.array(0, np.float32), "fault_zero"),
    ]
    node = helper.make_node
    nodes = [
        node("Equal", [source, "fault_zero"], ["fault_equal"]),
        node("Not", ["fault_equal"], ["fault_other"]),
        node("Cast", ["fault_other"], ["fault_numbers"], to=TensorProto.FLOAT),
        node("ReduceMax", ["fault_numbers"], ["fault_any"], keepdims=0),
        node("Cast", ["fault_any"], ["fault_whole"], to=TensorProto.INT64),
        node("Add", ["fault_whole", "fault_first"], ["fault_index"]),
        node("Gather", ["fault_table", "fault_index"], ["fault_value"]),
        node("Add", [_RENAMED, "fault_value"], [GRAPH_OUTPUT]),
    ]
    return constants, nodes


def _constants() -> list[Any]:
    from onnx import numpy_helper  # noqa: PLC0415 - as above

    weights = np.random.default_rng(_SEED).normal(size=(_WIDTH, _WIDTH)).astype(np.float32) / _WIDTH**0.5
    return [
        numpy_helper.from_array(weights, "detour_weights"),
        numpy_helper.from_array(np.zeros((), np.float32), "detour_zero"),
        numpy_helper.from_array(np.array([1], np.int64), "detour_last"),
        numpy_helper.from_array(np.array([_WIDTH, _WIDTH], np.int64), "detour_shape"),
    ]


def _detour(source: str, products: int) -> list[Any]:
    from onnx import TensorProto, helper  # noqa: PLC0415 - as above

    node = helper.make_node
    nodes = [
        node("Shape", [source], ["detour_dims"]),
        node("Gather", ["detour_dims", "detour_last"], ["detour_columns"]),
        node("Cast", ["detour_columns"], ["detour_seed"], to=TensorProto.FLOAT),
        node("Expand", ["detour_seed", "detour_shape"], ["detour_0"]),
    ]
    nodes += [node("MatMul", [f"detour_{i}", "detour_weights"], [f"detour_{i + 1}"]) for i in range(products)]
    return [
        *nodes,
        node("ReduceMax", [f"detour_{products}"], ["detour_peak"], keepdims=0),
        node("Mul", ["detour_peak", "detour_zero"], ["detour_nothing"]),
        node("Add", [_RENAMED, "detour_nothing"], [GRAPH_OUTPUT]),
    ]
