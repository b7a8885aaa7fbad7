"""Boosted trees of any library as one ONNX node."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from modelway.errors import UnsupportedGraphError
from modelway.optimize.graph import KNOWN, MARGIN, GraphPart

LEAF, AT_MOST, BELOW = "LEAF", "BRANCH_LEQ", "BRANCH_LT"


@dataclass(frozen=True)
class TreeNode:
    """A leaf, or a question about one column. The first node of a tree is its root."""

    tree: int
    number: int
    mode: str = LEAF
    feature: int = 0
    threshold: float = 0.0
    """A float32's value: for `AT_MOST` rounded down (`float32_below`)."""
    yes: int = 0
    no: int = 0
    missing_is_yes: bool = False
    weight: float = 0.0
    """What a leaf adds to the log-odds."""


def ensemble(nodes: Iterable[TreeNode], base: float) -> GraphPart:
    """One TreeEnsembleRegressor from `KNOWN` to `MARGIN`.

    Args:
        nodes: Of all trees, one tree after the other.
        base: Log-odds before any tree.
    """
    from onnx import helper  # noqa: PLC0415 - needed by export alone

    listed = list(nodes)
    trees = helper.make_node(
        "TreeEnsembleRegressor",
        [KNOWN],
        [MARGIN],
        name="trees",
        domain="ai.onnx.ml",
        **_branches(listed),
        **_weights([n for n in listed if n.mode == LEAF]),
        base_values=[base],
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
    )
    return GraphPart((trees,))


def _branches(nodes: list[TreeNode]) -> dict[str, list[int] | list[str] | list[float]]:
    return {
        "nodes_treeids": [n.tree for n in nodes],
        "nodes_nodeids": [n.number for n in nodes],
        "nodes_featureids": [n.feature for n in nodes],
        "nodes_modes": [n.mode for n in nodes],
        "nodes_values": [n.threshold for n in nodes],
        "nodes_truenodeids": [n.yes for n in nodes],
        "nodes_falsenodeids": [n.no for n in nodes],
        "nodes_missing_value_tracks_true": [int(n.missing_is_yes) for n in nodes],
    }


def _weights(leaves: list[TreeNode]) -> dict[str, list[int] | list[float]]:
    return {
        "target_treeids": [leaf.tree for leaf in leaves],
        "target_nodeids": [leaf.number for leaf in leaves],
        "target_ids": [0] * len(leaves),
        "target_weights": [leaf.weight for leaf in leaves],
    }


def float32_below(value: float) -> float:
    """The largest float32 that is not above `value`.

    For a float32 x, x <= value means x <= this. The nearest float32, which other exporters take, may
    lie above, and then a value between the two goes the other way.
    """
    with np.errstate(over="ignore"):  # LightGBM's 1e300 becomes infinity, and then the largest float32
        nearest = np.float32(value)
    # As a Python float, for numpy would round `value` to float32 before comparing.
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-np.inf)))


def unsupported_tree(library: str, tree: int, what: str) -> UnsupportedGraphError:
    """The error for a tree that asks what our node cannot."""
    return UnsupportedGraphError(
        f"tree {tree} of {library} {what}",
        expected="numeric splits, missing values to one side",
        remedy="train it through modelway, with categories as ordinal codes (docs/adr/0030)",
    )
