"""Jobs on the disk: what was asked, how far it is, what came of it. Several processes may share one file."""

import fcntl
import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from modelway.errors import StorageError
from serving.runtime.settings import Jobs
from serving.runtime.transport import Headers

State = Literal["queued", "running", "done", "failed"]

MAX_RUNS = 3
"""A job in which the server ended so often is not tried again: it may be what ends it."""
GIVEN_UP = b'{"error":"the server ended %d times while it ran this"}' % MAX_RUNS
"""The answer of such a job."""
_BUSY_S = 10.0
_TABLE = """CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, key TEXT UNIQUE, digest BLOB NOT NULL, path TEXT NOT NULL, headers TEXT NOT NULL,
    body BLOB NOT NULL, state TEXT NOT NULL, owner TEXT, runs INTEGER NOT NULL DEFAULT 0,
    created_s REAL NOT NULL, ended_s REAL, status INTEGER, answer_headers TEXT, answer BLOB)"""
_INDEX = "CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, created_s)"
_CLAIM = """UPDATE jobs SET state = 'running', owner = ?, runs = runs + 1 WHERE id =
    (SELECT id FROM jobs WHERE state = 'queued' AND path IN (%s) ORDER BY created_s LIMIT 1)
    RETURNING id, path, headers, body"""
_OUTCOME = """SELECT id, path, state, created_s, ended_s, status, answer_headers, answer FROM jobs
    WHERE id = ?"""


class Job(NamedTuple):
    """One to run."""

    id: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Outcome(NamedTuple):
    """How far one is, and what came of it."""

    id: str
    path: str
    state: State
    created_s: float
    """Unix time, as `ended_s`."""
    ended_s: float | None
    status: int | None
    headers: Headers
    body: bytes


class QueueFullError(Exception):
    """As many jobs wait as may."""


class OtherRequestError(Exception):
    """The client's idempotency key belongs to another request."""


class JobsAwayError(Exception):
    """Where jobs are kept does not answer."""


class JobStore:
    """One SQLite file. Every method may be called from any thread."""

    def __init__(self, settings: Jobs) -> None:
        """Open the file, and put back what processes that are gone were running.

        Raises:
            StorageError: It cannot be opened.
        """
        self._settings, self._path = settings, settings.file or Path()
        self._lock, self._read_lock = threading.Lock(), threading.Lock()
        self._owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._alive = _hold(self._mark(self._owner))
            self._db, self._read = _opened(self._path), _opened(self._path)
            self._put_back_orphans()
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"jobs cannot be kept in {self._path}: {error}",
                expected="a writable folder on a local disk",
                remedy="correct `jobs` in the settings",
            ) from error

    def submit(self, path: str, headers: Mapping[str, str], body: bytes, key: str | None) -> str:
        """Keep a request; it is on the disk when this returns.

        Args:
            path: Whom it asks.
            headers: What the handler may read of it.
            body: What it asks.
            key: The client's own name for it: the same request under the same key is the same job.

        Returns:
            The job's id.

        Raises:
            QueueFullError: Too many wait.
            OtherRequestError: The key was used for another request.
        """
        digest = hashlib.blake2b(f"{path}\n".encode() + body).digest()
        with self._lock, _transaction(self._db):
            known = None if key is None else self._one("SELECT id, digest FROM jobs WHERE key = ?", key)
            if known is not None:
                if known[1] != digest:
                    raise OtherRequestError
                return str(known[0])
            if self._one("SELECT count(*) FROM jobs WHERE state = 'queued'")[0] >= self._settings.max_queued:
                raise QueueFullError
            job_id = secrets.token_urlsafe(16)
            sent = msgspec.json.encode(headers).decode()
            self._db.execute(
                "INSERT INTO jobs (id, key, digest, path, headers, body, state, created_s) "
                "VALUES (?, ?, ?, ?, ?, ?, 'queued', ?)",
                (job_id, key, digest, path, sent, body, time.time()),
            )
        return job_id

    def outcome(self, job_id: str) -> Outcome | None:
        """How far a job is; None when there is none of that id."""
        with self._read_lock:  # a connection of its own: readers do not wait for a writer's disk
            row = self._read.execute(_OUTCOME, (job_id,)).fetchone()
        if row is None:
            return None
        headers = msgspec.json.decode(row[6] or "[]", type=list[tuple[str, str]])
        job, path, state, created_s, ended_s, status = row[:6]
        return Outcome(job, path, state, created_s, ended_s, status, headers, row[7] or b"")

    def cancel(self, job_id: str) -> bool:
        """Forget a job, whatever its state; one that runs is run to its end for nobody.

        Returns:
            Whether there was one.
        """
        with self._lock, _transaction(self._db):
            return bool(self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,)).rowcount)

    def claim(self, answers: Callable[[str], bool]) -> Job | None:
        """The oldest job that waits and that `answers` has an address for; it runs from now on."""
        with self._lock:
            paths = [
                path for (path,) in self._db.execute("SELECT DISTINCT path FROM jobs WHERE state = 'queued'")
            ]
            mine = [path for path in paths if answers(path)]
            if not mine:
                return None
            with _transaction(self._db):
                row = self._one(_CLAIM % ", ".join("?" * len(mine)), self._owner, *mine)
        return None if row is None else Job(row[0], row[1], msgspec.json.decode(row[2]), row[3])

    def finish(self, job_id: str, status: int, headers: Headers, body: bytes) -> None:
        """Keep an answer: below 400 the job is done, else it failed."""
        state = "done" if status < 400 else "failed"  # noqa: PLR2004 - where HTTP's errors begin
        with self._lock, _transaction(self._db):
            self._db.execute(
                "UPDATE jobs SET state = ?, status = ?, answer_headers = ?, answer = ?, ended_s = ?, "
                "body = x'' WHERE id = ? AND state = 'running'",
                (state, status, msgspec.json.encode(headers).decode(), body, time.time(), job_id),
            )

    def put_back(self, job_id: str) -> None:
        """Let it wait again, behind the others; this run does not count."""
        with self._lock, _transaction(self._db):
            self._db.execute(
                "UPDATE jobs SET state = 'queued', owner = NULL, runs = runs - 1 "
                "WHERE id = ? AND state = 'running'",
                (job_id,),
            )

    def sweep(self) -> None:
        """Forget jobs that ended longer ago than they are kept, and put back what nobody runs any more."""
        with self._lock:
            with _transaction(self._db):
                self._db.execute("DELETE FROM jobs WHERE ended_s < ?", (time.time() - self._settings.keep_s,))
            self._put_back_orphans()

    def counts(self) -> Mapping[str, int]:
        """How many jobs are in each state."""
        with self._read_lock:
            return dict(self._read.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())

    def close(self) -> None:
        """Close the file; what waits stays."""
        with self._lock, self._read_lock:
            self._db.close()
            self._read.close()
        self._mark(self._owner).unlink(missing_ok=True)
        os.close(self._alive)

    def _one(self, statement: str, *values: Any) -> Any:
        return self._db.execute(statement, values).fetchone()

    def _mark(self, owner: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{owner}.alive")

    def _put_back_orphans(self) -> None:
        owners = self._db.execute("SELECT DISTINCT owner FROM jobs WHERE state = 'running'").fetchall()
        for (owner,) in owners:
            if owner != self._owner and _is_gone(self._mark(owner)):
                self._disown(owner)

    def _disown(self, owner: str) -> None:
        with _transaction(self._db):
            self._db.execute(
                "UPDATE jobs SET state = 'failed', status = 500, answer = ?, ended_s = ?, "
                """answer_headers = '[["content-type","application/json"]]' """
                "WHERE state = 'running' AND owner = ? AND runs >= ?",
                (GIVEN_UP, time.time(), owner, MAX_RUNS),
            )
            self._db.execute(
                "UPDATE jobs SET state = 'queued', owner = NULL WHERE state = 'running' AND owner = ?",
                (owner,),
            )
        self._mark(owner).unlink(missing_ok=True)


class _transaction:  # noqa: N801 - reads like the statement it is
    """BEGIN IMMEDIATE … COMMIT: what another process writes meanwhile is waited for, not overwritten."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_rest: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")  # who was told an id finds the job after a power cut
    db.execute(_TABLE)
    db.execute(_INDEX)
    return db


def _hold(mark: Path) -> int:
    """Lock a file for as long as this process lives: the kernel lets go of it however the process ends."""
    handle = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _is_gone(mark: Path) -> bool:
    try:
        handle = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(handle)
