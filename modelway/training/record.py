"""What a training leaves in MLflow: one parent run, one nested run for each trial."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from modelway.training.artifacts import Trained
from modelway.training.figures import loss_figure
from modelway.training.search import Attempt
from modelway.training.tracking import Tracker


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
        """Parameters, validation metrics, losses per epoch."""
        metrics = {f"validation_{name}": value for name, value in attempt.metrics.items()}
        self.tracker.log(run_id, params=attempt.params, metrics={**metrics, "rounds": attempt.rounds})
        self.tracker.log_epochs(run_id, attempt.epochs)
        self.tracker.log_bytes(run_id, loss_figure(attempt.epochs, attempt.rounds), "figures/loss.png")


def record(trained: Trained, figures: Mapping[str, bytes], tracker: Tracker) -> None:
    """Complete the parent run: the final model's parameters, metrics, figures, graph and signature."""
    tracker.log(
        trained.run_id,
        params={"kind": trained.kind, **trained.params},
        metrics=_metrics(trained),
        tags={
            "modelway.kind": trained.kind,
            "modelway.reason": trained.reason,
            "modelway.onnx_sha256": trained.onnx.sha256,
            "modelway.train_sha256": trained.train.sha256,
        },
    )
    for name, png in figures.items():
        tracker.log_bytes(trained.run_id, png, f"figures/{name}")
    tracker.log_bytes(trained.run_id, trained.onnx.read(), "model.onnx")
    tracker.log_bytes(trained.run_id, trained.signature.model_dump_json(indent=2).encode(), "signature.json")


def _metrics(trained: Trained) -> dict[str, float]:
    calibrated = {f"calibration_{name}": value for name, value in trained.metrics.items()}
    return {
        **calibrated,
        "threshold": trained.signature.threshold,
        "calibrator_slope": trained.calibrator.slope,
        "calibrator_intercept": trained.calibrator.intercept,
    }
