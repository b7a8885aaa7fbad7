"""What is inside an exported graph, how fast it is here, and whether it answers every row sanely."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from modelway.bundle.signature import Signature
from modelway.contract import Outcome, Reason, Verdict
from modelway.optimize.parity import probes
from modelway.optimize.scoring import Graph

Matrix = npt.NDArray[np.float32]

BATCHES = (1, 100, 10_000)
"""Rows per call at which latency is measured."""
MEASURED_S = 0.3
"""How long each batch size is repeated; the median of so many calls moves little."""
SAME = 1e-6
"""float32 sums in another order differ by no more than this."""
ALONE_ROWS = 50
"""Rows that are also sent one by one."""


def facts(content: bytes) -> Mapping[str, Any]:
    """Size, operator sets, inputs, outputs and how often each operator occurs."""
    model = onnx.load_from_string(content)
    return {
        "bytes": len(content),
        "ir_version": model.ir_version,
        "opsets": {opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        "inputs": {i.name: _shape(i) for i in model.graph.input},
        "outputs": {o.name: _shape(o) for o in model.graph.output},
        "constants": len(model.graph.initializer),
        "nodes": dict(sorted(Counter(n.op_type for n in model.graph.node).items())),
    }


def _shape(value: Any) -> list[str | int]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def latencies(graph: Graph, X: Matrix) -> list[Mapping[str, float]]:
    """Median time a call takes on this machine, for each of `BATCHES`, rows repeated as needed."""
    return [_latency(graph, np.resize(X, (rows, X.shape[1]))) for rows in BATCHES]


def _latency(graph: Graph, X: Matrix) -> Mapping[str, float]:
    graph.probabilities(X)
    seconds: list[float] = []
    end = time.perf_counter() + MEASURED_S
    while time.perf_counter() < end:
        start = time.perf_counter()
        graph.probabilities(X)
        seconds.append(time.perf_counter() - start)
    median_us = float(np.median(seconds)) * 1e6
    return {
        "rows": len(X),
        "median_us": round(median_us, 1),
        "us_per_row": round(median_us / len(X), 3),
        "calls": len(seconds),
    }


def sane(content: bytes, X: Matrix, signature: Signature) -> Verdict:
    """Whether a graph can be served: no native model is needed for these.

    Args:
        content: The graph.
        X: Encoded rows, shape (n, F); without any the verdict is INCONCLUSIVE.
        signature: Names the columns.

    Returns:
        FAIL when an answer to a real or mutated row is no probability, when an impossible code is
        not treated as missing, or when a row's answer depends on the rows beside it.
    """
    if not len(X):
        nothing = Reason(
            metric="rows", outcome=Outcome.INCONCLUSIVE, message="no rows to ask about", samples=0
        )
        return Verdict.of([nothing])
    graph = Graph(content)
    checks = (_probabilities(graph, X, signature), _unknown_is_missing(graph, X, signature), _alone(graph, X))
    return Verdict.of(checks, {"rows": len(X)})


def _probabilities(graph: Graph, X: Matrix, signature: Signature) -> Reason:
    answers = [(probe.change, graph.probabilities(probe.X)) for probe in probes(X, signature)]
    bad = {change: int((~((p >= 0) & (p <= 1))).sum()) for change, p in answers}
    first = next((change for change, count in bad.items() if count), "")
    message = f"{sum(bad.values())} answers outside [0, 1]" + (f", first with {first}" if first else "")
    return _counted("probabilities", sum(bad.values()), sum(len(p) for _, p in answers), message)


def _unknown_is_missing(graph: Graph, X: Matrix, signature: Signature) -> Reason:
    differing, rows = [], 0
    for index, column in enumerate(signature.inputs):
        if column.kind == "category":
            missing = graph.probabilities(_with(X, index, np.nan))
            unknown = graph.probabilities(_with(X, index, float(len(column.vocabulary))))
            differing += [column.name] if _gap(missing, unknown) > SAME else []
            rows += len(X)
    message = f"an unknown value is answered like a missing one in all but {len(differing)} categories"
    return _counted(
        "unknown_is_missing", len(differing), rows, message + (f": {differing}" if differing else "")
    )


def _alone(graph: Graph, X: Matrix) -> Reason:
    few = X[:ALONE_ROWS]
    together = graph.probabilities(few)
    alone = np.concatenate([graph.probabilities(few[i : i + 1]) for i in range(len(few))])
    differing = int((~(np.abs(together - alone) <= SAME)).sum())
    return _counted(
        "rows_alone", differing, len(few), f"{differing} of {len(few)} rows answered differently alone"
    )


def _with(X: Matrix, column: int, value: float) -> Matrix:
    changed = X.copy()
    changed[:, column] = value
    return changed


def _gap(a: Matrix, b: Matrix) -> float:
    gap = float(np.abs(a - b).max())
    return gap if np.isfinite(gap) else np.inf


def _counted(metric: str, count: int, rows: int, message: str) -> Reason:
    outcome = Outcome.FAIL if count else Outcome.PASS
    return Reason(metric=metric, outcome=outcome, message=message, found=count, limit=0, samples=rows)
