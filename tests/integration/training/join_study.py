"""Join a study and stand still in the middle of one trial, to be killed: run by test_training_study."""

import importlib.util
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from train_once import FakeTracker

from modelway.contract import FloatRange
from modelway.training import search
from modelway.training.policy import Search, TrainingPolicy
from modelway.training.splits import split_by_time
from modelway.training.tracking import Tracker
from modelway.training.tune import Request, tune

TRIALS = 5
NAME = "together"
_SOURCE = Path(__file__).parents[2] / "unit" / "training" / "conftest.py"


def searched(splits, folder: Path, *, study: str | None, tracker):
    """Both candidates, small; three trials of a kind at once."""
    spec = importlib.util.spec_from_file_location("training_loans", _SOURCE)
    loans = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loans)
    use_case = loans.loan_use_case()
    trees, network = use_case.candidates
    rates = FloatRange(low=1e-3, high=3e-1, log=True)
    network = network.model_copy(
        update={"space": {"learning_rate": rates}, "fixed": {"epochs": 5, "hidden": 8, "batch_size": 64}}
    )
    use_case.candidates = (trees, network)
    use_case.training = TrainingPolicy(search=Search(pruner="median", at_once=3))
    request = Request(
        snapshot_id="s", as_of=datetime(2005, 1, 1, tzinfo=UTC), seed=4, trials=TRIALS, study=study
    )
    place = {"folder": str(folder / "models"), "studies": folder / "studies"}
    return tune(use_case, splits, request, tracker=tracker, **place)


def tracker_in(folder: Path) -> Tracker:
    return Tracker(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"))


def main(frame: str, folder: str, kind: str, slot: int) -> None:
    attempt, here = search.attempt, Path(folder)

    def stand_still(of, params, task, asked):
        if stalling == [kind, slot]:
            (here / "standing").touch()
            time.sleep(600)
        return attempt(of, params, task, asked)

    tried = search._tried
    stalling: list[object] = []

    def noted(draws, number, *rest):
        stalling[:] = [draws.plan.candidate.kind, number]
        return tried(draws, number, *rest)

    search.attempt, search._tried = stand_still, noted
    tracker = tracker_in(here) if "WITH_MLFLOW" in os.environ else FakeTracker()
    splits = split_by_time(pl.read_parquet(frame), f"{folder}/frames")
    searched(splits, here, study=NAME, tracker=tracker)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
