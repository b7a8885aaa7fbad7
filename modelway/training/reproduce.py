"""Make a registered model again from its lineage alone, and hold the two against each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.lineage import Lineage
from modelway.contract import Outcome, Reason, Verdict
from modelway.data.frames import write_frame
from modelway.data.snapshot import FolderSnapshotStore
from modelway.data.storage import sha256_of
from modelway.evaluation.scored import ScoredRows, whole_statistics
from modelway.optimize.export import to_onnx
from modelway.optimize.scoring import Graph
from modelway.training.calibration import threshold_from
from modelway.training.candidates.base import Recipe
from modelway.training.encoding import encode, labels, signature_from
from modelway.training.environment import Environment, current
from modelway.training.final import fit
from modelway.training.replay import training_rows
from modelway.training.splits import split_by_time

if TYPE_CHECKING:
    from modelway.usecase import UseCase

SAME_METRIC = 1e-6
"""Of a metric: equal scores give equal metrics to the last digits."""
_RANKS = ("roc_auc", "pr_auc")
"""A rounding leaves the order of rows, nearly: these must agree wherever the model is made again."""


def reproduce(use_case: "UseCase", bundle: Bundle, snapshots: FolderSnapshotStore, folder: str) -> Verdict:
    """Train again what the bundle's lineage names - snapshot, as-of, parameters, seed - and compare.

    No search: the parameters stand in the lineage. The rows, the graph's bytes, its probabilities on the
    test rows and the metrics are compared, and the environment it was made in. The threshold is that
    of the use case's costs.

    Args:
        use_case: The one that the bundle names, as it is defined now.
        bundle: What is to be made again.
        snapshots: Where its snapshot lies.
        folder: Path or URL for the tables made on the way, content-addressed.

    Returns:
        PASS when everything is the same. FAIL when the rows, the probabilities or the metrics differ, or the
        bytes do in the same environment. INCONCLUSIVE when only the environment differs, or it and the bytes.

    Raises:
        NotFoundError: The snapshot is gone.
        SnapshotCorruptError: It was altered.
    """
    lineage = bundle.lineage
    history = snapshots.scan(lineage.snapshot_id, as_of=lineage.as_of)
    rows = training_rows(
        use_case, history, as_of=lineage.as_of, replay=lineage.replay, window_months=lineage.window_months
    )
    training_set, splits = write_frame(rows, folder), split_by_time(rows, folder)
    signature = signature_from(use_case, splits.train.load(), threshold_from(use_case.costs))
    recipe = Recipe(signature.columns, dict(lineage.params), lineage.seed)
    made = fit(lineage.kind, recipe, signature, splits, (lineage.calibrator,))
    onnx = to_onnx(made.model, made.calibrator, signature.inputs, signature.derived)
    here = _environment(lineage, current())
    same_place = here.outcome is Outcome.PASS
    reasons = [
        here,
        _same("training rows", lineage.training_set_sha256, training_set.sha256),
        _same("signature", bundle.signature.model_dump_json(), signature.model_dump_json()),
        _graph_bytes(sha256_of(bundle.read(MODEL_FILE)), sha256_of(onnx), same_place=same_place),
        *_answers(use_case, bundle, onnx, splits.test.load(), same_place=same_place),
    ]
    return Verdict.of(reasons, {"bundle": bundle.digest, "graph_sha256": sha256_of(onnx)})


def _environment(lineage: Lineage, now: Environment) -> Reason:
    then = {"commit": lineage.git_commit, "lock": lineage.lock_sha256, **lineage.libraries}
    found = {"commit": now.git_commit, "lock": now.lock_sha256, **now.libraries}
    other = [f"{k} {_short(v)} -> {_short(found.get(k))}" for k, v in then.items() if v != found.get(k)]
    if now.git_dirty:
        other.append("uncommitted changes")
    outcome = Outcome.INCONCLUSIVE if other else Outcome.PASS
    text = f"made elsewhere: {'; '.join(other)}" if other else "same commit, lock file and libraries"
    return Reason(metric="environment", outcome=outcome, message=text)


def _short(value: str | None) -> str:
    return "unknown" if value is None else value[:12]


def _same(what: str, expected: str | None, found: str) -> Reason:
    if expected is None:
        return Reason(metric=what, outcome=Outcome.INCONCLUSIVE, message=f"the lineage names no {what}")
    equal = expected == found
    outcome = Outcome.PASS if equal else Outcome.FAIL
    return Reason(metric=what, outcome=outcome, message=f"{what}: {'the same' if equal else 'others'}")


def _graph_bytes(expected: str, found: str, *, same_place: bool) -> Reason:
    if expected == found:
        text = f"the graph is the same to the byte: {found[:12]}"
        return Reason(metric="graph", outcome=Outcome.PASS, message=text)
    outcome = Outcome.FAIL if same_place else Outcome.INCONCLUSIVE
    text = f"graph {found[:12]} instead of {expected[:12]}"
    return Reason(metric="graph", outcome=outcome, message=text)


def _answers(
    use_case: "UseCase", bundle: Bundle, onnx: bytes, test: pl.DataFrame, *, same_place: bool
) -> Iterator[Reason]:
    before = Graph(bundle.read(MODEL_FILE)).probabilities(encode(test, bundle.signature))
    again = Graph(onnx).probabilities(encode(test, bundle.signature))
    largest, limit = float(np.abs(before - again).max()), use_case.gates.max_parity_error
    yield Reason(
        metric="probabilities",
        outcome=Outcome.PASS if largest <= limit else Outcome.FAIL,
        message=f"largest difference of a probability on {len(again):,} test rows: {largest:.2g}",
        found=largest,
        limit=limit,
        samples=len(again),
    )
    rows = ScoredRows.of(labels(test), again, threshold_from(use_case.costs))
    measured = whole_statistics(rows, use_case.costs, np.ones((1, len(again))))
    noted = bundle.lineage.metrics
    for name in (*_RANKS, *sorted(noted.keys() & measured.keys() - set(_RANKS))):
        lenient = not same_place and name not in _RANKS
        yield _metric(name, noted.get(name), float(measured[name][0]), lenient=lenient)


def _metric(name: str, expected: float | None, found: float, *, lenient: bool) -> Reason:
    """A lenient one is left open where it differs: a rounding may turn a decision, and a row is a row."""
    if expected is None:
        text = f"{name}: the lineage names none"
        return Reason(metric=name, outcome=Outcome.INCONCLUSIVE, message=text)
    same = abs(expected - found) <= SAME_METRIC * max(1.0, abs(expected))
    outcome = Outcome.PASS if same else Outcome.INCONCLUSIVE if lenient else Outcome.FAIL
    text = f"{name} {found:.6f}, then {expected:.6f}"
    return Reason(metric=name, outcome=outcome, message=text, found=found, limit=expected)
