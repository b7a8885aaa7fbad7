"""Derived features: columns that the exported graph computes from a model's inputs, row by row.

Nobody sends or stores one. Clients, online store and files know the inputs alone; the graph's first nodes
(`modelway.optimize.derived_graph`) make the rest, and training computes the same in float32
(`modelway.features.derived`).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from modelway.contract import Frozen

Operation = Literal["ratio", "difference", "sum", "product"]
"""Each is one IEEE 754 operation: numpy and the graph agree to the bit, the sign of a zero aside."""
SIGNS: Mapping[Operation, str] = {"ratio": "/", "difference": "-", "sum": "+", "product": "*"}


class Derived(Frozen):
    """One number made of two numeric inputs of the same row.

    It is missing where an input is missing, where the divisor is zero, and where the result is no finite
    float32: never an infinity, never a made-up number.
    """

    name: str
    how: Operation
    of: tuple[str, str]
    """Names of two numeric features, in the order of the formula. No derived one."""
    description: str = ""
    unit: str = ""
    strong_because: str = ""
    """Why it may tell the label as well as it does; asked for by the leak probe."""

    @property
    def formula(self) -> str:
        """For people, e.g. `amount_eur / card_mean_eur_24h`."""
        return f"{self.of[0]} {SIGNS[self.how]} {self.of[1]}"


def require_sound(derived: Sequence[Derived], kinds: Mapping[str, str]) -> None:
    """Refuse what a graph could not compute, or would compute from the wrong columns.

    Args:
        derived: Definitions, in the model's order.
        kinds: Of each input by name: `numeric` or `category`.

    Raises:
        ValueError: A name is taken, or an operand is no numeric input; all of them are named. The models
            that hold definitions make a validation error of it.
    """
    names = [each.name for each in derived]
    wrong = [f"{name!r} is defined twice" for name in sorted({n for n in names if names.count(n) > 1})]
    wrong += [f"{name!r} is a feature already" for name in names if name in kinds]
    wrong += ["one has no name" for name in names if not name.strip()]
    wrong += [
        f"{each.name!r} is computed from {operand!r}, {_why_not(operand, names, kinds)}"
        for each in derived
        for operand in dict.fromkeys(each.of)
        if kinds.get(operand) != "numeric"
    ]
    if wrong:
        numeric = ", ".join(name for name, kind in kinds.items() if kind == "numeric")
        raise ValueError(f"derived features: {'; '.join(wrong)}; expected numeric features: {numeric}")


def _why_not(operand: str, names: Sequence[str], kinds: Mapping[str, str]) -> str:
    if operand in names:
        return "which is derived itself: write it over the features that one is made of"
    return "which is a category" if operand in kinds else "which is no feature"
