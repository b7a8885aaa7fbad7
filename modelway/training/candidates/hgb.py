"""Gradient-boosted trees over binned numbers and ordinal category codes."""

import pickle
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it publishes no types

from modelway.optimize.graph import GraphPart
from modelway.training.candidates.base import Epoch, Margins, OnEpoch, Params, Recipe, Rows, Value, complete
from modelway.training.candidates.imbalance import CLASS_WEIGHT, NONE, sample_weights
from modelway.training.candidates.tree_nodes import AT_MOST, TreeNode, ensemble, float32_below
from modelway.training.encoding import Floats


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
        CLASS_WEIGHT: NONE,
    }

    def fit(self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch) -> "FittedHgb":
        """Boost for `max_iter` rounds; validation rows only measure the loss.

        Where positives are few, the round of the lowest validation loss is a matter of luck: small
        trees, many rows a leaf and a fixed number of rounds held up better on later rows.
        """
        params = complete("hgb", self.defaults, recipe.params)
        class_weight = params.pop(CLASS_WEIGHT)
        model = _untrained(params, recipe.seed, early=validation is not None)
        weights = sample_weights(train.y, class_weight)
        # One thread: parallel sums of gradients depend on the number of cores, in the last bit.
        with threadpool_limits(limits=1):
            model.fit(_without_empty(train.X), train.y, weights, **_held_out(validation, class_weight))
        if validation is not None:
            _report(model, on_epoch)
        return FittedHgb(model)

    def load(self, content: bytes) -> "FittedHgb":
        """Read back a pickle of our own making; the caller has compared its sha256."""
        return FittedHgb(pickle.loads(content))  # noqa: S301 - our own bytes: FileRef.read compared the hash


class FittedHgb:
    """Boosted trees; their sum is the log-odds."""

    def __init__(self, model: HistGradientBoostingClassifier) -> None:
        """Take a fitted classifier; its iterations are the rounds."""
        self.model = model
        self.rounds: int = model.n_iter_

    def margins(self, X: Floats) -> Margins:
        """Sum of the leaves in float64."""
        with threadpool_limits(limits=1):
            sums: Margins = self.model.decision_function(X)
        return sums

    def graph(self) -> GraphPart:
        """One TreeEnsembleRegressor."""
        return ensemble(self.nodes(), self.base)

    def nodes(self) -> Iterator[TreeNode]:
        """Of all trees, one tree after the other."""
        return _nodes(self.model)

    @property
    def base(self) -> float:
        """Log-odds before any tree."""
        return float(np.ravel(self.model._baseline_prediction)[0])  # noqa: SLF001 - it has no public name

    def dump(self) -> bytes:
        """Pickle, for the parity gate."""
        return pickle.dumps(self.model)


def _held_out(validation: Rows | None, class_weight: Value) -> dict[str, Any]:
    if validation is None:
        return {}
    weights = sample_weights(validation.y, class_weight)
    return {"X_val": validation.X, "y_val": validation.y, "sample_weight_val": weights}


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


def _nodes(model: HistGradientBoostingClassifier) -> Iterator[TreeNode]:
    for tree, (predictor,) in enumerate(model._predictors):  # noqa: SLF001 - the trees have no public name
        for number, node in enumerate(predictor.nodes):
            yield _leaf(tree, number, node) if node["is_leaf"] else _branch(tree, number, node)


def _leaf(tree: int, number: int, node: Any) -> TreeNode:
    return TreeNode(tree, number, weight=float(node["value"]))


def _branch(tree: int, number: int, node: Any) -> TreeNode:
    return TreeNode(
        tree,
        number,
        mode=AT_MOST,
        feature=int(node["feature_idx"]),
        threshold=float32_below(float(node["num_threshold"])),
        yes=int(node["left"]),
        no=int(node["right"]),
        missing_is_yes=bool(node["missing_go_to_left"]),
    )
