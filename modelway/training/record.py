"""What a training leaves in MLflow: one parent run, one nested run for each trial."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from modelway.training.artifacts import Finalist, Trained
from modelway.training.attempt import Attempt
from modelway.training.figures import loss_figure, pareto_figure
from modelway.training.tracking import Tracker

PARETO_FILE = "pareto.json"


@dataclass(frozen=True)
class Pages:
    """Nested runs below one parent run: the search's notebook."""

    tracker: Tracker
    experiment: str
    parent: str
    tags: Mapping[str, str]

    @contextmanager
    def attempt(self, kind: str, number: int) -> Iterator[str]:
        """One nested run."""
        tags = {**self.tags, "modelway.kind": kind}
        with self.tracker.run(self.experiment, f"{kind}-{number}", parent=self.parent, tags=tags) as run_id:
            yield run_id

    def write(self, run_id: str, attempt: Attempt) -> None:
        """Parameters, validation metrics, losses per epoch, costs; and that it was given up, where it was."""
        metrics = {f"validation_{name}": value for name, value in attempt.metrics.items()}
        costs: dict[str, float] = dict(attempt.costs.items())
        numbers = {**metrics, **costs, "rounds": attempt.rounds}
        tags = {"modelway.trial_state": attempt.state}
        self.tracker.log(run_id, params=attempt.params, metrics=numbers, tags=tags)
        self.tracker.log_epochs(run_id, attempt.epochs)
        self.tracker.log_bytes(run_id, loss_figure(attempt.epochs, attempt.rounds), "figures/loss.png")

    def bury(self, run_id: str) -> None:
        """Mark the run of a process that died over it."""
        self.tracker.bury(run_id)


def record(trained: Trained, figures: Mapping[str, bytes], tracker: Tracker) -> None:
    """Complete the parent run: the final model's parameters, metrics, figures, graph and signature."""
    tracker.log(
        trained.run_id,
        params={"kind": trained.kind, **trained.params},
        metrics=_metrics(trained),
        tags={
            "modelway.kind": trained.kind,
            "modelway.reason": trained.reason,
            "modelway.calibrator": trained.calibrator.method,
            "modelway.calibrator_reason": trained.calibrator_reason,
            "mlflow.loggedArtifacts": json.dumps([{"path": PARETO_FILE, "type": "table"}]),
            "modelway.onnx_sha256": trained.onnx.sha256,
            "modelway.train_sha256": trained.train.sha256,
        },
    )
    tracker.log_bytes(trained.run_id, _pareto_table(trained.finalists), PARETO_FILE)
    for name, png in {**figures, "pareto.png": pareto_figure(trained.finalists)}.items():
        tracker.log_bytes(trained.run_id, png, f"figures/{name}")
    tracker.log_bytes(trained.run_id, trained.onnx.read(), "model.onnx")
    tracker.log_bytes(trained.run_id, trained.signature.model_dump_json(indent=2).encode(), "signature.json")


def _metrics(trained: Trained) -> dict[str, float]:
    calibrated = {f"calibration_{name}": value for name, value in trained.metrics.items()}
    return {
        **calibrated,
        "threshold": trained.signature.threshold,
        **{f"calibrator_{name}": value for name, value in trained.calibrator.numbers().items()},
    }


def _pareto_table(finalists: Sequence[Finalist]) -> bytes:
    """In the form that MLflow's pages show as a table."""
    rows = [finalist.model_dump() for finalist in finalists]
    columns = list(Finalist.model_fields)
    return json.dumps({"columns": columns, "data": [[row[c] for c in columns] for row in rows]}).encode()
