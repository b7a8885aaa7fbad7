"""Jobs on the disk, across processes that end."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelway.errors import StorageError
from serving.runtime.job_store import MAX_RUNS, JobStore, OtherRequestError, QueueFullError
from serving.runtime.jobs import JobRunner
from serving.runtime.settings import Jobs

DIES_WHILE_IT_RUNS = """
import os, sys
from pathlib import Path
from serving.runtime.job_store import JobStore
from serving.runtime.settings import Jobs
store = JobStore(Jobs(file=Path(sys.argv[1])))
print(store.claim(lambda path: True).id, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Jobs:
    return Jobs(file=tmp_path / "jobs.db", max_queued=2)


def everywhere(_path: str) -> bool:
    return True


def test_the_oldest_job_comes_first_and_only_where_its_model_is(settings: Jobs) -> None:
    store = JobStore(settings)
    first, second = store.submit("/a", {"content-type": "x"}, b"1", None), store.submit("/b", {}, b"2", None)

    other = store.claim(lambda path: path == "/b")
    job = store.claim(everywhere)

    assert other is not None
    assert job is not None
    assert (other.id, job) == (second, (first, "/a", {"content-type": "x"}, b"1"))
    assert store.claim(everywhere) is None
    assert store.counts() == {"running": 2}


def test_what_runs_makes_room_for_what_waits(settings: Jobs) -> None:
    store = JobStore(settings)
    for body in (b"1", b"2"):
        store.submit("/a", {}, body, None)
    with pytest.raises(QueueFullError):
        store.submit("/a", {}, b"3", None)

    store.claim(everywhere)

    assert store.submit("/a", {}, b"3", None)


def test_a_key_names_one_request(settings: Jobs) -> None:
    store = JobStore(settings)
    job = store.submit("/a", {}, b"1", "k")

    assert store.submit("/a", {}, b"1", "k") == job
    for path, body in (("/a", b"2"), ("/b", b"1")):
        with pytest.raises(OtherRequestError):
            store.submit(path, {}, body, "k")


def test_an_answer_can_be_read_and_its_request_is_forgotten(settings: Jobs) -> None:
    store = JobStore(settings)
    job = store.submit("/a", {}, b"secret", None)
    store.claim(everywhere)
    store.finish(job, 200, [("content-type", "x")], b"answer")

    outcome = store.outcome(job)

    assert outcome is not None
    assert (outcome.state, outcome.status, outcome.headers, outcome.body) == (
        "done",
        200,
        [("content-type", "x")],
        b"answer",
    )
    with sqlite3.connect(settings.file) as db:
        assert db.execute("SELECT body FROM jobs").fetchone() == (b"",)
    db.close()
    store.close()
    assert [path.name for path in settings.file.parent.glob("*.alive")] == []


def test_a_job_that_waits_again_is_run_again(settings: Jobs) -> None:
    store = JobStore(settings)
    job = store.submit("/a", {}, b"1", None)
    for _ in range(MAX_RUNS + 2):  # a busy server is not the job's fault
        claimed = store.claim(everywhere)
        assert claimed is not None
        store.put_back(claimed.id)

    outcome = store.outcome(job)
    assert outcome is not None
    assert outcome.state == "queued"


def test_a_job_that_ends_the_server_each_time_is_given_up(settings: Jobs) -> None:
    job = JobStore(settings).submit("/a", {}, b"1", None)
    for _ in range(MAX_RUNS):
        died = subprocess.run(
            [sys.executable, "-c", DIES_WHILE_IT_RUNS, str(settings.file)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        assert (died.returncode, died.stdout.strip()) == (-9, job)

    outcome = JobStore(settings).outcome(job)

    assert outcome is not None
    assert (outcome.state, outcome.status) == ("failed", 500)
    assert b"ended 3 times" in outcome.body


def test_a_job_of_a_living_process_is_left_to_it(settings: Jobs) -> None:
    living = JobStore(settings)
    job = living.submit("/a", {}, b"1", None)
    living.claim(everywhere)

    other = JobStore(settings)
    other.sweep()

    outcome = other.outcome(job)
    assert outcome is not None
    assert outcome.state == "running"
    assert other.claim(everywhere) is None


def test_old_answers_go_and_younger_ones_stay(tmp_path: Path) -> None:
    store = JobStore(Jobs(file=tmp_path / "jobs.db", keep_s=0.05))
    job = store.submit("/a", {}, b"1", None)
    store.claim(everywhere)
    store.finish(job, 200, [], b"")
    time.sleep(0.06)
    young = store.submit("/a", {}, b"2", None)

    store.sweep()

    assert (store.outcome(job), store.outcome(young) is not None) == (None, True)


def test_a_place_where_nothing_can_be_kept_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="jobs"):
        JobStore(Jobs(file=tmp_path / "file" / "jobs.db"))


def test_a_job_that_breaks_says_so_in_json(settings: Jobs) -> None:
    def breaks(*_: object) -> None:
        raise ValueError("a fault of ours")

    store = JobStore(settings)
    job_id, runner = store.submit("/a", {}, b"1", None), JobRunner(store, lambda _path: breaks)
    runner.start()
    while (outcome := store.outcome(job_id)) is not None and outcome.status is None:
        time.sleep(0.01)
    runner.close()
    store.close()

    assert outcome is not None
    assert (outcome.state, outcome.status, outcome.body) == ("failed", 500, b'{"error":"internal error"}')
    assert outcome.headers == [("content-type", "application/json")], "a job's document shows only JSON"
