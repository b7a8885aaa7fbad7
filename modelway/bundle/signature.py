"""What a model takes and gives: the wire names, the vocabulary of each category, the threshold.

The graph takes one float32 matrix `features` of shape (n, F): numbers as they are, NaN for missing;
a category as the index of its value in the vocabulary, NaN when the value is missing or unknown.
It gives `probability`, float32, shape (n,): calibrated P(label = 1).
"""

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from modelway.bundle.derived import Derived, require_sound
from modelway.contract import Frozen

GRAPH_INPUT = "features"
GRAPH_OUTPUT = "probability"


class Input(Frozen):
    """One column of the graph's matrix."""

    name: str
    kind: Literal["numeric", "category"]
    vocabulary: tuple[str, ...] = ()
    """Known values of a category, in code order; empty for a number."""


def columns(inputs: tuple[Input, ...], derived: tuple[Derived, ...]) -> tuple[Input, ...]:
    """The inputs, then a number for each derived feature: the order in which a model reads them."""
    return inputs + tuple(Input(name=each.name, kind="numeric") for each in derived)


class Signature(Frozen):
    """Names, order and meaning of a model's inputs, and how its answer becomes a decision."""

    model_name: str
    """The name the service answers to: the use case's."""
    key: str
    """Name of the optional request tensor that carries the row's subject, e.g. `loan_id`."""
    label: str
    inputs: tuple[Input, ...] = Field(min_length=1)
    threshold: float = Field(ge=0, le=1)
    """Probability from which on the positive decision is cheaper."""
    derived: tuple[Derived, ...] = ()
    """What the graph computes from the inputs, for itself alone: nobody sends or sees it."""

    @model_validator(mode="after")
    def _derived_from_inputs(self) -> Self:
        require_sound(self.derived, {column.name: column.kind for column in self.inputs})
        return self

    @model_serializer(mode="wrap")
    def _written(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without derived features as it was before there were any: old servers read it, hashes stay."""
        content: dict[str, Any] = fields(self)
        return content if self.derived else {k: v for k, v in content.items() if k != "derived"}

    @property
    def columns(self) -> tuple[Input, ...]:
        """What the model inside the graph reads: the inputs, then what is derived from them."""
        return columns(self.inputs, self.derived)

    @property
    def names(self) -> tuple[str, ...]:
        """Input names in matrix order."""
        return tuple(column.name for column in self.inputs)
