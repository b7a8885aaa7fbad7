"""Two ways to write trees in standard tensor operators.

Source:
    Nakandala et al. (2020), "A Tensor Compiler for Unified Machine Learning Prediction Serving",
    OSDI: the GEMM strategy and the tree traversal strategy. Two things differ here. A branch's column
    is gathered, not multiplied out, because 0 · NaN and 0 · infinity are NaN; and NaN has a way of its
    own through each branch.
"""

from collections.abc import Iterator

import numpy as np

from modelway.optimize.forest import Floats, Forest, Ints
from modelway.optimize.graph import GraphPart, constant, node

FLOAT = 1
"""onnx.TensorProto.FLOAT"""
PREFIX = "tree_"
"""All our names begin so: the graph around may not use it."""


def gemm_form(forest: Forest, source: str, output: str) -> GraphPart:
    """All branches of all trees at once, then one matrix product a tree that finds the leaf.

    Per tree, a row's branches are a vector of 0 and 1. Its product with `paths` (+1 where a leaf lies
    on a branch's yes side, -1 on its no side) equals the leaf's number of yes branches for exactly
    one leaf. All these are small integers: exact in half precision, too.

    Args:
        forest: The trees.
        source: Name of a float32 tensor (n, F).
        output: Name for the sums, float32 (n, K).
    """
    nodes = (
        *_asked(source, f"{PREFIX}features", f"{PREFIX}thresholds", ""),
        node("Cast", [f"{PREFIX}is_yes"], f"{PREFIX}yes", to=FLOAT),
        node("Where", [f"{PREFIX}is_missing", f"{PREFIX}missing_yes", f"{PREFIX}yes"], f"{PREFIX}went"),
        node("Reshape", [f"{PREFIX}went", f"{PREFIX}branch_shape"], f"{PREFIX}by_row"),
        node("Transpose", [f"{PREFIX}by_row"], f"{PREFIX}by_tree", perm=[1, 0, 2]),
        node("MatMul", [f"{PREFIX}by_tree", f"{PREFIX}paths"], f"{PREFIX}agreement"),
        node("Equal", [f"{PREFIX}agreement", f"{PREFIX}yes_count"], f"{PREFIX}is_here"),
        node("Unsqueeze", [f"{PREFIX}is_here", f"{PREFIX}last"], f"{PREFIX}here"),
        node("Where", [f"{PREFIX}here", f"{PREFIX}weights", f"{PREFIX}nothing"], f"{PREFIX}picked"),
        node("ReduceSum", [f"{PREFIX}picked", f"{PREFIX}trees_and_leaves"], f"{PREFIX}sum", keepdims=0),
        node("Add", [f"{PREFIX}sum", f"{PREFIX}base"], output),
    )
    return GraphPart(nodes, _gemm_constants(forest))


def _gemm_constants(forest: Forest) -> tuple[object, ...]:
    parts = _Branches.of(forest)
    trees, branches, _ = parts.paths.shape
    return (
        constant(f"{PREFIX}features", parts.feature.ravel(), np.int32),
        constant(f"{PREFIX}thresholds", parts.threshold.ravel()),
        constant(f"{PREFIX}missing_yes", parts.missing_yes.ravel()),
        constant(f"{PREFIX}branch_shape", [-1, trees, branches], np.int64),
        constant(f"{PREFIX}paths", parts.paths),
        constant(f"{PREFIX}yes_count", parts.yes_count),
        constant(f"{PREFIX}last", [-1], np.int64),
        constant(f"{PREFIX}weights", parts.weights[:, None]),
        constant(f"{PREFIX}nothing", 0.0),
        constant(f"{PREFIX}trees_and_leaves", [0, 2], np.int64),
        constant(f"{PREFIX}base", forest.base),
    )


def traversal_form(forest: Forest, source: str, output: str) -> GraphPart:
    """All trees walk down together, one level a step, as many steps as the deepest tree has.

    Args:
        forest: The trees.
        source: Name of a float32 tensor (n, F).
        output: Name for the sums, float32 (n, K).
    """
    trees, size = forest.feature.shape
    roots = (np.arange(trees, dtype=np.int32) * size)[:, None]
    constants = (
        *(_below_the_roots(forest, roots) if forest.depth > 1 else ()),
        constant(f"{PREFIX}root_features", forest.feature[:, 0], np.int32),
        constant(f"{PREFIX}root_thresholds", forest.threshold[:, 0]),
        *_ways(forest, roots, "root_", slice(0, 1)),
        constant(f"{PREFIX}weights", forest.weights.reshape(trees * size, -1)),
        constant(f"{PREFIX}of_trees", [1], np.int64),
        constant(f"{PREFIX}base", forest.base),
    )
    nodes = [*_asked(source, f"{PREFIX}root_features", f"{PREFIX}root_thresholds", ""), *_first_step()]
    for level in range(1, forest.depth):
        nodes += _step(source, level)
    here = f"{PREFIX}at_{max(1, forest.depth)}"
    nodes += [
        node("Gather", [f"{PREFIX}weights", here], f"{PREFIX}picked", axis=0),
        node("ReduceSum", [f"{PREFIX}picked", f"{PREFIX}of_trees"], f"{PREFIX}sum", keepdims=0),
        node("Add", [f"{PREFIX}sum", f"{PREFIX}base"], output),
    ]
    return GraphPart(tuple(nodes), constants)


def _below_the_roots(forest: Forest, roots: Ints) -> Iterator[object]:
    yield constant(f"{PREFIX}features", forest.feature.ravel(), np.int32)
    yield constant(f"{PREFIX}thresholds", forest.threshold.ravel())
    yield from _ways(forest, roots, "", slice(None))


def _ways(forest: Forest, roots: Ints, prefix: str, nodes: slice) -> Iterator[object]:
    """Where each node's answers lead, numbered over all trees."""
    for name, way in (("yes", forest.yes), ("no", forest.no), ("missing", forest.missing)):
        yield constant(f"{PREFIX}{prefix}{name}", (way + roots)[:, nodes].ravel(), np.int32)


def _asked(source: str, features: str, thresholds: str, suffix: str) -> Iterator[object]:
    """The values that branches of a fixed place look at, and their answers."""
    value = f"{PREFIX}value{suffix}"
    yield node("Gather", [source, features], value, axis=1)
    yield node("LessOrEqual", [value, thresholds], f"{PREFIX}is_yes{suffix}")
    yield node("IsNaN", [value], f"{PREFIX}is_missing{suffix}")


def _first_step() -> Iterator[object]:
    """From the roots, which are the same for every row."""
    yes, no, missing = (f"{PREFIX}root_{way}" for way in ("yes", "no", "missing"))
    yield node("Where", [f"{PREFIX}is_yes", yes, no], f"{PREFIX}given")
    yield node("Where", [f"{PREFIX}is_missing", missing, f"{PREFIX}given"], f"{PREFIX}at_1")


def _step(source: str, level: int) -> Iterator[object]:
    """From `at_<level>` to the level below."""
    at, names = f"{PREFIX}at_{level}", ("features", "thresholds", "yes", "no", "missing")
    found = {name: f"{PREFIX}{name}_{level}" for name in names}
    for name, output in found.items():
        yield node("Gather", [f"{PREFIX}{name}", at], output, axis=0)
    value, is_yes, is_missing, given = (
        f"{PREFIX}{name}_{level}" for name in ("value", "is_yes", "is_missing", "given")
    )
    yield node("GatherElements", [source, found["features"]], value, axis=1)
    yield node("LessOrEqual", [value, found["thresholds"]], is_yes)
    yield node("IsNaN", [value], is_missing)
    yield node("Where", [is_yes, found["yes"], found["no"]], given)
    yield node("Where", [is_missing, found["missing"], given], f"{PREFIX}at_{level + 1}")


class _Branches:
    """Branches and leaves apart: T trees, I branches, L leaves, padded with branches nobody heeds."""

    def __init__(self, forest: Forest, branches: int, leaves: int) -> None:
        shape = (forest.trees, branches)
        self.feature: Ints = np.zeros(shape, np.int32)
        self.threshold: Floats = np.full(shape, np.inf, np.float32)
        self.missing_yes: Floats = np.zeros(shape, np.float32)
        self.paths: Floats = np.zeros((*shape, leaves), np.float32)
        self.yes_count: Floats = np.full((forest.trees, 1, leaves), -1, np.float32)  # no sum of padding
        self.weights: Floats = np.zeros((forest.trees, leaves, forest.weights.shape[2]), np.float32)
        for tree in range(forest.trees):
            self._fill(forest, tree)

    @classmethod
    def of(cls, forest: Forest) -> "_Branches":
        """Sized by the largest tree; at least one branch, for a tree may be a single leaf."""
        branches = int((~forest.is_leaf).sum(axis=1).max())
        return cls(forest, max(1, branches), branches + 1)

    def _fill(self, forest: Forest, tree: int) -> None:
        branches = np.flatnonzero(~forest.is_leaf[tree])
        self.feature[tree, : len(branches)] = forest.feature[tree, branches]
        self.threshold[tree, : len(branches)] = forest.threshold[tree, branches]
        missing, yes = forest.missing[tree, branches], forest.yes[tree, branches]
        self.missing_yes[tree, : len(branches)] = missing == yes
        place = {int(number): index for index, number in enumerate(branches)}
        for index, (leaf, path) in enumerate(_walks(forest, tree)):
            self.weights[tree, index] = forest.weights[tree, leaf]
            self.yes_count[tree, 0, index] = sum(side == 1 for _, side in path)
            for branch, side in path:
                self.paths[tree, place[branch], index] = side


def _walks(forest: Forest, tree: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Every leaf with the branches above it, each with +1 where the way is yes, -1 where it is no."""
    waiting: list[tuple[int, list[tuple[int, int]]]] = [(0, [])]
    while waiting:
        number, path = waiting.pop()
        if forest.is_leaf[tree, number]:
            yield number, path
            continue
        waiting.append((int(forest.yes[tree, number]), [*path, (number, 1)]))
        waiting.append((int(forest.no[tree, number]), [*path, (number, -1)]))


def cells(forest: Forest) -> int:
    """Numbers in the matrices of the GEMM form, over all trees: products a row costs."""
    branches = max(1, int((~forest.is_leaf).sum(axis=1).max()))
    return forest.trees * branches * (branches + 1)
