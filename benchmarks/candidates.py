"""Every kind of model on real loans and on simulated payments: how well, how long, how fast. Two tables.

    python benchmarks/candidates.py [--use-case credit] [--source full] [--as-of 2007-01-01] [--kinds hgb,mlp]

Each kind is given the same three chances, which stand below: fitted on the older train rows, compared on
the newest quarter by PR-AUC, the best fitted again on all train rows and calibrated on the calibration rows,
which teach nobody here; training learns from them too (ADR 28). The scores are those of the test rows, which
are newer than all others and are looked at once. ± is the standard error by bootstrap of the test rows: kinds
closer than that are not told apart. Times are of the processor, not of the clock, so that what else the
machine does weighs little: all fits, and a call of the exported graph, calibrator included. Both run on one
thread.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.features.training_set import build_training_set
from modelway.optimize.export import to_onnx
from modelway.optimize.scoring import Graph
from modelway.stats.calibration import calibration_error
from modelway.stats.ranking import pr_auc, roc_auc
from modelway.training.calibration import fit_calibrator
from modelway.training.candidates import KINDS, kind_named
from modelway.training.candidates.base import FittedModel, Recipe, Rows, Value, ignore_epoch
from modelway.training.encoding import signature_from
from modelway.training.final import rows_of
from modelway.training.splits import cut, split_by_time
from modelway.usecase import UseCase, load_use_case

Settings = Mapping[str, Value]
CHANCES: Mapping[str, tuple[Settings, ...]] = {
    "logistic": ({}, {"C": 0.01}, {"C": 0.1, "class_weight": "balanced"}),
    "hgb": (
        {},
        {"max_leaf_nodes": 15, "min_samples_leaf": 200},
        {"max_leaf_nodes": 31, "max_iter": 150, "learning_rate": 0.03},
    ),
    "lightgbm": (
        {},
        {"num_leaves": 15, "min_data_in_leaf": 200},
        {"num_leaves": 31, "num_iterations": 150, "learning_rate": 0.03},
    ),
    "xgboost": (
        {},
        {"max_depth": 4, "min_child_weight": 20.0},
        {"max_depth": 5, "num_boost_round": 150, "learning_rate": 0.03},
    ),
    "mlp": (
        {},
        {"hidden": 128, "dropout": 0.3, "weight_decay": 1e-2},
        {"focal_gamma": 2.0, "learning_rate": 1e-3},
    ),
    "ft_transformer": (
        {"token": 16, "epochs": 6},
        {"token": 16, "epochs": 6, "dropout": 0.3, "weight_decay": 1e-2},
        {"token": 16, "epochs": 6, "focal_gamma": 2.0},
    ),
}
AS_OF = {"credit": datetime(2007, 1, 1, tzinfo=UTC), "fraud": datetime(2024, 7, 1, tzinfo=UTC)}
VALIDATION_SHARE, MIN_VALIDATION_ROWS = 0.25, 10
RESAMPLES = 200
MEASURED_S = 0.5
SEED = 7


@dataclass(frozen=True)
class Task:
    """All parts of one use case's rows."""

    older: Rows
    newest: Rows
    train: Rows
    calibration: Rows
    test: Rows
    signature: object


def task_of(use_case: UseCase, source: str | None, as_of: datetime, folder: str) -> Task:
    """Ingest, join as of the day, split in time, encode."""
    store = FolderSnapshotStore(f"{folder}/snapshots")
    history = store.scan(ingest(use_case, source, store).id, as_of=as_of)
    splits = split_by_time(build_training_set(use_case, history, as_of=as_of), f"{folder}/frames")
    train = splits.train.load()
    signature = signature_from(use_case, train, 0.5)
    older, newest = cut(train.sort("event_time", maintain_order=True), VALIDATION_SHARE, MIN_VALIDATION_ROWS)
    frames = (older, newest, train, splits.calibration.load(), splits.test.load())
    parts = [rows_of(f, signature) for f in frames]
    return Task(*parts, signature)


def fitted(kind: str, task: Task) -> tuple[FittedModel, int]:
    """The kind's best chance, fitted on all train rows, and which one it was."""
    family, inputs, tried = kind_named(kind), task.signature.columns, []
    for settings in CHANCES[kind]:
        model = family.fit(task.older, task.newest, Recipe(inputs, settings, SEED), ignore_epoch)
        tried.append((float(pr_auc(task.newest.y, model.margins(task.newest.X))), model.rounds))
    best = int(np.argmax([score for score, _ in tried]))
    settings = {**CHANCES[kind][best], family.rounds_param: tried[best][1]}
    return family.fit(task.train, None, Recipe(inputs, settings, SEED), ignore_epoch), best


def line(kind: str, task: Task) -> str:
    """One row of the table."""
    start = time.process_time()
    model, chance = fitted(kind, task)
    seconds = time.process_time() - start
    calibrator = fit_calibrator(model.margins(task.calibration.X), task.calibration.y)
    content = to_onnx(model, calibrator, task.signature.inputs, task.signature.derived)
    graph, y = Graph(content), task.test.y
    sent = np.ascontiguousarray(task.test.X[:, : graph.features])  # the graph derives the rest
    p = graph.probabilities(sent).astype(np.float64)
    error = np.abs(p - calibrator.probabilities(model.margins(task.test.X))).max()
    one, many = (call_us(graph, np.resize(sent, (n, graph.features))) for n in (1, 1000))
    return (
        f"| {kind} | {chance + 1} | {pr_auc(y, p):.4f} ± {standard_error(y, p):.4f} | {roc_auc(y, p):.4f} "
        f"| {calibration_error(y, p):.4f} | {seconds:.1f} | {one:.0f} | {many:.0f} "
        f"| {len(content) / 1024:.0f} | {error:.0e} |"
    )


def standard_error(y: np.ndarray, p: np.ndarray) -> float:
    """Of PR-AUC, by bootstrap."""
    rng = np.random.default_rng(SEED)
    draws = (rng.integers(0, len(y), len(y)) for _ in range(RESAMPLES))
    return float(np.std([pr_auc(y[rows], p[rows]) for rows in draws if y[rows].any()]))


def call_us(graph: Graph, X: np.ndarray) -> float:
    """Median of a call, microseconds of its thread."""
    took, end = [], time.perf_counter() + MEASURED_S
    while not took or time.perf_counter() < end:
        start_ns = time.thread_time_ns()
        graph.probabilities(X)
        took.append((time.thread_time_ns() - start_ns) / 1000)
    return float(np.median(took))


def table(name: str, task: Task, kinds: list[str]) -> Iterator[str]:
    """Header and rows, each as soon as it is known."""
    sizes = f"{len(task.train.y):,} train rows with {int(task.train.y.sum()):,} positives"
    base = float(task.test.y.mean())
    yield f"\n{name}: {sizes}; {len(task.test.y):,} test rows, {base:.2%} positive (PR-AUC of chance)\n"
    yield "| kind | chance | PR-AUC | ROC-AUC | ECE | fits, s | 1 row, µs | 1,000 rows, µs | KiB | parity |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for kind in kinds:
        yield line(kind, task)


def main() -> None:
    """Print a table for each use case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--use-case", choices=sorted(AS_OF), action="append")
    parser.add_argument("--source", help="as `modelway data ingest` takes it; the use case's default")
    parser.add_argument("--as-of", type=lambda day: datetime.fromisoformat(day).replace(tzinfo=UTC))
    parser.add_argument("--kinds", default=",".join(CHANCES))
    said = parser.parse_args()
    assert set(CHANCES) == set(KINDS), "a kind has no chances here"  # noqa: S101 - a reminder to who adds one
    with tempfile.TemporaryDirectory() as folder:
        for name in said.use_case or sorted(AS_OF):
            task = task_of(load_use_case(name), said.source, said.as_of or AS_OF[name], f"{folder}/{name}")
            for text in table(name, task, said.kinds.split(",")):
                print(text, flush=True)
    print(f"\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, seed {SEED}")


if __name__ == "__main__":
    main()
