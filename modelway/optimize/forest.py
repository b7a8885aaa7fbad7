"""Decision trees as arrays: what a TreeEnsemble node of a graph says, read and brought into one form."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelway.errors import UnsupportedGraphError

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

OPERATORS = ("TreeEnsembleRegressor", "TreeEnsembleClassifier")
LEAF = "LEAF"
_BELOW = ("BRANCH_LT", "BRANCH_GTE")
"""x < t is x <= the float32 below t, for a float32 x."""
_SWAPPED = ("BRANCH_GT", "BRANCH_GTE")
"""x > t is not x <= t: the branches change places."""
_MODES = ("BRANCH_LEQ", *_BELOW, *_SWAPPED)


@dataclass(frozen=True)
class Forest:
    """T trees, each padded to N nodes, with K weights a leaf. Node 0 is a tree's root.

    Every branch asks x <= threshold. A leaf is its own successor, so a walk of `depth` steps ends on
    one whatever its length.
    """

    feature: Ints
    """(T, N): column that a branch looks at; 0 for leaves."""
    threshold: Floats
    """(T, N)"""
    yes: Ints
    """(T, N): the next node when x <= threshold."""
    no: Ints
    """(T, N): the next node when not."""
    missing: Ints
    """(T, N): the next node when x is NaN."""
    is_leaf: npt.NDArray[np.bool_]
    """(T, N)"""
    weights: Floats
    """(T, N, K): what a leaf adds to each of K sums; 0 for branches."""
    base: Floats
    """(K,): where the sums begin."""
    depth: int
    """Longest walk from a root to a leaf, in steps."""

    @property
    def trees(self) -> int:
        """T."""
        return len(self.feature)


@dataclass(frozen=True)
class _Node:
    """One row of the node's attributes."""

    mode: str
    feature: int
    value: float
    true_child: int
    false_child: int
    missing_is_true: bool


_Tree = dict[int, _Node]


def read_forest(node: Any) -> Forest:
    """Read a TreeEnsembleRegressor or TreeEnsembleClassifier.

    Args:
        node: onnx.NodeProto of `ai.onnx.ml`, version 3.

    Raises:
        UnsupportedGraphError: It branches by equality, holds float64 attributes, aggregates by MIN or
            MAX, or is no set of trees. The message names the node.
    """
    from onnx import helper  # noqa: PLC0415 - half a second that training's callers need not pay

    said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    _refuse_unsupported(node, said)
    trees = _trees(said)
    for number, tree in trees.items():
        _check_tree(node, number, tree)
    weights, base = _weights(said, _prefix(node), len(trees))
    _refuse_silence(node, said, trees, len(base))
    return _padded(node, trees, weights, base)


def unsupported(node: Any, why: str) -> UnsupportedGraphError:
    """The error for one node of a graph."""
    return UnsupportedGraphError(
        f"node {node.name!r} ({node.op_type}) {why}",
        expected="trees that branch by <=, <, >= or > on float32 and sum or average their leaves",
        remedy="serve the graph with ONNX Runtime, which runs the node as it is",
    )


def _refuse_unsupported(node: Any, said: Mapping[str, Any]) -> None:
    doubles = sorted(name for name in said if name.endswith("_as_tensor"))
    if doubles:
        raise unsupported(node, f"holds float64 attributes: {', '.join(doubles)}")
    aggregate = said.get("aggregate_function", b"SUM").decode()
    if aggregate not in {"SUM", "AVERAGE"}:
        raise unsupported(node, f"aggregates by {aggregate}")
    odd = {mode.decode() for mode in said["nodes_modes"]} - {LEAF, *_MODES}
    if odd:
        raise unsupported(node, f"branches by {', '.join(sorted(odd))}")


def _trees(said: Mapping[str, Any]) -> dict[int, _Tree]:
    count = len(said["nodes_treeids"])
    tracks = said.get("nodes_missing_value_tracks_true") or [0] * count
    columns = (
        said["nodes_treeids"], said["nodes_nodeids"], said["nodes_modes"], said["nodes_featureids"],
        said["nodes_values"], said["nodes_truenodeids"], said["nodes_falsenodeids"], tracks,
    )  # fmt: skip
    trees: dict[int, _Tree] = defaultdict(dict)
    for tree, number, mode, feature, value, yes, no, missing in zip(*columns, strict=True):
        trees[tree][number] = _Node(mode.decode(), feature, value, yes, no, bool(missing))
    return dict(trees)


def _check_tree(node: Any, number: int, tree: _Tree) -> None:
    for branch in tree.values():
        if branch.mode == LEAF:
            continue
        if np.isnan(branch.value) or (branch.mode in _BELOW and branch.value == -np.inf):
            raise unsupported(node, f"compares with {branch.value} in tree {number}")
        if branch.true_child not in tree or branch.false_child not in tree:
            raise unsupported(node, f"names a node that tree {number} does not have")


def _prefix(node: Any) -> str:
    return "target" if node.op_type == OPERATORS[0] else "class"


def _refuse_silence(node: Any, said: Mapping[str, Any], trees: Mapping[int, _Tree], targets: int) -> None:
    """Each sum must have a tree whose every leaf adds to it.

    Without one, a row may reach no leaf that does, and then ONNX Runtime leaves the base value out.
    """
    prefix = _prefix(node)
    told = set(zip(*(said[f"{prefix}_{name}"] for name in ("treeids", "nodeids", "ids")), strict=True))
    leaves = {number: [n for n, b in tree.items() if b.mode == LEAF] for number, tree in trees.items()}
    for target in range(targets):
        if not any(all((tree, leaf, target) in told for leaf in of) for tree, of in leaves.items()):
            raise unsupported(node, f"has rows that no leaf gives a weight for sum {target}")


def _weights(
    said: Mapping[str, Any], prefix: str, trees: int
) -> tuple[Mapping[tuple[int, int], Floats], Floats]:
    """Weights by (tree, node), and the base values, both of length K."""
    size = _targets(said)
    share = trees if said.get("aggregate_function", b"SUM") == b"AVERAGE" else 1
    found: dict[tuple[int, int], Floats] = defaultdict(lambda: np.zeros(size, np.float32))
    columns = (said[f"{prefix}_{name}"] for name in ("treeids", "nodeids", "ids", "weights"))
    for tree, node, target, weight in zip(*columns, strict=True):
        found[tree, node][target] += np.float32(weight / share)
    return found, np.array(said.get("base_values") or [0.0] * size, np.float32)


def _targets(said: Mapping[str, Any]) -> int:
    if "n_targets" in said:
        return int(said["n_targets"])
    return len(said.get("classlabels_int64s") or said.get("classlabels_strings") or [0])


def _padded(
    node: Any, trees: Mapping[int, _Tree], weights: Mapping[tuple[int, int], Floats], base: Floats
) -> Forest:
    orders = {number: _order(node, number, tree) for number, tree in trees.items()}
    shape = (len(trees), max(len(order) for order in orders.values()))
    own = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape)
    forest = Forest(
        feature=np.zeros(shape, np.int32),
        threshold=np.full(shape, np.inf, np.float32),
        yes=own.copy(),
        no=own.copy(),
        missing=own.copy(),
        is_leaf=np.ones(shape, np.bool_),
        weights=np.zeros((*shape, len(base)), np.float32),
        base=base,
        depth=max(level for order in orders.values() for level in order.values()),
    )
    for row, (number, order) in enumerate(orders.items()):
        places = {name: place for place, name in enumerate(order)}
        for name, place in places.items():
            _put(forest, (row, place), trees[number][name], places)
            if forest.is_leaf[row, place] and (number, name) in weights:
                forest.weights[row, place] = weights[number, name]
    return forest


def _put(forest: Forest, at: tuple[int, int], node: _Node, places: Mapping[int, int]) -> None:
    if node.mode == LEAF:
        return
    true, false = places[node.true_child], places[node.false_child]
    value = np.float32(node.value)
    forest.is_leaf[at] = False
    forest.feature[at] = node.feature
    forest.threshold[at] = np.nextafter(value, np.float32(-np.inf)) if node.mode in _BELOW else value
    forest.yes[at], forest.no[at] = (false, true) if node.mode in _SWAPPED else (true, false)
    forest.missing[at] = true if node.missing_is_true else false


def _order(node: Any, number: int, tree: _Tree) -> dict[int, int]:
    """Nodes in the order of their level, each with its level; the root first."""
    children = {c for n in tree.values() if n.mode != LEAF for c in (n.true_child, n.false_child)}
    roots = [name for name in tree if name not in children]
    if len(roots) != 1:
        raise unsupported(node, f"has {len(roots)} roots in tree {number}")
    levels: dict[int, int] = {roots[0]: 0}
    for name in (waiting := [roots[0]]):
        branch = tree[name]
        for child in () if branch.mode == LEAF else (branch.true_child, branch.false_child):
            if child in levels:
                raise unsupported(node, f"reaches node {child} of tree {number} twice")
            levels[child] = levels[name] + 1
            waiting.append(child)
    if len(levels) != len(tree):
        raise unsupported(node, f"has {len(tree) - len(levels)} nodes in tree {number} that nothing leads to")
    return levels
