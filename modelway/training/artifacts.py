"""What training hands on: files by their content, and the record of one training."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import Field

from modelway.bundle.lineage import Replay
from modelway.bundle.signature import Signature
from modelway.contract import Frozen
from modelway.data.frames import FrameRef
from modelway.data.storage import Folder, sha256_of
from modelway.errors import NotFoundError, SnapshotCorruptError
from modelway.training.calibration import AnyCalibrator
from modelway.training.environment import Environment
from modelway.training.policy import Cost


class FileRef(Frozen):
    """One file, named by the sha256 of its bytes."""

    uri: str
    sha256: str
    size: int
    """Bytes."""

    def read(self) -> bytes:
        """The file's bytes, checked.

        Raises:
            SnapshotCorruptError: The file is gone or its bytes are others.
            StorageError: The store does not answer.
        """
        folder, _, name = self.uri.rpartition("/")
        try:
            content = Folder(folder).read(name)
        except NotFoundError as error:
            raise self._corrupt("is gone") from error
        if sha256_of(content) != self.sha256:
            raise self._corrupt(f"hashes to {sha256_of(content)[:12]}…")
        return content

    def _corrupt(self, found: str) -> SnapshotCorruptError:
        return SnapshotCorruptError(
            f"{self.uri} {found}",
            expected=f"the {self.size} bytes of sha256 {self.sha256[:12]}…",
            remedy="run the training again: the same seed and snapshot give the same file",
        )


def keep(content: bytes, folder: str, suffix: str) -> FileRef:
    """Write `<folder>/<sha256><suffix>`, whole or not at all; the same bytes again are no new file.

    Args:
        content: Anything.
        folder: A path or fsspec URL.
        suffix: With its dot.

    Raises:
        StorageError: Disk full, read-only, unreachable.
    """
    digest = sha256_of(content)
    store = Folder(folder)
    store.write(f"{digest}{suffix}", content)
    return FileRef(uri=store.path(f"{digest}{suffix}"), sha256=digest, size=len(content))


class Trial(Frozen):
    """One attempt of the search, scored on the validation rows."""

    kind: str
    number: int
    params: Mapping[str, float | int | str]
    rounds: int
    """Trees or epochs up to the lowest validation loss."""
    metrics: Mapping[str, float]
    """`pr_auc`, `roc_auc`, `log_loss` on the validation rows, before calibration."""
    run_id: str
    """Of the nested MLflow run."""
    fit_seconds: float
    state: Literal["finished", "pruned", "diverged"] = "finished"
    """Pruned: given up because its losses lagged. Diverged: its scores are no numbers."""
    costs: Mapping[Cost, int] = Field(default_factory=dict)
    """Operations for one row, bytes of the graph, rows visited in learning; nothing for a pruned trial."""


class Finalist(Frozen):
    """A trial that was looked at from every side. The first four numbers decide; the clock's only inform."""

    kind: str
    number: int
    pr_auc: float
    operations: int
    """Arithmetic operations and comparisons for one row, at most."""
    bytes: int
    row_visits: int
    """Train rows times rounds."""
    latency_us: float
    """Median of single rows in ONNX Runtime, in this process, microseconds …"""
    latency_low_us: float
    latency_high_us: float
    """… and its 95 % interval within the measurement; another hour may differ by more."""
    fit_seconds: float
    on_front: bool
    """No other finalist is as good in quality, operations, bytes and row visits and better in one."""
    chosen: bool


class Trained(Frozen):
    """A calibrated model and all that later steps need to know about it."""

    use_case: str
    kind: str
    params: Mapping[str, float | int | str]
    """Every hyper-parameter of the final fit, defaults included."""
    seed: int
    snapshot_id: str
    as_of: datetime
    replay: Replay | None = None
    """Which old rows were learnt from again; None: all matured rows of the window."""
    signature: Signature
    calibrator: AnyCalibrator
    calibrator_reason: str = ""
    """Why this way of calibrating, in one sentence."""
    onnx: FileRef
    """The graph that is served: preprocessing, model, calibrator."""
    native: FileRef
    """The model as its own library keeps it, for the parity gate alone; no bundle carries it."""
    train: FrameRef
    """The older rows it learnt from, the validation rows among them …"""
    calibration_rows: int
    """… and how many newer ones, which it learnt from as well."""
    metrics: Mapping[str, float]
    """Of the cross-fit on the calibration rows: `pr_auc`, `roc_auc`, `log_loss`, `ece`, `base_rate`."""
    trials: tuple[Trial, ...]
    finalists: tuple[Finalist, ...] = ()
    reason: str
    """Why this kind and these parameters, in one sentence."""
    run_id: str
    """Of the parent MLflow run."""
    environment: Environment
