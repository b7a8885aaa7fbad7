"""What every kind of model offers, so that search, calibration and export know none of them by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from modelway.bundle.signature import Input
from modelway.contract import Frozen
from modelway.errors import ConfigError
from modelway.optimize.graph import GraphPart
from modelway.training.encoding import Floats, Labels

Margins: TypeAlias = npt.NDArray[np.float64]
Value: TypeAlias = float | int | str
Params: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True)
class Rows:
    """Encoded rows: X of shape (n, F), y of shape (n,)."""

    X: Floats
    y: Labels


@dataclass(frozen=True)
class Recipe:
    """All that decides the outcome besides the rows: the same recipe and rows give the same model."""

    inputs: tuple[Input, ...]
    params: Params
    seed: int


class Epoch(Frozen):
    """Losses after one round (a tree, a pass over the rows), mean log loss in nats."""

    number: int
    train_loss: float
    validation_loss: float


OnEpoch: TypeAlias = Callable[[Epoch], None]


class FittedModel(Protocol):
    """A trained model, before calibration."""

    rounds: int
    """Trees or epochs it rests on."""

    def margins(self, X: Floats) -> Margins:
        """Log-odds of the label, shape (n,). X as `known` returns it: NaN for missing or unknown."""
        ...

    def graph(self) -> GraphPart:
        """The same function as ONNX nodes, from `graph.KNOWN` to `graph.MARGIN`."""
        ...

    def dump(self) -> bytes:
        """The model for `Kind.load`. Stays on the training side; no bundle carries it."""
        ...


class Kind(Protocol):
    """A family of models."""

    defaults: Params
    """Every hyper-parameter it knows, with the value it takes when nobody says otherwise."""
    rounds_param: str
    """The hyper-parameter that limits the rounds."""

    def fit(self, train: Rows, validation: Rows | None, recipe: Recipe, on_epoch: OnEpoch) -> FittedModel:
        """Learn. Validation rows measure each round's loss, and may stop it; without, it runs all rounds."""
        ...

    def load(self, content: bytes) -> FittedModel:
        """Read back what `FittedModel.dump` gave. The caller vouches for the bytes: it compares a hash."""
        ...


def complete(kind: str, defaults: Params, given: Params) -> dict[str, Value]:
    """The defaults, overridden by what was given.

    Raises:
        ConfigError: A hyper-parameter that this kind does not have.
    """
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ConfigError(
            f"{kind} has no hyper-parameter {', '.join(unknown)}",
            expected=f"any of {', '.join(sorted(defaults))}",
            remedy="correct the candidate in the use case",
        )
    return {**defaults, **given}


def ignore_epoch(_epoch: Epoch) -> None:
    """Listen to no epoch."""
