"""Search, choose, calibrate, export: one trained model out of every kind the use case names."""

from datetime import datetime
from typing import Annotated

from zenml import step

from modelway.bundle.lineage import Replay
from modelway.data.snapshot import Snapshot
from modelway.home import Home
from modelway.training.artifacts import Trained
from modelway.training.splits import Splits
from modelway.training.tune import Request, tune
from modelway.usecase import load_use_case
from stacks.active import frames_folder, tracker


@step
def train_candidates(  # noqa: PLR0913, PLR0917 - a request's fields, for ZenML to compare with an earlier run's
    snapshot: Snapshot,
    splits: Splits,
    as_of: datetime,
    trials: int,
    seed: int,
    study: str | None = None,
    replay: Replay | None = None,
) -> Annotated[Trained, "trained"]:
    """Every trial is a nested MLflow run below one parent run."""
    how = {"seed": seed, "trials": trials, "study": study, "replay": replay}
    request = Request(snapshot_id=snapshot.id, as_of=as_of, **how)
    use_case = load_use_case(snapshot.use_case)
    studies = Home.current().studies
    return tune(use_case, splits, request, tracker=tracker(), folder=frames_folder(), studies=studies)
