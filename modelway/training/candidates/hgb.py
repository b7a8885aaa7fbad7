"""Gradient-boosted trees over binned numbers and ordinal category codes."""

import pickle
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it publishes no types

from modelway.optimize.graph import KNOWN, MARGIN, GraphPart
from modelway.training.candidates.base import Epoch, Margins, OnEpoch, Params, Recipe, Rows, complete
from modelway.training.encoding import Floats

LEAF, BRANCH = "LEAF", "BRANCH_LEQ"


class Hgb:
    """scikit-learn's HistGradientBoostingClassifier.

    Categories go in as ordinal codes, never as `categorical_features`: the bitset splits those make
    have no counterpart in ONNX, and exporting them anyway flips a quarter of the decisions.
    """

    rounds_param: ClassVar[str] = "max_iter"
    defaults: ClassVar[Params] = {
        "learning_rate": 0.05,
        "max_iter": 80,
        "max_leaf_nodes": 4,
        "min_samples_leaf": 100,
        "l2_regularization": 10.0,
        "max_features": 0.5,
    }

    def fit(self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch) -> "FittedHgb":
        """Boost for `max_iter` rounds; validation rows only measure the loss.

        Where positives are few, the round of the lowest validation loss is a matter of luck: small
        trees, many rows a leaf and a fixed number of rounds held up better on later rows.
        """
        model = _untrained(
            complete("hgb", self.defaults, recipe.params), recipe.seed, early=validation is not None
        )
        held_out = {} if validation is None else {"X_val": validation.X, "y_val": validation.y}
        # One thread: parallel sums of gradients depend on the number of cores, in the last bit.
        with threadpool_limits(limits=1):
            model.fit(_without_empty(train.X), train.y, **held_out)
        if validation is not None:
            _report(model, on_epoch)
        return FittedHgb(model)

    def load(self, content: bytes) -> "FittedHgb":
        """Read back a pickle of our own making; the caller has compared its sha256."""
        return FittedHgb(pickle.loads(content))  # noqa: S301 - our own bytes: FileRef.read compared the hash


class FittedHgb:
    """Boosted trees; their sum is the log-odds."""

    def __init__(self, model: HistGradientBoostingClassifier) -> None:
        self.model = model
        self.rounds: int = model.n_iter_

    def margins(self, X: Floats) -> Margins:
        """Sum of the leaves in float64."""
        with threadpool_limits(limits=1):
            sums: Margins = self.model.decision_function(X)
        return sums

    def graph(self) -> GraphPart:
        """One TreeEnsembleRegressor."""
        from onnx import helper  # noqa: PLC0415 - needed by export alone

        attributes = _tree_attributes(self.model)
        trees = helper.make_node(
            "TreeEnsembleRegressor", [KNOWN], [MARGIN], name="trees", domain="ai.onnx.ml", **attributes
        )
        return GraphPart((trees,))

    def dump(self) -> bytes:
        """Pickle, for the parity gate."""
        return pickle.dumps(self.model)


def _untrained(params: Mapping[str, Any], seed: int, *, early: bool) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        **params,
        categorical_features=None,
        early_stopping=early,
        scoring="loss",
        n_iter_no_change=int(params["max_iter"]),  # never stop: only with early_stopping are losses kept
        random_state=seed,
    )


def _without_empty(X: Floats) -> Floats:
    # scikit-learn 1.9 cannot bin a column of NaN alone ("window shape cannot be larger than input
    # array shape"). A constant column is never split on, so 0 there is the same as leaving it out.
    empty = np.isnan(X).all(axis=0)
    return np.where(empty, np.float32(0), X) if empty.any() else X


def _report(model: HistGradientBoostingClassifier, on_epoch: OnEpoch) -> None:
    losses = zip(-model.train_score_[1:], -model.validation_score_[1:], strict=True)
    for number, (train, validation) in enumerate(losses, start=1):
        on_epoch(Epoch(number=number, train_loss=float(train), validation_loss=float(validation)))


def _tree_attributes(model: HistGradientBoostingClassifier) -> dict[str, Any]:
    # skl2onnx rounds a split to the nearest float32, which sends a value between the two the other
    # way; rounding down is exact, because x <= t for a float32 x means x <= the float32 below t.
    trees = enumerate(model._predictors)  # noqa: SLF001 - the trees have no public name
    nodes = [node for number, (tree,) in trees for node in _nodes(number, tree.nodes)]
    columns = {name: [node[name] for node in nodes] for name in nodes[0] if name != "weight"}
    leaves = [node for node in nodes if node["nodes_modes"] == LEAF]
    return columns | {
        "target_treeids": [leaf["nodes_treeids"] for leaf in leaves],
        "target_nodeids": [leaf["nodes_nodeids"] for leaf in leaves],
        "target_ids": [0] * len(leaves),
        "target_weights": [leaf["weight"] for leaf in leaves],
        "base_values": [float(np.ravel(model._baseline_prediction)[0])],  # noqa: SLF001 - as above
        "n_targets": 1,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
    }


def _nodes(tree: int, nodes: Any) -> Iterator[dict[str, Any]]:
    for number, node in enumerate(nodes):
        leaf = bool(node["is_leaf"])
        yield {
            "nodes_treeids": tree,
            "nodes_nodeids": number,
            "nodes_featureids": 0 if leaf else int(node["feature_idx"]),
            "nodes_modes": LEAF if leaf else BRANCH,
            "nodes_values": 0.0 if leaf else float32_below(float(node["num_threshold"])),
            "nodes_truenodeids": 0 if leaf else int(node["left"]),
            "nodes_falsenodeids": 0 if leaf else int(node["right"]),
            "nodes_missing_value_tracks_true": 0 if leaf else int(node["missing_go_to_left"]),
            "weight": float(node["value"]),
        }


def float32_below(value: float) -> float:
    """The largest float32 that is not above `value`."""
    nearest = np.float32(value)
    # As a Python float, for numpy would round `value` to float32 before comparing.
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-np.inf)))
