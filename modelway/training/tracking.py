"""MLflow by explicit client and run id. No global run, no global address: steps may run side by side."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelway.errors import StorageError
from modelway.training.candidates.base import Epoch

BATCH = 1000
"""Most metrics MLflow takes in one request."""


class Tracker:
    """Records runs in one MLflow store."""

    def __init__(self, tracking_uri: str, artifact_root: str) -> None:
        """Nothing is opened yet.

        Args:
            tracking_uri: `sqlite:///…/mlflow.db` or a server's address; MLflow 3 keeps no runs in folders.
            artifact_root: Folder or URL below which new experiments keep their files.
        """
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self._opened: Any = None

    @property
    def client(self) -> Any:
        """The MlflowClient, made on first use.

        Raises:
            StorageError: The store cannot be opened.
        """
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    @contextmanager
    def run(
        self, experiment: str, name: str, *, parent: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """One run for the length of the block: FINISHED, FAILED on an error, KILLED on Ctrl-C.

        Args:
            experiment: Name; made where there is none.
            name: What the run is called in the list.
            parent: Run id of the run to nest below.
            tags: Shown with the run.

        Yields:
            The run id.
        """
        run_id = self.begin(experiment, name, parent=parent, tags=tags)
        with self.ended(run_id):
            yield run_id

    def begin(
        self, experiment: str, name: str, *, parent: str | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        """A run that somebody else ends, in `ended`; returns its id. See `run`."""
        nested = {"mlflow.parentRunId": parent} if parent else {}
        all_tags = {**(tags or {}), **nested}
        made = self.client.create_run(self._experiment(experiment), run_name=name, tags=all_tags)
        return str(made.info.run_id)

    @contextmanager
    def ended(self, run_id: str) -> Iterator[None]:
        """End a run with the block, one that was ended before as well. See `run`."""
        self.client.update_run(run_id, status="RUNNING")
        status = "KILLED"
        try:
            yield
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            self.client.set_terminated(run_id, status)

    def bury(self, run_id: str) -> None:
        """Mark a run KILLED whose process died over it; one that ended otherwise is left."""
        if self.client.get_run(run_id).info.status == "RUNNING":
            self.client.set_terminated(run_id, "KILLED")

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add parameters, final metrics and tags to a run, in one request."""
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - MLflow takes 2.5 s to import

        now_ms = int(time.time() * 1000)
        self.client.log_batch(
            run_id,
            metrics=[Metric(name, float(value), now_ms, 0) for name, value in (metrics or {}).items()],
            params=[Param(name, str(value)) for name, value in (params or {}).items()],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        )

    def log_epochs(self, run_id: str, epochs: Sequence[Epoch]) -> None:
        """Add `train_loss` and `validation_loss` with the epoch as step."""
        from mlflow.entities import Metric  # noqa: PLC0415 - as above

        now_ms = int(time.time() * 1000)
        metrics = [
            Metric(name, getattr(epoch, name), now_ms, epoch.number)
            for epoch in epochs
            for name in ("train_loss", "validation_loss")
        ]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def log_file(self, run_id: str, path: Path, folder: str = "") -> None:
        """Keep a copy of a file with the run."""
        self.client.log_artifact(run_id, str(path), folder or None)

    def log_bytes(self, run_id: str, content: bytes, name: str) -> None:
        """Keep `content` with the run as `name`, which may name a folder: `figures/roc.png`."""
        folder, _, base = name.rpartition("/")
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / base
            path.write_bytes(content)
            self.log_file(run_id, path, folder)

    def _open(self) -> Any:
        from mlflow import MlflowClient  # noqa: PLC0415 - as above
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - as above

        if self.tracking_uri.startswith("sqlite:///"):
            Path(self.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        try:
            client = MlflowClient(tracking_uri=self.tracking_uri)
            client.search_experiments(max_results=1)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise StorageError(
                f"MLflow cannot open {self.tracking_uri}: {str(error).splitlines()[0]}",
                expected="sqlite:///PATH on a disk with room, or the address of an MLflow server",
                remedy="look at the experiment tracker of the active stack: `modelway stack doctor`",
            ) from error
        return client

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name, f"{self.artifact_root.rstrip('/')}/{name}"))
            except MlflowException:  # another process made it in between
                found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id)
