"""Commits that are killed, race each other or hit a real limit of the operating system."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelway.data.increments import ingest_onto
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from usecases.iris import use_case

SLOW_COMMIT = """
import os, sys, time
from modelway.data import storage
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from usecases.iris import use_case

sync, calls = os.fsync, []
def slow(handle):
    calls.append(handle)
    if len(calls) == int(sys.argv[2]):
        print("in the middle", flush=True)
        time.sleep(600)
    sync(handle)
os.fsync = slow
ingest(use_case, None, FolderSnapshotStore(sys.argv[1]))
"""
SLOW_INCREMENT = """
import os, sys, time
from modelway.data.increments import ingest_onto
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from usecases.iris import use_case

class Some:
    def __getattr__(self, name):
        return getattr(use_case, name)
    def load(self, source):
        for frame in use_case.load(source):
            yield frame.slice(0, 120)

store = FolderSnapshotStore(sys.argv[1])
print(ingest(Some(), None, store).id, flush=True)
sync, calls = os.fsync, []
def slow(handle):
    calls.append(handle)
    if len(calls) == int(sys.argv[2]):
        print("in the middle", flush=True)
        time.sleep(600)
    sync(handle)
os.fsync = slow
ingest_onto(use_case, None, store)
"""
COMMIT = """
import sys
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from usecases.iris import use_case
sys.stdin.readline()
print(ingest(use_case, None, FolderSnapshotStore(sys.argv[1])).id)
"""
FILE_LIMIT = """
import resource, sys
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.errors import StorageError
from usecases.iris import use_case
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    ingest(use_case, None, FolderSnapshotStore(sys.argv[1]))
except StorageError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def _start(program: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "sync",
    [
        pytest.param(1, id="inside-the-rows"),
        pytest.param(2, id="between-files"),
        pytest.param(3, id="inside-the-manifest"),
    ],
)
def test_a_commit_killed_in_the_middle_is_no_snapshot_and_can_be_made_again(
    tmp_path: Path, sync: int
) -> None:
    process = _start(SLOW_COMMIT, str(tmp_path), str(sync))
    try:
        assert process.stdout.readline() == "in the middle\n", process.stderr.read()
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate(timeout=120)
    store = FolderSnapshotStore(str(tmp_path))
    assert store.list() == ()

    snapshot = ingest(use_case, None, store)

    assert store.verify(snapshot.id).passed
    assert store.list() == (snapshot,)


def test_what_a_killed_commit_left_is_gone_after_a_later_one(tmp_path: Path) -> None:
    process = _start(SLOW_COMMIT, str(tmp_path), "1")
    try:
        process.stdout.readline()
    finally:
        process.kill()
        process.communicate(timeout=120)
    (left,) = tmp_path.glob("objects/.*.tmp")
    long_ago = time.time() - 2 * 3_600
    os.utime(left, (long_ago, long_ago))

    ingest(use_case, None, FolderSnapshotStore(str(tmp_path)))

    assert not list(tmp_path.glob("*/.*"))


def test_two_commits_of_the_same_rows_at_once_are_one_snapshot(tmp_path: Path) -> None:
    processes = [_start(COMMIT, str(tmp_path)) for _ in range(2)]
    try:
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    store = FolderSnapshotStore(str(tmp_path))
    (snapshot,) = store.list()

    assert [answer[0].strip() for answer in answers] == [snapshot.id] * 2, answers
    assert store.verify(snapshot.id).passed
    assert not list(tmp_path.glob("*/.*"))


def test_a_limit_of_the_system_is_a_storage_error_and_leaves_nothing(tmp_path: Path) -> None:
    process = _start(FILE_LIMIT, str(tmp_path))
    output, errors = process.communicate(timeout=120)

    assert process.returncode == 3, errors
    assert "File too large" in output
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


@pytest.mark.parametrize(
    "sync", [pytest.param(1, id="inside-the-rows"), pytest.param(3, id="inside-the-manifest")]
)
def test_an_increment_killed_in_the_middle_leaves_its_parent_alone_and_can_be_made_again(
    tmp_path: Path, sync: int
) -> None:
    process = _start(SLOW_INCREMENT, str(tmp_path), str(sync))
    try:
        parent = process.stdout.readline().strip()
        assert process.stdout.readline() == "in the middle\n", process.stderr.read()
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate(timeout=120)
    store = FolderSnapshotStore(str(tmp_path))
    assert [snapshot.id for snapshot in store.list()] == [parent]

    child = ingest_onto(use_case, None, store)

    assert child.parents == (parent,)
    assert child.rows == ingest(use_case, None, store).rows
    assert store.verify(child.id).passed
