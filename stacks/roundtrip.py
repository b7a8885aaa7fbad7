"""The last third of `modelway usecase check`: a small model, trained, bundled, served, asked about one row.

Everything happens in a folder that is deleted afterwards: no stack, no ZenML, no Prefect, no key of yours.
"""

import json
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from modelway.bundle.bundle import Bundle
from modelway.bundle.signature import GRAPH_OUTPUT, Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Outcome, Reason, Verdict
from modelway.data.frames import FrameRef, write_frame
from modelway.data.ingest import ingest
from modelway.data.labels import with_label
from modelway.data.snapshot import FolderSnapshotStore
from modelway.errors import ContractError, EmptyWindowError, ModelwayError, NotReadyError
from modelway.evaluation.gates import gates
from modelway.evaluation.held_out import evaluate_on
from modelway.evaluation.record import Evaluation
from modelway.features.recent import known_between
from modelway.features.training_set import build_training_set
from modelway.optimize.parity import native_of, parity_of
from modelway.registry.packing import Stores, pack
from modelway.training.artifacts import Trained
from modelway.training.encoding import encode
from modelway.training.splits import Splits, split_by_time
from modelway.training.tracking import Tracker
from modelway.training.tune import Request, tune
from modelway.usecase import UseCase
from serving.gateway.process import Child

STAGES = ("train", "parity", "bundle", "serve")
MOST_ROWS = 20_000
"""Newest training rows that are learnt from: enough for a rare label, and still seconds."""
REVISION = "check"
_START_LIMIT_S, _STOP_LIMIT_S, _ANSWER_LIMIT_S = 60.0, 20.0, 10.0
_POLL_S = 0.05
_YEAR, _DAY = timedelta(days=365), timedelta(days=1)


def try_round_trip(use_case: UseCase, source: str | None = None) -> Verdict:
    """Train with one trial, hold the graph against the model, pack, sign, serve, and ask about a real row.

    Whether the model is good is not asked: that is what the gates of a real training are for.

    Args:
        use_case: One whose data passed `modelway.data.conformance.check_use_case`.
        source: Where it reads; None is its default.

    Returns:
        One reason per stage that was reached. A stage that fails is the last one; the evidence names
        those that were not tried.
    """
    reasons: list[Reason] = []
    with tempfile.TemporaryDirectory(prefix="modelway-check-") as folder:
        try:
            for reason in _stages(use_case, source, Path(folder)):
                reasons.append(reason)  # noqa: PERF402 - what came before an error must be kept
        except ModelwayError as error:
            reasons.append(_reason(STAGES[len(reasons)], holds=False, message=str(error)))
    return Verdict.of(reasons, {"not_tried": list(STAGES[len(reasons) :])})


def _stages(use_case: UseCase, source: str | None, folder: Path) -> Iterator[Reason]:
    made = _train(use_case, source, folder)
    yield _reason("train", holds=True, message=_trained_in_words(made))
    parity = parity_of(made.trained, made.splits.test.load(), limit=use_case.gates.max_parity_error)
    yield _reason("parity", holds=parity.passed, message=parity.summary())
    if parity.passed:
        bundle = _pack(use_case, made, parity, folder)
        yield _reason("bundle", holds=True, message=f"signed and verified: {bundle.digest[:12]}")
        yield _served(use_case, made, bundle, folder)


@dataclass(frozen=True, slots=True)
class _Made:
    """What training leaves."""

    history: pl.LazyFrame
    """The snapshot as of the day of training."""
    training_set: FrameRef
    splits: Splits
    trained: Trained
    evaluation: Evaluation


def _train(use_case: UseCase, source: str | None, folder: Path) -> _Made:
    store, frames = FolderSnapshotStore(str(folder / "snapshots")), str(folder / "frames")
    snapshot = ingest(use_case, source, store)
    as_of = _day_of_training(use_case, store.scan(snapshot.id))
    history = store.scan(snapshot.id, as_of=as_of)
    newest = build_training_set(use_case, history, as_of=as_of).tail(MOST_ROWS)
    splits = split_by_time(newest, frames)
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db", str(folder / "mlflow"))
    request = Request(snapshot_id=snapshot.id, as_of=as_of, trials=1)
    trained = tune(use_case, splits, request, tracker=tracker, folder=frames)
    evaluation = evaluate_on(use_case, trained, splits, None)
    return _Made(history, write_frame(newest, frames), splits, trained, evaluation)


def _day_of_training(use_case: UseCase, rows: pl.LazyFrame) -> datetime:
    """The day after the newest row; later where most labels had not matured by then."""
    labelled = with_label(rows, use_case.label)
    ends = labelled.select(pl.col("known_at").max(), pl.col("label_matured_at").median()).collect()
    moments = [moment for moment in ends.row(0) if moment is not None]
    if not moments:
        raise EmptyWindowError("no row has a time", expected="`known_at` in some row", remedy="mend `clean`")
    newest: datetime = max(moments)
    return newest + _DAY


def _trained_in_words(made: _Made) -> str:
    auc = made.evaluation.values().get("roc_auc")
    quality = "not defined" if auc is None else f"{auc:.3f}"
    return (
        f"{made.trained.kind} on {made.splits.train.rows:,} rows as of {made.trained.as_of:%Y-%m-%d}; "
        f"ROC-AUC {quality} on {made.splits.test.rows:,} newer ones"
    )


def _pack(use_case: UseCase, made: _Made, parity: Verdict, folder: Path) -> Bundle:
    """Written, then opened as a server would: signature and every hash checked."""
    verdict = parity & gates(made.evaluation, use_case.gates)
    stores = Stores(folder / "bundles", load_or_create_key(folder / "keys"))
    packed = pack(use_case, made.trained, made.evaluation, verdict, made.training_set, made.history, stores)
    return Bundle.open(packed.path, verify_key=folder / "keys" / VERIFY_KEY_FILE)


def _served(use_case: UseCase, made: _Made, bundle: Bundle, folder: Path) -> Reason:
    row = _newest_row(use_case, made)
    expected = float(native_of(made.trained)(encode(row, made.trained.signature))[0])
    with _running(bundle, folder) as address:
        answered = _ask(f"{address}/v2/models/{bundle.signature.model_name}/infer", row, bundle.signature)
    difference, limit = abs(answered - expected), use_case.gates.max_parity_error
    message = f"over HTTP {answered:.6f}, by the model itself {expected:.6f}, for {_subject(use_case, row)}"
    return _reason("serve", holds=difference <= limit, message=message)


def _newest_row(use_case: UseCase, made: _Made) -> pl.DataFrame:
    until = made.trained.as_of
    return known_between(use_case, made.history, since=until - _YEAR, until=until, newest=1)


def _subject(use_case: UseCase, row: pl.DataFrame) -> str:
    return f"{use_case.contract.key} {row[use_case.contract.key][0]}"


@contextmanager
def _running(bundle: Bundle, folder: Path) -> Iterator[str]:
    """A server of the bundle on a port that the system gives; its address."""
    files = ["--bundle", str(bundle.path), "--verify-key", str(folder / "keys" / VERIFY_KEY_FILE)]
    options = [*files, "--revision", REVISION, "--port", "0", "--drain-s", "0"]
    server = Child.start([sys.executable, "-m", "serving.runtime", *options], folder / "server.log")
    try:
        yield _address(server, folder / "server.log")
    finally:
        server.terminate()
        if not server.wait(_STOP_LIMIT_S):
            server.kill()
            server.wait(_STOP_LIMIT_S)


def _address(server: Child, log: Path) -> str:
    """Where it answers, once it says so.

    Raises:
        NotReadyError: It ended, or said nothing in time.
    """
    deadline = time.monotonic() + _START_LIMIT_S
    while server.exit_code is None and time.monotonic() < deadline:
        for line in log.read_text("utf-8").splitlines(keepends=True):
            if '"ready"' in line and line.endswith("\n"):
                return str(json.loads(line)["address"])
        time.sleep(_POLL_S)
    raise NotReadyError(
        f"the server did not come up: {server.last_words()}", expected=f"ready in {_START_LIMIT_S:.0f} s"
    )


def _ask(url: str, row: pl.DataFrame, signature: Signature) -> float:
    """The probability of one row, sent as a client would: a tensor per column, null for missing.

    Raises:
        ContractError: The server does not take the row.
    """
    tensors = [_tensor(column, row[column.name][0]) for column in signature.inputs]
    body = json.dumps({"inputs": tensors}).encode()
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})  # noqa: S310 - our own http:// address
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_LIMIT_S) as response:  # noqa: S310 - as above
            return _probability(json.load(response))
    except urllib.error.HTTPError as error:
        raise ContractError(
            f"the server answered {error.code}: {error.read().decode(errors='replace')}",
            expected="200 for a row of the data itself",
        ) from error
    except OSError as error:
        raise NotReadyError(f"the server did not answer: {error}", expected="an answer to a row") from error


def _tensor(column: Input, value: Any) -> dict[str, Any]:
    kind = "BYTES" if column.kind == "category" else "FP32"
    return {"name": column.name, "shape": [1], "datatype": kind, "data": [_plain(value)]}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN is not itself


def _probability(answer: dict[str, Any]) -> float:
    found = {tensor["name"]: tensor["data"] for tensor in answer["outputs"]}
    return float(found[GRAPH_OUTPUT][0])


def _reason(metric: str, *, holds: bool, message: str) -> Reason:
    return Reason(metric=metric, outcome=Outcome.PASS if holds else Outcome.FAIL, message=message)
