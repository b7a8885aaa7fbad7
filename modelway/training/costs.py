"""What a graph costs: counted where something is decided, timed where somebody only wants to know."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from modelway.contract import Frozen
from modelway.optimize.scoring import Graph
from modelway.stats.order_statistics import percentile_interval
from modelway.training.encoding import Floats

CALLS = 100
"""Of each graph in one round …"""
ROUNDS = 3
"""… taken in turn, so that a busy moment meets all graphs alike."""


class Latency(Frozen):
    """Median of single rows, microseconds, and its 95 % interval."""

    median_us: float
    low_us: float
    high_us: float


def operations(onnx: bytes) -> int:
    """Arithmetic operations and comparisons that one row takes at most.

    Trees count the longest way down each; a matrix product two for each weight; any other operator one for
    each number that it writes. Memory, threads and fused operators are not in it: it orders models of one
    kind well, and models of different kinds only roughly. The same graph always gives the same number.
    """
    import onnx as library  # noqa: PLC0415 - half a second that importers need not pay

    graph = library.shape_inference.infer_shapes(library.load_from_string(onnx)).graph
    shapes = {v.name: _shape(v) for v in (*graph.value_info, *graph.output)}
    weights = {c.name: tuple(c.dims) for c in graph.initializer}
    return sum(_operations(node, shapes, weights) for node in graph.node)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(d.dim_value or 1 for d in value.type.tensor_type.shape.dim)


def _operations(
    node: Any, shapes: Mapping[str, tuple[int, ...]], weights: Mapping[str, tuple[int, ...]]
) -> int:
    if node.op_type.startswith("TreeEnsemble"):
        return _tree_operations(node)
    matrices = [weights[name] for name in node.input if name in weights]
    if node.op_type in {"MatMul", "Gemm"} and matrices:
        return 2 * prod(matrices[0])
    return sum(prod(shapes.get(name, ())) for name in node.output)


def _tree_operations(node: Any) -> int:
    """Longest way down each tree, and one addition for each."""
    from onnx import helper  # noqa: PLC0415 - as above

    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    trees: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
    columns = ("nodes_treeids", "nodes_nodeids", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids")
    for tree, number, mode, true, false in zip(*(found[name] for name in columns), strict=True):
        trees[tree][number] = () if mode == b"LEAF" else (true, false)  # type: ignore[assignment]  # a leaf has none
    return sum(_depth(nodes) + 1 for nodes in trees.values())


def _depth(nodes: Mapping[int, tuple[int, ...]]) -> int:
    level, depth = list(nodes[min(nodes)]), 0
    while level:
        depth += 1
        level = [child for number in level for child in nodes[number]]
    return depth


def latencies(graphs: Sequence[bytes], row: Floats) -> list[Latency]:
    """Time single rows through each graph, in this process.

    Args:
        graphs: ONNX files.
        row: One encoded row, shape (1, F); or one that a model reads, (1, F + D), of which the graphs are
            given the inputs alone: they derive the rest.
    """
    loaded = [Graph(each) for each in graphs]
    row = np.ascontiguousarray(row[:, : min((graph.features for graph in loaded), default=None)])
    seconds: list[list[float]] = [[] for _ in graphs]
    for graph in loaded:
        graph.probabilities(row)
    for _ in range(ROUNDS):
        for graph, before in zip(loaded, seconds, strict=True):
            before.extend(_timed(graph, row))
    return [_latency(np.array(found) * 1e6) for found in seconds]


def _timed(graph: Graph, row: Floats) -> list[float]:
    found = []
    for _ in range(CALLS):
        start = time.perf_counter()
        graph.probabilities(row)
        found.append(time.perf_counter() - start)
    return found


def _latency(microseconds: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> Latency:
    interval, median = percentile_interval(microseconds, 50), float(np.median(microseconds))
    low, high = interval.low, interval.high
    return Latency(
        median_us=median, low_us=median if low is None else low, high_us=median if high is None else high
    )
