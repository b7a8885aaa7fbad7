"""Studies that several processes share, one of which is killed for real."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from join_study import NAME, TRIALS, searched, tracker_in
from train_once import FakeTracker

from modelway.errors import ConfigError, SnapshotCorruptError
from modelway.training import search
from modelway.training.splits import split_by_time

LIMIT_S = 240


@pytest.fixture(scope="module")
def loans(tmp_path_factory):
    """Rows on disk and their splits."""
    import importlib.util  # noqa: PLC0415 - the loans are of another folder's conftest

    source = Path(__file__).parents[2] / "unit" / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("training_loans", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("loans")
    frame = module.loans(500, seed=3)
    frame.write_parquet(folder / "loans.parquet")
    return folder / "loans.parquet", split_by_time(frame, str(folder / "frames"))


@pytest.fixture(scope="module")
def alone(loans, tmp_path_factory):
    """What one process finds that nobody disturbs."""
    return searched(loans[1], tmp_path_factory.mktemp("alone"), study=None, tracker=FakeTracker())


def found(trained):
    """All that must not depend on who searched; clocks and run ids left out."""
    clocks = {"run_id", "fit_seconds"}
    trials = [trial.model_dump(exclude=clocks) for trial in trained.trials]
    return trials, trained.reason, trained.onnx.sha256, dict(trained.params)


def stalled(loans, folder, kind, slot, **environment):
    """Another process in the middle of one trial."""
    script = Path(__file__).with_name("join_study.py")
    words = [sys.executable, str(script), str(loans[0]), str(folder), kind, str(slot)]
    child = subprocess.Popen(
        words, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, env={**os.environ, **environment}
    )
    _until(lambda: (folder / "standing").exists() or child.poll() is not None)
    assert child.poll() is None, child.stderr.read().decode()[-2000:]
    return child


def _until(happened):
    deadline = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill(child):
    child.kill()
    child.wait()
    child.stderr.close()


def finished(folder):
    journals = (folder / "studies" / NAME).glob("*.journal")
    return sum(line.count('"user_attrs"') for path in journals for line in path.read_text().splitlines())


def counting(monkeypatch):
    """Count the fits of this process."""
    fits, attempt = [], search.attempt
    monkeypatch.setattr(search, "attempt", lambda *all_: fits.append(1) or attempt(*all_))
    return fits


def test_a_killed_search_goes_on_from_its_finished_trials(loans, alone, tmp_path, monkeypatch):
    kill(stalled(loans, tmp_path, "hgb", 3, WITH_MLFLOW="1"))
    assert finished(tmp_path) == 3
    fits, tracker = counting(monkeypatch), tracker_in(tmp_path)

    trained = searched(loans[1], tmp_path, study=NAME, tracker=tracker)

    assert found(trained) == found(alone)
    assert len(fits) == 2 * TRIALS - 3
    runs = tracker.client.search_runs([tracker.client.get_experiment_by_name("loans").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_id for run in parents] == [trained.run_id]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == trained.run_id]
    ended = sorted((run.info.run_name, run.info.status) for run in nested)
    names = [f"{kind}-{n}" for kind in ("hgb", "mlp") for n in range(TRIALS)]
    assert ended == sorted([("hgb-3", "KILLED"), *((name, "FINISHED") for name in names)])
    states = {run.info.run_id: run.data.tags.get("modelway.trial_state") for run in nested}
    assert {trial.run_id: trial.state for trial in trained.trials}.items() <= states.items()

    again = searched(loans[1], tmp_path, study=NAME, tracker=tracker)

    assert found(again) == found(alone)
    assert len(fits) == 2 * TRIALS - 3, "a finished study is not searched again"


def test_who_joins_works_around_the_other_and_takes_over_when_it_is_killed(
    loans, alone, tmp_path, monkeypatch
):
    child = stalled(loans, tmp_path, "hgb", 2)
    fits, results = counting(monkeypatch), []
    joined = threading.Thread(
        target=lambda: results.append(searched(loans[1], tmp_path, study=NAME, tracker=FakeTracker()))
    )
    joined.start()
    try:
        _until(lambda: finished(tmp_path) == 2 * TRIALS - 1)
        assert not results, "the trial that the other holds is waited for"
    finally:
        kill(child)
    joined.join(LIMIT_S)

    assert [found(trained) for trained in results] == [found(alone)]
    assert len(fits) == 2 * TRIALS - 2


def test_some_trials_are_given_up_and_have_no_score(alone):
    pruned = [trial for trial in alone.trials if trial.state == "pruned"]

    assert {trial.kind for trial in pruned} == {"mlp"}, "trees report their losses when they are done"
    assert all(not trial.metrics and not trial.costs for trial in pruned)


def test_a_half_written_line_and_an_altered_file(loans, alone, tmp_path, monkeypatch):
    searched(loans[1], tmp_path, study=NAME, tracker=FakeTracker())
    folder = tmp_path / "studies" / NAME
    journal = folder / "0-hgb.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])
    fits = counting(monkeypatch)

    trained = searched(loans[1], tmp_path, study=NAME, tracker=FakeTracker())

    assert found(trained) == found(alone)
    assert len(fits) == 1
    altered = next((folder / "files").glob("*.npy"))
    altered.write_bytes(altered.read_bytes()[:-8] + b"otherwis")
    with pytest.raises(SnapshotCorruptError, match="was altered"):
        searched(loans[1], tmp_path, study=NAME, tracker=FakeTracker())


def test_another_question_may_not_join(loans, tmp_path):
    study = tmp_path / "studies" / NAME
    study.mkdir(parents=True)
    (study / "study.json").write_text(json.dumps({"identity": "of other rows"}))

    with pytest.raises(ConfigError, match="begun with other rows"):
        searched(loans[1], tmp_path, study=NAME, tracker=FakeTracker())


@pytest.mark.parametrize("name", ["../elsewhere", "", ".hidden", "a/b"])
def test_a_study_is_named_like_a_folder(loans, tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be named"):
        searched(loans[1], tmp_path, study=name, tracker=FakeTracker())
