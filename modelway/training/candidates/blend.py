"""Boosted trees of several sizes and a logistic regression, their log-odds averaged."""

import base64
import json
from typing import ClassVar

import numpy as np

from modelway.errors import ConfigError, SnapshotCorruptError
from modelway.optimize.graph import MARGIN, GraphPart, constant, node
from modelway.training.candidates.bag import LEAVES, Bag
from modelway.training.candidates.base import Margins, OnEpoch, Params, Recipe, Rows, Value, complete
from modelway.training.candidates.hgb import Hgb
from modelway.training.candidates.input_graph import together
from modelway.training.candidates.logistic import FittedLogistic, Logistic
from modelway.training.encoding import Floats

PER_LEAF, PER_ROUND = "positives_per_leaf", "positives_per_round"
FEWEST_LEAVES, FEWEST_ROUNDS = 4, 80
LINE_SHARE, LINE_ROUNDS, LINE_UNTIL = "line_share", "line_rounds", "line_until_positives"
MEMBERS = "members"
TREES_MARGIN, LINE_MARGIN = "trees_margin", "line_margin"


class Blend:
    """`hgb` in several sizes and `logistic`, each fitted by itself on the same rows.

    Trees find interactions and answer beyond what they have seen with the nearest leaf; a line goes on. Where
    the world drifts and positives are few, neither is the better one for long (ADR 69). The more positives,
    the less the line helps: beyond `line_until_positives` its share falls with their number (ADR 70).

    There are `members` of the trees; each has twice the leaves of the one before. None has more leaves and
    rounds than its positives pay for, `positives_per_leaf` and `positives_per_round`; fewer than
    `FEWEST_LEAVES` and `FEWEST_ROUNDS` are only had by asking. 0: no limit.
    """

    rounds_param: ClassVar[str] = Hgb.rounds_param
    defaults: ClassVar[Params] = {
        **Hgb.defaults,
        Hgb.rounds_param: 80,
        LEAVES: 15,
        "max_features": 0.7,
        MEMBERS: 3,
        "C": Logistic.defaults["C"],
        LINE_ROUNDS: Logistic.defaults[Logistic.rounds_param],
        LINE_SHARE: 0.3,
        LINE_UNTIL: 1_000,
        PER_LEAF: 50,
        PER_ROUND: 2,
    }

    def fit(self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch) -> "FittedBlend":
        """Fit all; the epochs that are reported are those of the first trees, before anything is added.

        Raises:
            ConfigError: An unknown hyper-parameter, a share outside 0 to 1, or a count that is none.
        """
        params = complete("blend", self.defaults, recipe.params)
        positives = int(train.y.sum())
        share = _share(positives, params)
        line = {name: params[name] for name in Logistic.defaults if name in params}
        line[Logistic.rounds_param] = params[LINE_ROUNDS]
        grown = Recipe(recipe.inputs, _trees(positives, params), recipe.seed)
        trees = Bag.fitted(train, validation, grown, on_epoch, _leaves(positives, params))
        fitted = Logistic().fit(train, None, Recipe(recipe.inputs, line, recipe.seed), on_epoch)
        return FittedBlend(trees, fitted, share)

    def load(self, content: bytes) -> "FittedBlend":
        """Read all back; the trees are pickles of our own making, whose sha256 the caller has compared.

        Raises:
            SnapshotCorruptError: The bytes hold no blend.
        """
        try:
            stored = json.loads(content)
            trees, share = Bag.load(stored["trees"]), float(stored[LINE_SHARE])
            line = base64.b64decode(stored["line"], validate=True)
        except (ValueError, KeyError, TypeError) as error:
            raise SnapshotCorruptError(f"{len(content)} bytes hold no blend: {error}") from error
        return FittedBlend(trees, Logistic().load(line), share)


class FittedBlend:
    """Trees and a line; their weighted mean is the log-odds."""

    def __init__(self, trees: Bag, line: FittedLogistic, line_share: float) -> None:
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
        """All dumps and the share as JSON."""
        line = base64.b64encode(self.line.dump()).decode()
        return json.dumps({"trees": self.trees.dump(), "line": line, LINE_SHARE: self.line_share}).encode()


def _trees(positives: int, params: Params) -> dict[str, Value]:
    """The trees' own hyper-parameters, their rounds cut to what the positives pay for."""
    trees = {name: value for name, value in params.items() if name in Hgb.defaults}
    name = Hgb.rounds_param
    return {**trees, name: _paid(positives, _count(name, params), _count(PER_ROUND, params), FEWEST_ROUNDS)}


def _leaves(positives: int, params: Params) -> list[int]:
    """Of each member."""
    smallest, price = _count(LEAVES, params, at_least=2), _count(PER_LEAF, params)
    sizes = [smallest * 2**number for number in range(_count(MEMBERS, params, at_least=1))]
    return [_paid(positives, size, price, FEWEST_LEAVES) for size in sizes]


def _paid(positives: int, wanted: int, price: int, fewest: int) -> int:
    return min(wanted, max(fewest, positives // price)) if price else wanted


def _share(positives: int, params: Params) -> float:
    """The line's, less where positives are many."""
    given, until = params[LINE_SHARE], _count(LINE_UNTIL, params)
    if isinstance(given, str | bool) or not 0 <= given <= 1:
        raise ConfigError(
            f"{LINE_SHARE} of blend is {given!r}",
            expected="0 (trees alone) to 1 (the line alone)",
            remedy="correct the candidate in the use case",
        )
    return float(given) * min(1.0, until / max(1, positives)) if until else float(given)


def _count(name: str, params: Params, *, at_least: int = 0) -> int:
    given = params[name]
    if isinstance(given, str | bool) or given != given // 1 or given < at_least:
        raise ConfigError(
            f"{name} of blend is {given!r}",
            expected=f"a whole number, {at_least} or more",
            remedy="correct the candidate in the use case",
        )
    return int(given)


def _written_to(part: GraphPart, output: str) -> GraphPart:
    """The part with `MARGIN` under another name; its nodes were made for this graph alone."""
    for each in part.nodes:
        if MARGIN in each.output:
            each.output[:] = [output]
            each.name = output
    return part
