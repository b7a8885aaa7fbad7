"""Boosted trees and a logistic regression, their log-odds averaged."""

import base64
import json
from typing import ClassVar

import numpy as np

from modelway.errors import ConfigError, SnapshotCorruptError
from modelway.optimize.graph import MARGIN, GraphPart, constant, node
from modelway.training.candidates.base import Margins, OnEpoch, Params, Recipe, Rows, Value, complete
from modelway.training.candidates.hgb import FittedHgb, Hgb
from modelway.training.candidates.input_graph import together
from modelway.training.candidates.logistic import FittedLogistic, Logistic
from modelway.training.encoding import Floats

PER_LEAF, PER_ROUND = "positives_per_leaf", "positives_per_round"
FEWEST_LEAVES, FEWEST_ROUNDS = 4, 80
LINE_SHARE, LINE_ROUNDS = "line_share", "line_rounds"
TREES_MARGIN, LINE_MARGIN = "trees_margin", "line_margin"


class Blend:
    """`hgb` and `logistic`, each fitted by itself on the same rows.

    Trees find interactions and answer beyond what they have seen with the nearest leaf; a line goes on. Where
    the world drifts and positives are few, neither is the better one for long (ADR 69).

    The trees have no more leaves and rounds than their positives pay for, `positives_per_leaf` and
    `positives_per_round`; fewer than `FEWEST_LEAVES` and `FEWEST_ROUNDS` are only had by asking. 0: no limit.
    """

    rounds_param: ClassVar[str] = Hgb.rounds_param
    defaults: ClassVar[Params] = {
        **Hgb.defaults,
        "max_iter": 200,
        "max_leaf_nodes": 15,
        "C": Logistic.defaults["C"],
        LINE_ROUNDS: Logistic.defaults[Logistic.rounds_param],
        LINE_SHARE: 0.3,
        PER_LEAF: 50,
        PER_ROUND: 2,
    }

    def fit(self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch) -> "FittedBlend":
        """Fit both; the epochs that are reported are the trees' own, before the line is added.

        Raises:
            ConfigError: An unknown hyper-parameter, or a share outside 0 to 1.
        """
        params = complete("blend", self.defaults, recipe.params)
        share = _share(params[LINE_SHARE])
        trees_params = _grown_by(int(train.y.sum()), params)
        line = {name: params[name] for name in Logistic.defaults if name in params}
        line[Logistic.rounds_param] = params[LINE_ROUNDS]
        trees = Hgb().fit(train, validation, Recipe(recipe.inputs, trees_params, recipe.seed), on_epoch)
        fitted = Logistic().fit(train, None, Recipe(recipe.inputs, line, recipe.seed), on_epoch)
        return FittedBlend(trees, fitted, share)

    def load(self, content: bytes) -> "FittedBlend":
        """Read both back; the trees are a pickle of our own making, whose sha256 the caller has compared.

        Raises:
            SnapshotCorruptError: The bytes hold no blend.
        """
        try:
            stored = json.loads(content)
            trees, line = (base64.b64decode(stored[part], validate=True) for part in ("trees", "line"))
            share = float(stored[LINE_SHARE])
        except (ValueError, KeyError, TypeError) as error:
            raise SnapshotCorruptError(f"{len(content)} bytes hold no blend: {error}") from error
        return FittedBlend(Hgb().load(trees), Logistic().load(line), share)


class FittedBlend:
    """Trees and a line; their weighted mean is the log-odds."""

    def __init__(self, trees: FittedHgb, line: FittedLogistic, line_share: float) -> None:
        """Take both.

        Args:
            trees: Fitted; its rounds are the blend's.
            line: Fitted.
            line_share: The line's weight, 0 to 1; the trees have the rest.
        """
        self.trees, self.line, self.line_share = trees, line, line_share
        self.rounds: int = trees.rounds

    def margins(self, X: Floats) -> Margins:
        """Weighted mean in float64."""
        return (1 - self.line_share) * self.trees.margins(X) + self.line_share * self.line.margins(X)

    def graph(self) -> GraphPart:
        """The nodes of both, side by side, and one product that joins them."""
        weights = np.array([[1 - self.line_share], [self.line_share]])
        joined = GraphPart(
            (
                node("Concat", [TREES_MARGIN, LINE_MARGIN], "both_margins", axis=1),
                node("MatMul", ["both_margins", "blend_weights"], MARGIN),
            ),
            (constant("blend_weights", weights),),
        )
        trees, line = (
            _written_to(self.trees.graph(), TREES_MARGIN),
            _written_to(self.line.graph(), LINE_MARGIN),
        )
        return together(trees, line, joined)

    def dump(self) -> bytes:
        """Both dumps and the share as JSON."""
        parts = {"trees": self.trees.dump(), "line": self.line.dump()}
        told = {name: base64.b64encode(content).decode() for name, content in parts.items()}
        return json.dumps({**told, LINE_SHARE: self.line_share}).encode()


def _grown_by(positives: int, params: Params) -> dict[str, Value]:
    """The trees' own hyper-parameters, size and number cut to what the positives pay for."""
    trees = {name: value for name, value in params.items() if name in Hgb.defaults}
    sizes = (("max_leaf_nodes", PER_LEAF, FEWEST_LEAVES), (Hgb.rounds_param, PER_ROUND, FEWEST_ROUNDS))
    for name, price, fewest in sizes:
        if each := int(params[price]):
            trees[name] = min(int(params[name]), max(fewest, positives // each))
    return trees


def _share(given: Value) -> float:
    if isinstance(given, str) or not 0 <= given <= 1:
        raise ConfigError(
            f"{LINE_SHARE} of blend is {given!r}",
            expected="0 (trees alone) to 1 (the line alone)",
            remedy="correct the candidate in the use case",
        )
    return float(given)


def _written_to(part: GraphPart, output: str) -> GraphPart:
    """The part with `MARGIN` under another name; its nodes were made for this graph alone."""
    for each in part.nodes:
        if MARGIN in each.output:
            each.output[:] = [output]
            each.name = output
    return part
