"""Train each kind once and print what must be the same in every process: run by test_training_tune."""

import importlib.util
import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from modelway.training.splits import split_by_time
from modelway.training.tune import Request, tune

_SOURCE = Path(__file__).parents[2] / "unit" / "training" / "conftest.py"


class FakeTracker:
    """Writes nothing: MLflow takes seconds to start and decides nothing."""

    @contextmanager
    def run(self, *_args: object, **_kwargs: object):
        yield "no run"

    def log(self, *_args: object, **_kwargs: object) -> None:
        pass

    log_epochs = log_bytes = bury = log

    def begin(self, *_args: object, **_kwargs: object) -> str:
        return "no run"

    ended = run


def trained(use_case, splits, folder: str) -> dict[str, str]:
    request = Request(snapshot_id="s", as_of=datetime(2005, 1, 1, tzinfo=UTC), seed=3, trials=3)
    made = tune(use_case, splits, request, tracker=FakeTracker(), folder=f"{folder}/models")
    return {
        "kind": made.kind,
        "onnx": made.onnx.sha256,
        "train": splits.train.sha256,
        "signature": made.signature.model_dump_json(),
    }


def main(frame: str, folder: str) -> None:
    spec = importlib.util.spec_from_file_location("training_loans", _SOURCE)
    loans = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loans)
    splits = split_by_time(pl.read_parquet(frame), f"{folder}/frames")
    found = []
    for candidate in loans.loan_use_case().candidates:
        use_case = loans.loan_use_case()
        use_case.candidates = (candidate,)
        found.append(trained(use_case, splits, folder))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
