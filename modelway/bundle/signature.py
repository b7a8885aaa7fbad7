"""What a model takes and gives: the wire names, the vocabulary of each category, the threshold.

The graph takes one float32 matrix `features` of shape (n, F): numbers as they are, NaN for missing;
a category as the index of its value in the vocabulary, NaN when the value is missing or unknown.
It gives `probability`, float32, shape (n,): calibrated P(label = 1).
"""

from typing import Literal

from pydantic import Field

from modelway.contract import Frozen

GRAPH_INPUT = "features"
GRAPH_OUTPUT = "probability"


class Input(Frozen):
    """One column of the graph's matrix."""

    name: str
    kind: Literal["numeric", "category"]
    vocabulary: tuple[str, ...] = ()
    """Known values of a category, in code order; empty for a number."""


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

    @property
    def names(self) -> tuple[str, ...]:
        """Input names in matrix order."""
        return tuple(column.name for column in self.inputs)
