import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import polars as pl
import pytest

from modelway.errors import ConfigError, DegenerateColumnError, EmptyWindowError, StorageError
from modelway.optimize.parity import parity_of
from modelway.training.artifacts import Trained
from modelway.training.splits import split_by_time
from modelway.training.tracking import Tracker
from modelway.training.tune import Request, tune

REQUEST = Request(snapshot_id="5" * 64, as_of=datetime(2005, 1, 1, tzinfo=UTC), seed=11, trials=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One MLflow database for the module: making one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracker(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"))


@pytest.fixture
def train(use_case, make_loans, store, tmp_path):
    def train(frame=None, request=REQUEST):
        frame = make_loans(1500, seed=1) if frame is None else frame
        splits = split_by_time(frame, str(tmp_path / "frames"))
        return tune(use_case, splits, request, tracker=store, folder=str(tmp_path / "models")), splits

    return train


def files(store, run_id, folder=None):
    return {f.path for f in store.client.list_artifacts(run_id, folder)}


def test_one_parent_run_holds_a_nested_run_for_every_trial(train, store):
    trained, _ = train()

    parent = store.client.get_run(trained.run_id)
    found = store.client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{trained.run_id}'"
    )

    assert {run.info.run_name for run in found} == {"hgb-0", "hgb-1", "mlp-0", "mlp-1"}
    assert {run.info.run_id for run in found} == {trial.run_id for trial in trained.trials}
    assert {run.info.status for run in [*found, parent]} == {"FINISHED"}
    for run in found:
        assert run.data.tags["modelway.snapshot_id"] == REQUEST.snapshot_id
        assert "validation_pr_auc" in run.data.metrics
        assert files(store, run.info.run_id, "figures") == {"figures/loss.png"}


def test_losses_stand_under_their_epochs(train, store):
    trained, _ = train()

    for trial in trained.trials:
        for name in ("train_loss", "validation_loss"):
            steps = [m.step for m in store.client.get_metric_history(trial.run_id, name)]
            assert steps == list(range(1, len(steps) + 1))
            assert len(steps) >= trial.rounds


def test_the_parent_run_says_where_the_model_comes_from(train, store):
    trained, _ = train()

    run = store.client.get_run(trained.run_id)

    assert run.data.tags["modelway.as_of"] == "2005-01-01T00:00:00+00:00"
    assert run.data.tags["modelway.seed"] == "11"
    assert run.data.tags["modelway.reason"] == trained.reason
    assert run.data.tags["modelway.onnx_sha256"] == trained.onnx.sha256
    assert {"modelway.git_commit", "modelway.lock_sha256", "modelway.python"} <= set(run.data.tags)
    assert run.data.params["kind"] == trained.kind
    figures = {f"figures/{name}.png" for name in ("roc", "precision_recall", "reliability", "pareto")}
    assert files(store, trained.run_id, "figures") == figures
    assert {"model.onnx", "signature.json", "pareto.json"} <= files(store, trained.run_id)


def test_mlflow_s_global_state_is_left_alone(train):
    before = mlflow.get_tracking_uri()
    train()

    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None


def test_the_result_survives_serialisation_and_passes_the_parity_gate(train):
    trained, splits = train()

    again = Trained.model_validate_json(trained.model_dump_json())

    assert again == trained
    verdict = parity_of(again, splits.test.load(), limit=1e-5)
    assert verdict.passed, verdict.summary()
    assert hashlib.sha256(Path(trained.onnx.uri).read_bytes()).hexdigest() == trained.onnx.sha256


def test_the_test_rows_and_their_labels_are_never_looked_at(train, use_case, make_loans, store, tmp_path):
    trained, splits = train()
    frame = make_loans(1500, seed=1).with_columns(
        pl.when(pl.col("event_time") >= splits.boundaries.test_from)
        .then(1 - pl.col("label"))
        .otherwise(pl.col("label"))
        .cast(pl.Int8)
        .alias("label")
    )

    other, _ = train(frame)

    assert other.onnx.sha256 == trained.onnx.sha256


def test_the_same_seed_and_rows_give_the_same_bytes_in_another_process(make_loans, tmp_path):
    frame = tmp_path / "loans.parquet"
    make_loans(1200, seed=3).write_parquet(frame)

    one, other = (_trained_elsewhere(frame, tmp_path, *way) for way in ((0, 1), (4711, 3)))

    assert one == other
    assert [trained["kind"] for trained in one] == ["hgb", "mlp"]
    assert one[0]["onnx"] != one[1]["onnx"]


def _trained_elsewhere(frame, folder, hash_seed, threads):
    """Both kinds trained in a fresh process with its own hash seed and number of threads."""
    script = Path(__file__).with_name("train_once.py")
    done = subprocess.run(
        [sys.executable, str(script), str(frame), str(folder / f"run-{hash_seed}")],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": str(threads)},
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_column_without_a_value_among_the_train_rows_is_named(train, make_loans):
    frame = (
        make_loans(1500)
        .with_row_index()
        .with_columns(pl.when(pl.col("index") > 1200).then(pl.col("staff")).alias("staff"))
    )

    with pytest.raises(DegenerateColumnError, match="staff"):
        train(frame)


def test_older_rows_of_one_class_are_refused(train, make_loans):
    frame = (
        make_loans(1500)
        .with_row_index()
        .with_columns(
            pl.when(pl.col("index") < 905)  # the search learns from the older 900 of 1,200
            .then(0)
            .otherwise(pl.col("label"))
            .cast(pl.Int8)
            .alias("label")
        )
    )

    with pytest.raises(EmptyWindowError, match="older train rows"):
        train(frame)


def test_a_misspelt_hyper_parameter_is_found_before_any_training(train, use_case, store):
    use_case.candidates = (use_case.candidates[0].model_copy(update={"fixed": {"max_itre": 3}}),)

    with pytest.raises(ConfigError, match="max_itre"):
        train()

    newest = store.client.search_runs(
        [store.client.get_experiment_by_name("loans").experiment_id], max_results=1
    )
    assert newest[0].info.status == "FAILED"


def test_no_candidates_is_a_configuration_error(train, use_case):
    use_case.candidates = ()

    with pytest.raises(ConfigError, match="no candidates"):
        train()


def test_a_run_says_how_it_ended(store):
    def ended(error):
        with pytest.raises(type(error)), store.run("endings", "one") as run_id:
            raise error
        return store.client.get_run(run_id).info.status

    assert ended(ValueError("broken")) == "FAILED"
    assert ended(KeyboardInterrupt()) == "KILLED"


def test_two_trackers_write_into_two_stores_at_once(store, tmp_path):
    other = Tracker(f"sqlite:///{tmp_path}/other.db", str(tmp_path / "other"))

    with store.run("both", "here") as here, other.run("both", "there") as there:
        store.log(here, metrics={"x": 1.0})
        other.log(there, metrics={"x": 2.0})

    assert store.client.get_run(here).data.metrics == {"x": 1.0}
    assert other.client.get_run(there).data.metrics == {"x": 2.0}


def test_a_store_that_cannot_be_opened_is_a_storage_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no database")

    with pytest.raises(StorageError, match="cannot open"):
        _ = Tracker(f"sqlite:///{blocked}", str(tmp_path)).client
