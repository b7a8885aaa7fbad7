"""Parity gate: does the exported graph answer like the model it was exported from, on awkward rows too?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.bundle.signature import Input, Signature
from modelway.contract import Outcome, Reason, Verdict
from modelway.optimize.scoring import Graph
from modelway.training.artifacts import Trained
from modelway.training.candidates import kind_named
from modelway.training.encoding import Floats, encode, seen_by_model

Probabilities = npt.NDArray[np.float64]
Native = Callable[[Floats], Probabilities]
"""Encoded rows (n, F) -> probabilities (n,), by the library that trained the model."""

WORST_SHOWN = 5
MUTATED_ROWS = 64
"""Real rows that each mutation of each column is tried on."""
MAX_FLIPPED_SHARE = 0.001
"""Rows whose probability lies within rounding of the threshold may fall on its other side."""
EXTREMES = (np.inf, -np.inf, float(np.finfo(np.float32).max), float(np.finfo(np.float32).min), 0.0)


@dataclass(frozen=True)
class Probe:
    """Rows to compare on, and what was done to them."""

    change: str
    X: Floats


def parity_of(trained: Trained, rows: pl.DataFrame, *, limit: float) -> Verdict:
    """`parity` for a finished training: loads the native model and the graph, both checked.

    Raises:
        SnapshotCorruptError: A file of the training is gone or altered.
    """
    return parity(native_of(trained), trained.onnx.read(), rows, trained.signature, limit=limit)


def native_of(trained: Trained) -> Native:
    """A finished training's model as its own library computes it, calibrated.

    Raises:
        SnapshotCorruptError: The model's file is gone or altered.
    """
    model = kind_named(trained.kind).load(trained.native.read())
    signature = trained.signature
    return lambda X: trained.calibrator.probabilities(model.margins(seen_by_model(X, signature)))


def parity(native: Native, onnx: bytes, rows: pl.DataFrame, signature: Signature, *, limit: float) -> Verdict:
    """Compare both on real rows and on mutations of them: missing, unseen, extreme.

    Args:
        native: The model as its own library computes it.
        onnx: The exported graph.
        rows: Real rows with every input; without any the verdict is INCONCLUSIVE.
        signature: Inputs and threshold.
        limit: Largest allowed |probability difference|.

    Returns:
        FAIL beyond the limit, for probabilities outside [0, 1], and when decisions flip on more than
        one row in a thousand. Evidence: the worst rows with both answers.
    """
    if rows.is_empty():
        return Verdict(
            outcome=Outcome.INCONCLUSIVE,
            reasons=(_reason("rows", Outcome.INCONCLUSIVE, "no rows to compare on", 0),),
        )
    graph = Graph(onnx)
    found = [_compare(native, graph, probe) for probe in probes(encode(rows, signature), signature)]
    return _judge(found, signature, limit)


def probes(X: Floats, signature: Signature) -> Iterator[Probe]:
    """The rows as they are, then a few of them with one column or all columns changed."""
    yield Probe("as it is", X)
    few = X[:: max(1, len(X) // MUTATED_ROWS)][:MUTATED_ROWS]
    for index, column in enumerate(signature.inputs):
        for value in _odd_values(column):
            changed = few.copy()
            changed[:, index] = value
            yield Probe(f"{column.name} = {value:g}", changed)
    yield Probe("every column missing", np.full_like(few, np.nan))


def _odd_values(column: Input) -> tuple[float, ...]:
    if column.kind == "numeric":
        return (np.nan, *EXTREMES)
    size = len(column.vocabulary)
    return (np.nan, -1.0, float(size), size + 1000.0, 0.5, np.inf, -np.inf)


@dataclass(frozen=True)
class _Compared:
    probe: Probe
    native: Probabilities
    graph: Probabilities

    @property
    def difference(self) -> Probabilities:
        """|native - graph|; infinite where either is no number."""
        gap = np.abs(self.native - self.graph)
        return np.where(np.isfinite(gap), gap, np.inf)


def _compare(native: Native, graph: Graph, probe: Probe) -> _Compared:
    return _Compared(probe, native(probe.X), graph.probabilities(probe.X).astype(np.float64))


def _judge(found: list[_Compared], signature: Signature, limit: float) -> Verdict:
    difference = np.concatenate([c.difference for c in found])
    native, graph = np.concatenate([c.native for c in found]), np.concatenate([c.graph for c in found])
    flipped = float(np.mean((native >= signature.threshold) != (graph >= signature.threshold)))
    invalid = int((~((graph >= 0) & (graph <= 1))).sum())
    rows, worst = len(native), float(difference.max())
    worst_rows = _worst(found, signature)
    reasons = (
        _limited("max_probability_difference", worst, limit, rows, _largest(worst_rows)),
        _limited("flipped_decisions", flipped, MAX_FLIPPED_SHARE, rows, f"{flipped:.2%} of decisions flip"),
        _limited("invalid_probabilities", invalid, 0, rows, f"{invalid} answers outside [0, 1]"),
    )
    return Verdict.of(reasons, {"rows": rows, "probes": len(found), "worst_rows": worst_rows})


def _limited(metric: str, found: float, limit: float, rows: int, message: str) -> Reason:
    outcome = Outcome.PASS if found <= limit else Outcome.FAIL
    return _reason(metric, outcome, f"{message}, limit {limit:g}", rows, found=found, limit=limit)


def _reason(metric: str, outcome: Outcome, message: str, rows: int, **numbers: float) -> Reason:
    return Reason(metric=metric, outcome=outcome, message=message, samples=rows, **numbers)


def _worst(found: list[_Compared], signature: Signature) -> list[Mapping[str, Any]]:
    places = [(float(d), i, row) for i, c in enumerate(found) for row, d in enumerate(c.difference)]
    places.sort(key=lambda place: (-place[0], place[1], place[2]))
    return [_shown(found[i], row, signature) for _, i, row in places[:WORST_SHOWN]]


def _largest(worst_rows: Sequence[Mapping[str, Any]]) -> str:
    row = worst_rows[0]
    answers = f"the model says {row['native']:.6g}, the graph {row['graph']:.6g}"
    return f"largest difference {row['difference']:.2g} ({row['change']}: {answers})"


def _shown(compared: _Compared, row: int, signature: Signature) -> Mapping[str, Any]:
    values = compared.probe.X[row]
    return {
        "change": compared.probe.change,
        "row": {c.name: _decoded(c, float(v)) for c, v in zip(signature.inputs, values, strict=True)},
        "native": float(compared.native[row]),
        "graph": float(compared.graph[row]),
        "difference": float(compared.difference[row]),
    }


def _decoded(column: Input, value: float) -> float | str | None:
    if np.isnan(value):
        return None
    if column.kind == "category" and value in range(len(column.vocabulary)):
        return column.vocabulary[int(value)]
    return value if np.isfinite(value) else str(value)
