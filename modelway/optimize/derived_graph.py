"""Derived features as ONNX nodes, right behind the inputs: `features.derived.widened` once more.

Standard operators alone, one column or twenty: TensorRT compiles them, and quantising leaves them alone.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from modelway.bundle.derived import Derived, Operation
from modelway.bundle.signature import Input
from modelway.optimize.graph import KNOWN, GraphPart, constant, node

_OPERATORS: Mapping[Operation, str] = {"ratio": "Div", "difference": "Sub", "sum": "Add", "product": "Mul"}


def derived_graph(inputs: Sequence[Input], derived: Sequence[Derived], source: str) -> GraphPart:
    """`source`, float32 (n, F), -> `KNOWN`, float32 (n, F + D).

    Neighbours that are made alike share their nodes: each node costs a server about a microsecond a call.

    Args:
        inputs: Names of the columns of `source`.
        derived: Definitions over these names, at least one.
        source: The inputs with every impossible code made NaN.
    """
    places = {each.name: at for at, each in enumerate(inputs)}
    runs = [
        _run(number, how, [[places[name] for name in each.of] for each in alike], source)
        for number, (how, alike) in enumerate(groupby(derived, key=lambda each: each.how))
    ]
    results = [f"derived_{number}" for number in range(len(runs))]
    constants = (
        constant("largest", np.finfo(np.float32).max),
        constant("underivable", np.nan),
    )
    nodes = (
        node("Concat", results, "derived", axis=1),
        node("Abs", ["derived"], "derived_size"),
        # False for NaN too, so one question finds missing operands, zero divisors and overflow.
        node("LessOrEqual", ["derived_size", "largest"], "derivable"),
        node("Where", ["derivable", "derived", "underivable"], "derived_known"),
        node("Concat", [source, "derived_known"], KNOWN, axis=1),
    )
    return GraphPart(
        tuple(n for run in runs for n in run.nodes) + nodes,
        tuple(c for run in runs for c in run.constants) + constants,
    )


def _run(number: int, how: Operation, operands: list[list[int]], source: str) -> GraphPart:
    """Columns made by one operation: their operands gathered side by side, and computed at once."""
    first, second = zip(*operands, strict=True)
    constants = (
        constant(f"first_columns_{number}", first, np.int64),
        constant(f"second_columns_{number}", second, np.int64),
    )
    nodes = (
        node("Gather", [source, f"first_columns_{number}"], f"first_{number}", axis=1),
        node("Gather", [source, f"second_columns_{number}"], f"second_{number}", axis=1),
        node(_OPERATORS[how], [f"first_{number}", f"second_{number}"], f"derived_{number}"),
    )
    return GraphPart(nodes, constants)
