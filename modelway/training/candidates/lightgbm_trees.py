"""LightGBM: trees grown leaf by leaf."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import lightgbm
import numpy as np

from modelway.errors import SnapshotCorruptError
from modelway.optimize.graph import GraphPart
from modelway.training.candidates.base import Epoch, Margins, OnEpoch, Params, Recipe, Rows, complete
from modelway.training.candidates.imbalance import CLASS_WEIGHT, NONE, sample_weights
from modelway.training.candidates.tree_nodes import (
    AT_MOST,
    TreeNode,
    ensemble,
    float32_below,
    unsupported_tree,
)
from modelway.training.encoding import Floats

ZERO = float(np.float32(1e-35))
"""LightGBM takes any number this close to 0 for 0 (its kZeroThreshold)."""
SAME_EVERYWHERE = {
    "deterministic": True,
    "force_row_wise": True,  # else it times both ways and takes the faster one
    "num_threads": 1,  # sums of gradients depend on their number, in the last bit
    "verbosity": -1,
}


class LightGbm:
    """LightGBM with categories as ordinal codes: its sets of categories have no counterpart in our node."""

    rounds_param: ClassVar[str] = "num_iterations"
    defaults: ClassVar[Params] = {
        "learning_rate": 0.05,
        "num_iterations": 80,
        "num_leaves": 4,
        "min_data_in_leaf": 100,
        "lambda_l2": 10.0,
        "feature_fraction": 0.5,
        CLASS_WEIGHT: NONE,
    }

    def fit(
        self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch
    ) -> "FittedLightGbm":
        """Boost for `num_iterations` rounds; validation rows only measure the loss, as for `hgb`."""
        params = complete("lightgbm", self.defaults, recipe.params)
        class_weight, rounds = params.pop(CLASS_WEIGHT), int(params.pop(self.rounds_param))
        settings = {**params, **SAME_EVERYWHERE, "objective": "binary", "seed": recipe.seed}
        learnt = _dataset(train, sample_weights(train.y, class_weight))
        if validation is None:
            return FittedLightGbm(lightgbm.train(settings, learnt, rounds))
        held_out = _dataset(validation, sample_weights(validation.y, class_weight), learnt)
        losses: dict[str, Any] = {}
        booster = lightgbm.train(
            settings,
            learnt,
            rounds,
            valid_sets=[learnt, held_out],
            valid_names=["train", "validation"],
            callbacks=[lightgbm.record_evaluation(losses)],
        )
        _report(losses, on_epoch)
        return FittedLightGbm(booster)

    def load(self, content: bytes) -> "FittedLightGbm":
        """Read LightGBM's own text form.

        Raises:
            SnapshotCorruptError: It is none.
        """
        try:
            booster = lightgbm.Booster(model_str=content.decode())
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError, ValueError) as error:
            raise SnapshotCorruptError(f"{len(content)} bytes hold no LightGBM model: {error}") from error
        return FittedLightGbm(booster)


class FittedLightGbm:
    """Boosted trees; their sum is the log-odds."""

    def __init__(self, booster: lightgbm.Booster) -> None:
        """Take a fitted booster; at least one round, for a booster of none answers too."""
        self.booster = booster
        self.rounds: int = max(1, booster.current_iteration())

    def margins(self, X: Floats) -> Margins:
        """Sum of the leaves in float64."""
        sums = self.booster.predict(X, raw_score=True, num_threads=1)
        return np.asarray(sums, dtype=np.float64)

    def graph(self) -> GraphPart:
        """One TreeEnsembleRegressor.

        Raises:
            UnsupportedGraphError: A split by sets of categories, or with 0 for missing.
        """
        trees = self.booster.dump_model()["tree_info"]
        # The average that boosting begins with is added to the first tree's leaves by LightGBM itself.
        return ensemble((node for n, tree in enumerate(trees) for node in _nodes(n, tree)), base=0.0)

    def dump(self) -> bytes:
        """LightGBM's text form: trees and settings, no code."""
        text: str = self.booster.model_to_string()
        return text.encode()


def _dataset(rows: Rows, weights: Any, reference: "lightgbm.Dataset | None" = None) -> lightgbm.Dataset:
    return lightgbm.Dataset(rows.X, rows.y, weight=weights, reference=reference, params=SAME_EVERYWHERE)


def _report(losses: Mapping[str, Any], on_epoch: OnEpoch) -> None:
    both = zip(losses["train"]["binary_logloss"], losses["validation"]["binary_logloss"], strict=True)
    for number, (train, validation) in enumerate(both, start=1):
        on_epoch(Epoch(number=number, train_loss=float(train), validation_loss=float(validation)))


def _nodes(tree: int, dumped: Mapping[str, Any]) -> Iterator[TreeNode]:
    """The root first; numbers are given in the order in which nodes are met."""
    waiting, met = [(0, dumped["tree_structure"])], 1
    while waiting:
        number, node = waiting.pop()
        if "split_feature" not in node:
            yield TreeNode(tree, number, weight=float(node["leaf_value"]))
            continue
        yield _branch(tree, number, node, first_child=met)
        waiting += [(met, node["left_child"]), (met + 1, node["right_child"])]
        met += 2


def _branch(tree: int, number: int, node: Mapping[str, Any], first_child: int) -> TreeNode:
    if node["decision_type"] != "<=":
        raise unsupported_tree("LightGBM", tree, f"splits by {node['decision_type']!r}")
    threshold = float(node["threshold"])
    return TreeNode(
        tree,
        number,
        mode=AT_MOST,
        feature=int(node["split_feature"]),
        threshold=_below(threshold),
        yes=first_child,
        no=first_child + 1,
        missing_is_yes=_missing_is_left(tree, node, threshold),
    )


def _below(threshold: float) -> float:
    # -ZERO itself counts as 0 and lies above; every other float32 compares as it is.
    at_most = float32_below(threshold)
    return float(np.nextafter(np.float32(at_most), np.float32(-np.inf))) if at_most == -ZERO else at_most


def _missing_is_left(tree: int, node: Mapping[str, Any], threshold: float) -> bool:
    """Where the column had no missing value among the train rows, LightGBM reads one as 0."""
    if node["missing_type"] == "Zero":
        raise unsupported_tree("LightGBM", tree, "takes 0 for missing (zero_as_missing)")
    return bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
