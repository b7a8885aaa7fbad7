"""XGBoost: trees grown level by level over histograms."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import xgboost

from modelway.errors import SnapshotCorruptError
from modelway.optimize.graph import GraphPart
from modelway.training.candidates.base import Epoch, Margins, OnEpoch, Params, Recipe, Rows, complete
from modelway.training.candidates.imbalance import CLASS_WEIGHT, NONE, Weights, sample_weights
from modelway.training.candidates.tree_nodes import BELOW, TreeNode, ensemble, unsupported_tree
from modelway.training.encoding import Floats

LARGEST = float(np.finfo(np.float32).max)
SETTINGS = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "device": "cpu",
    "nthread": 1,  # sums of gradients depend on their number, in the last bit
    "verbosity": 0,
}


class XgBoost:
    """XGBoost with categories as ordinal codes: its sets of categories have no counterpart in our node."""

    rounds_param: ClassVar[str] = "num_boost_round"
    defaults: ClassVar[Params] = {
        "learning_rate": 0.05,
        "num_boost_round": 80,
        "max_depth": 2,
        "min_child_weight": 5.0,
        "reg_lambda": 10.0,
        "colsample_bytree": 0.5,
        CLASS_WEIGHT: NONE,
    }

    def fit(self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch) -> "FittedXgBoost":
        """Boost for `num_boost_round` rounds; validation rows only measure the loss, as for `hgb`."""
        params = complete("xgboost", self.defaults, recipe.params)
        class_weight, rounds = params.pop(CLASS_WEIGHT), int(params.pop(self.rounds_param))
        settings = {**params, **SETTINGS, "seed": recipe.seed}
        learnt = _matrix(train.X, train.y, sample_weights(train.y, class_weight))
        watched, losses = [], {}  # type: ignore[var-annotated]  # XGBoost fills both
        if validation is not None:
            held_out = _matrix(validation.X, validation.y, sample_weights(validation.y, class_weight))
            watched = [(learnt, "train"), (held_out, "validation")]
        booster = xgboost.train(
            settings, learnt, rounds, evals=watched, evals_result=losses, verbose_eval=False
        )
        if validation is not None:
            _report(losses, on_epoch)
        return FittedXgBoost(booster)

    def load(self, content: bytes) -> "FittedXgBoost":
        """Read XGBoost's own JSON.

        Raises:
            SnapshotCorruptError: It is none.
        """
        booster = xgboost.Booster({"nthread": 1})
        try:
            # XGBoost ends the whole process over bytes that it takes for its binary form and cannot read.
            json.loads(content)["learner"]["gradient_booster"]
            booster.load_model(bytearray(content))
        except (xgboost.core.XGBoostError, ValueError, KeyError, TypeError) as error:
            raise SnapshotCorruptError(f"{len(content)} bytes hold no XGBoost model: {error}") from error
        return FittedXgBoost(booster)


class FittedXgBoost:
    """Boosted trees; their sum is the log-odds."""

    def __init__(self, booster: xgboost.Booster) -> None:
        """Take a fitted booster; at least one round, for a booster of none answers too."""
        self.booster = booster
        self.rounds: int = max(1, booster.num_boosted_rounds())

    def margins(self, X: Floats) -> Margins:
        """Sum of the leaves in float32."""
        sums = self.booster.predict(_matrix(X), output_margin=True)
        return np.asarray(sums, dtype=np.float64)

    def graph(self) -> GraphPart:
        """One TreeEnsembleRegressor.

        Raises:
            UnsupportedGraphError: A split by sets of categories.
        """
        learner = json.loads(self.dump())["learner"]
        trees = learner["gradient_booster"]["model"]["trees"]
        nodes = (node for number, tree in enumerate(trees) for node in _nodes(number, tree))
        return ensemble(nodes, base=_base(learner["learner_model_param"]["base_score"]))

    def dump(self) -> bytes:
        """XGBoost's JSON: trees and settings, no code."""
        return bytes(self.booster.save_raw(raw_format="json"))


def _matrix(X: Floats, y: Any = None, weights: Weights | None = None) -> xgboost.DMatrix:
    # XGBoost refuses infinity. No split lies beyond the largest float32, so both go the same way.
    return xgboost.DMatrix(np.clip(X, -LARGEST, LARGEST), y, weight=weights, missing=np.nan, nthread=1)


def _report(losses: Mapping[str, Any], on_epoch: OnEpoch) -> None:
    both = zip(losses["train"]["logloss"], losses["validation"]["logloss"], strict=True)
    for number, (train, validation) in enumerate(both, start=1):
        on_epoch(Epoch(number=number, train_loss=float(train), validation_loss=float(validation)))


def _base(base_score: str) -> float:
    """Log-odds of the stored probability: `5E-1`, and since XGBoost 3.1 `[5E-1]`."""
    p = float(base_score.strip("[]"))
    return math.log(p / (1 - p))


def _nodes(number: int, tree: Mapping[str, Any]) -> Iterator[TreeNode]:
    if any(tree["split_type"]):
        raise unsupported_tree("XGBoost", number, "splits by sets of categories")
    for node, left in enumerate(tree["left_children"]):
        value = float(np.float32(tree["split_conditions"][node]))
        if left == -1:
            yield TreeNode(number, node, weight=value)
        else:
            yield _branch(number, node, value, tree)


def _branch(number: int, node: int, threshold: float, tree: Mapping[str, Any]) -> TreeNode:
    """XGBoost asks x < threshold in float32: nothing has to be rounded."""
    return TreeNode(
        number,
        node,
        mode=BELOW,
        feature=int(tree["split_indices"][node]),
        # Nothing lies below the smallest number, -infinity included: margins() clips.
        threshold=-math.inf if threshold <= -LARGEST else threshold,
        yes=int(tree["left_children"][node]),
        no=int(tree["right_children"][node]),
        missing_is_yes=bool(tree["default_left"][node]),
    )
