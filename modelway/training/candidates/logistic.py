"""Logistic regression: the model to beat, and the one a reader can check by hand."""

import json
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it publishes no types

from modelway.errors import SnapshotCorruptError
from modelway.optimize.graph import GraphPart
from modelway.training.candidates.base import Epoch, Margins, OnEpoch, Params, Recipe, Rows, Value, complete
from modelway.training.candidates.imbalance import CLASS_WEIGHT, NONE, Weights, sample_weights
from modelway.training.candidates.mlp_graph import network_graph
from modelway.training.candidates.scaling import Scaling
from modelway.training.encoding import Floats, Labels

STEPS = 10
"""Of L-BFGS in one round: a round is what the loss curve has a point for."""


class Logistic:
    """scikit-learn's LogisticRegression on scaled numbers, missing indicators and one-hot categories."""

    rounds_param: ClassVar[str] = "rounds"
    defaults: ClassVar[Params] = {"C": 1.0, "rounds": 20, CLASS_WEIGHT: NONE}

    def fit(
        self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch
    ) -> "FittedLogistic":
        """Rounds of at most `STEPS` iterations, until the optimiser has converged; L2 of strength 1 / C."""
        params = complete("logistic", self.defaults, recipe.params)
        scaling = Scaling.of(train.X, recipe.inputs)
        model = LogisticRegression(C=float(params["C"]), max_iter=STEPS, warm_start=True)
        learnt = _Design.of(train, scaling, params[CLASS_WEIGHT])
        held_out = None if validation is None else _Design.of(validation, scaling, params[CLASS_WEIGHT])
        number = 0
        # One thread: parallel sums depend on the number of cores, in the last bit.
        with threadpool_limits(limits=1):
            for number in _rounds(model, learnt, int(params["rounds"])):
                if held_out is not None:
                    losses = {"train_loss": learnt.loss(model), "validation_loss": held_out.loss(model)}
                    on_epoch(Epoch(number=number, **losses))
        return FittedLogistic(scaling, model.coef_[0], float(model.intercept_[0]), number)

    def load(self, content: bytes) -> "FittedLogistic":
        """Read the weights back.

        Raises:
            SnapshotCorruptError: The bytes hold none.
        """
        try:
            stored = json.loads(content)
            scaling = Scaling(**stored["scaling"])
            return FittedLogistic(scaling, stored["weights"], stored["intercept"], stored["rounds"])
        except (ValueError, KeyError, TypeError) as error:
            raise SnapshotCorruptError(
                f"{len(content)} bytes hold no logistic regression: {error}"
            ) from error


class FittedLogistic:
    """Weights, kept as the float32 numbers that the graph holds."""

    def __init__(self, scaling: Scaling, weights: npt.ArrayLike, intercept: float, rounds: int) -> None:
        """Keep the weights in float32, as the graph has them.

        Args:
            scaling: What becomes of a row first.
            weights: Of numbers and missing indicators, then one for each category's value.
            intercept: Log-odds of a row of zeros.
            rounds: Iterations that the fit took.
        """
        self.scaling, self.rounds = scaling, rounds
        self.weights = np.asarray(weights, dtype=np.float32)
        self.intercept = np.float32(intercept)

    def margins(self, X: Floats) -> Margins:
        """Log-odds: a weighted sum of what `Scaling` makes of the rows."""
        numbers, table_rows = self.scaling.prepare(X)
        linear, table = np.split(self.weights.astype(np.float64), [numbers.shape[1]])
        with threadpool_limits(limits=1):
            sums = numbers.astype(np.float64) @ linear
        margins: Margins = sums + table[table_rows].sum(axis=1) + float(self.intercept)
        return margins

    def graph(self) -> GraphPart:
        """A network of one layer whose embedding is one number wide: a one-hot column times its weight."""
        linear, table = np.split(self.weights, [2 * len(self.scaling.numbers)])
        ones = np.ones(len(self.scaling.categories), dtype=np.float32)
        layer = np.concatenate([linear, ones])[None, :]
        weights = {
            "table.weight": table[:, None],
            "dense.0.weight": layer,
            "dense.0.bias": np.array([self.intercept]),
        }
        return network_graph(self.scaling, weights)

    def dump(self) -> bytes:
        """Scaling and weights as JSON."""
        told = {
            "scaling": self.scaling.facts(),
            "weights": self.weights.tolist(),
            "intercept": float(self.intercept),
            "rounds": self.rounds,
        }
        return json.dumps(told).encode()


class _Design:
    """Rows as scikit-learn takes them."""

    def __init__(self, X: Any, y: Labels, weights: Weights | None) -> None:
        self.X, self.y, self.weights = X, y, weights

    @classmethod
    def of(cls, rows: Rows, scaling: Scaling, class_weight: Value) -> "_Design":
        """Numbers, missing indicators, and a column for each row of the table."""
        numbers, table_rows = scaling.prepare(rows.X)
        one_hot = _one_hot(table_rows, scaling.offsets[-1])
        X = sparse.hstack([sparse.csr_matrix(numbers, dtype=np.float64), one_hot], format="csr")
        return cls(X, rows.y, sample_weights(rows.y, class_weight))

    def loss(self, model: LogisticRegression) -> float:
        """Mean log loss in nats, rows weighing as in training."""
        z = model.decision_function(self.X)
        return float(np.average(np.logaddexp(0, z) - self.y * z, weights=self.weights))


def _one_hot(table_rows: npt.NDArray[np.int64], columns: int) -> Any:
    n, categories = table_rows.shape
    at = (np.repeat(np.arange(n), categories), table_rows.ravel())
    return sparse.csr_matrix((np.ones(table_rows.size), at), shape=(n, columns))


def _rounds(model: LogisticRegression, learnt: _Design, limit: int) -> Iterator[int]:
    """Each round begins where the last one ended; one that needed fewer steps than it had is the last."""
    for number in range(1, limit + 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # expected of every round but the last
            model.fit(learnt.X, learnt.y, learnt.weights)
        yield number
        if model.n_iter_[0] < STEPS:
            return
