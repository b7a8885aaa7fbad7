"""Ways to run a graph on this CPU: the tree node, both tensor forms, int8. Prints one table.

    python benchmarks/engines.py

Models are fitted here on seeded rows; their quality does not matter, their shape does. Each cell is the
median of a call on one thread; in brackets its ratio to the graph as exported. The rounds of all
variants are interleaved, so that what else the machine does meets all alike.
"""

import itertools
import time
from collections.abc import Mapping

import numpy as np

from modelway.bundle.signature import Input
from modelway.optimize.export import to_onnx
from modelway.optimize.quantize import int8
from modelway.optimize.scoring import Graph
from modelway.optimize.trees import tensor_form
from modelway.training.calibration import Calibrator
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch

COLUMNS = 24
TRAIN_ROWS = 6_000
BATCHES = (1, 16, 256, 4096)
ROUNDS = 7
MEASURED_S = 0.05
MODELS: Mapping[str, tuple[str, Mapping[str, float | int | str]]] = {
    "80 trees of 4 leaves": ("hgb", {"max_iter": 80, "max_leaf_nodes": 4}),
    "80 trees of 31 leaves": ("hgb", {"max_iter": 80, "max_leaf_nodes": 31, "min_samples_leaf": 20}),
    "300 trees of 63 leaves": ("hgb", {"max_iter": 300, "max_leaf_nodes": 63, "min_samples_leaf": 5}),
    "network 2 x 64": ("mlp", {"epochs": 2}),
    "network 3 x 512": ("mlp", {"epochs": 1, "hidden": 512, "layers": 3}),
}


def rows() -> Rows:
    """Numbers with a tenth missing, and a label that leans on a few of them."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(TRAIN_ROWS, COLUMNS)).astype(np.float32)
    lean = X[:, 0] * X[:, 1] + np.abs(X[:, 2]) - 1
    X[rng.random(X.shape) < 0.1] = np.nan
    return Rows(X, (rng.random(TRAIN_ROWS) < 1 / (1 + np.exp(-lean))).astype(np.int8))


def graphs(kind: str, content: bytes, data: Rows) -> dict[str, tuple[bytes, str]]:
    """Every variant of one exported graph, with its largest difference in probability."""
    found = {"as exported": (content, "")}
    if kind == "mlp":
        made = int8(content, data.X, limit=1.0)
        return found | {"int8": (made.content, f"differs by {made.parity.reasons[0].found:.1e}")}
    for form in ("gemm", "traversal"):
        made_form = tensor_form(content, form)
        found[form] = (made_form.content, f"differs by {made_form.parity.reasons[0].found:.1e}")
    return found


def exported(kind: str, params: Mapping[str, float | int | str], data: Rows) -> bytes:
    """Fit and export."""
    inputs = tuple(Input(name=f"x{i}", kind="numeric") for i in range(COLUMNS))
    model = kind_named(kind).fit(data, None, Recipe(inputs, params, 1), ignore_epoch)
    return to_onnx(model, Calibrator(slope=1.0, intercept=0.0), inputs)


def medians_us(variants: Mapping[str, tuple[bytes, str]], X: np.ndarray) -> dict[str, float]:
    """Best round's median per variant, microseconds a call."""
    loaded = {name: Graph(content) for name, (content, _) in variants.items()}
    best = dict.fromkeys(loaded, np.inf)
    for _, (name, graph) in itertools.product(range(ROUNDS), loaded.items()):
        best[name] = min(best[name], _median_us(graph, X))
    return best


def _median_us(graph: Graph, X: np.ndarray) -> float:
    took, end = [], time.perf_counter() + MEASURED_S
    while not took or time.perf_counter() < end:
        start_ns = time.perf_counter_ns()
        graph.probabilities(X)
        took.append((time.perf_counter_ns() - start_ns) / 1000)
    return float(np.median(took))


def main() -> None:
    """Print the table."""
    data = rows()
    print("| model | variant |" + "".join(f" {n} rows, µs |" for n in BATCHES) + " |")
    print("|---|---|" + "---:|" * len(BATCHES) + "---|")
    for title, (kind, params) in MODELS.items():
        variants = graphs(kind, exported(kind, params, data), data)
        timed = [medians_us(variants, np.resize(data.X, (n, COLUMNS))) for n in BATCHES]
        for name, (_, note) in variants.items():
            cells = "".join(f" {t[name]:.0f} ({t[name] / t['as exported']:.1f}) |" for t in timed)
            print(f"| {title} | {name} |{cells} {note} |")


if __name__ == "__main__":
    main()
