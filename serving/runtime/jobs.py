"""Requests that are answered later: kept in SQLite, run beside the others, fetched when done.

POST …/infer?async ──▶ queued ──▶ running ──▶ done | failed        DELETE: cancelled
A job runs through the same handler as a request that waits, so its answer is the same, byte for byte.
"""

import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue

from serving.runtime.job_redis import RedisJobStore
from serving.runtime.job_store import Job, JobStore
from serving.runtime.journal import journal
from serving.runtime.served import Handler
from serving.runtime.transport import INTERNAL_ERROR, Headers

_POLL_S = 0.2
_RUN_LIMIT_S = 300.0
_SWEEP_EVERY_S = 10.0
_BUSY = frozenset({429, 503})
"""The server had no room for it just now: a job waits, where a client would have to."""
_BUSY_PAUSE_S = 0.5
_JSON: Headers = [("content-type", "application/json")]


class JobHead:
    """A request's head as it was when the job came, without its credentials."""

    def __init__(self, path: str, headers: Mapping[str, str]) -> None:
        """Keep what the job remembers."""
        self.method, self.path, self.query_string, self.client = "POST", path, "", ""
        self.headers = headers


class JobRunner:
    """The thread that runs jobs."""

    def __init__(self, store: JobStore | RedisJobStore, find: Callable[[str], Handler | None]) -> None:
        """Prepare; `start` begins.

        Args:
            store: Where they are kept.
            find: The handler of an address now; None while no model answers there.
        """
        self._store, self._find = store, find
        self._stop, self._wake = threading.Event(), threading.Event()
        self._swept_at_s = 0.0
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """There is work."""
        self._wake.set()

    def close(self, wait_s: float = 30.0) -> None:
        """Finish the job that runs; what waits is kept for the next start."""
        self._stop.set()
        self._wake.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._sweep()
                job = self._store.claim(self._answers)
            except Exception as error:  # noqa: BLE001 - a full disk must not end the thread
                journal("jobs_failed", error=str(error))
                job = None
            if job is None:
                self._wake.wait(_POLL_S)
                self._wake.clear()
            else:
                self._perform(job)

    def _answers(self, path: str) -> bool:
        return self._find(path) is not None

    def _sweep(self) -> None:
        now_s = time.monotonic()
        if now_s - self._swept_at_s >= _SWEEP_EVERY_S:
            self._swept_at_s = now_s
            self._store.sweep()

    def _perform(self, job: Job) -> None:
        try:
            status, headers, body = self._answer(job)
        except Empty:
            status, headers, body = 500, _JSON, b'{"error":"the job was not answered in time"}'
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must end
            journal("job_failed", id=job.id, error=repr(error))
            status, headers, body = INTERNAL_ERROR
        try:
            if status in _BUSY:
                self._store.put_back(job.id)
                self._stop.wait(_BUSY_PAUSE_S)
            else:
                self._store.finish(job.id, status, headers, body)
        except Exception as error:  # noqa: BLE001 - as in `_run`; it runs again after a restart
            journal("jobs_failed", id=job.id, error=str(error))

    def _answer(self, job: Job) -> tuple[int, Headers, bytes]:
        """Run it as a request, and wait for whichever thread answers."""
        handler = self._find(job.path)
        if handler is None:
            return 503, [], b""
        answers: SimpleQueue[tuple[int, Headers, bytes]] = SimpleQueue()
        head = JobHead(job.path, job.headers)
        handler(head, job.body, lambda *answer: answers.put(answer), time.perf_counter_ns())
        return answers.get(timeout=_RUN_LIMIT_S)
