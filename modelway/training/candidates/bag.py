"""Boosted trees of several sizes, fitted on the same rows, their log-odds averaged."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from modelway.optimize.graph import GraphPart
from modelway.training.candidates.base import Margins, OnEpoch, Recipe, Rows, ignore_epoch
from modelway.training.candidates.hgb import FittedHgb, Hgb
from modelway.training.candidates.tree_nodes import ensemble
from modelway.training.encoding import Floats

LEAVES = "max_leaf_nodes"


@dataclass(frozen=True)
class Bag:
    """Members of one recipe; their mean is the log-odds."""

    members: Sequence[FittedHgb]

    @classmethod
    def fitted(
        cls, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch, leaves: Sequence[int]
    ) -> "Bag":
        """A member for each number of leaves, each with its own seed; the first one's epochs are told."""
        members = []
        for number, size in enumerate(leaves):
            own = Recipe(recipe.inputs, {**recipe.params, LEAVES: size}, recipe.seed + number)
            told, seen = (on_epoch, validation) if number == 0 else (ignore_epoch, None)
            members.append(Hgb().fit(train, seen, own, told))
        return cls(tuple(members))

    @classmethod
    def load(cls, dumps: Sequence[str]) -> "Bag":
        """Read back what `dump` gave.

        Raises:
            ValueError: Not base64, or no member.
        """
        if not dumps:
            raise ValueError("no trees")
        return cls(tuple(Hgb().load(base64.b64decode(each, validate=True)) for each in dumps))

    @property
    def rounds(self) -> int:
        """Of each member."""
        return self.members[0].rounds

    def margins(self, X: Floats) -> Margins:
        """Mean in float64."""
        mean: Margins = np.mean([member.margins(X) for member in self.members], axis=0)
        return mean

    def graph(self) -> GraphPart:
        """All members' trees as one TreeEnsembleRegressor; each leaf weighs its member's part."""
        count, first, nodes = len(self.members), 0, []
        for member in self.members:
            own = [replace(n, tree=n.tree + first, weight=n.weight / count) for n in member.nodes()]
            first += member.rounds
            nodes += own
        return ensemble(nodes, float(np.mean([member.base for member in self.members])))

    def dump(self) -> list[str]:
        """Each member's pickle, base64."""
        return [base64.b64encode(member.dump()).decode() for member in self.members]
