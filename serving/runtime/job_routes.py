"""Jobs over HTTP: how one is handed in, looked at, fetched and withdrawn."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec

from serving.runtime.exchange import Answer
from serving.runtime.exposition import Family
from serving.runtime.job_redis import RedisJobStore
from serving.runtime.job_store import JobsAwayError, JobStore, OtherRequestError, Outcome, QueueFullError
from serving.runtime.jobs import JobRunner
from serving.runtime.journal import journal
from serving.runtime.reply import error_body, json_body
from serving.runtime.served import Handler
from serving.runtime.settings import Jobs
from serving.runtime.transport import READS, Head, Headers, Respond
from serving.runtime.wishes import wishes_of

JOBS = "/v2/jobs/"
NO_JOBS_STATUS = 400
"""The client's error, not the server's: a judge of revisions is not to see a failing one in it."""
NO_JOBS = (
    "this server keeps no jobs, so that `?async` cannot be answered later; ask without it, or have "
    "`jobs: {file: PATH}` set in the server's --settings, or `jobs: {redis: {url: URL}}` for several machines"
)
IDEMPOTENCY_KEY = "idempotency-key"
_KEPT_HEADERS = (
    "content-type",
    "content-encoding",
    "inference-header-content-length",
    "x-request-timeout-ms",
)
"""What a handler may read of a request. No credentials: they are not to lie on the disk."""
_MAX_KEY_CHARS = 200
_RESULT = "/result"
_AWAY = (sqlite3.Error, JobsAwayError)


class JobDesk:
    """Takes jobs in and gives answers out."""

    def __init__(self, settings: Jobs, headers: Headers, find: Callable[[str], Handler | None]) -> None:
        """Open the store and start to work.

        Args:
            settings: Where jobs are kept, how many and how long.
            headers: Of every answer that is none of a model's.
            find: The handler of an address, None while no model answers there.

        Raises:
            StorageError: The file cannot be opened.
            ConfigError: The Redis cannot be used.
        """
        self._store, self._headers = _store(settings), headers
        self._runner = JobRunner(self._store, find)
        self._runner.start()
        self._intake = ThreadPoolExecutor(1, thread_name_prefix="job-intake")

    def families(self) -> Iterable[Family]:
        """How many jobs are in each state."""
        name, states = "modelway_jobs", {"queued": 0, "running": 0, "done": 0, "failed": 0}
        states |= self._store.counts()
        samples = [f'{name}{{state="{state}"}} {count}' for state, count in states.items()]
        yield Family(name, "gauge", "Asynchronous requests that are kept, by state.", samples)

    def taking(self, handlers: Mapping[str, Handler]) -> Mapping[str, Handler]:
        """Handlers that hand in the requests which ask for it; those that are not HTTP's as they are."""
        return {
            path: self._taking(path, handler) if path.startswith("/") else handler
            for path, handler in handlers.items()
        }

    def _taking(self, path: str, handler: Handler) -> Handler:
        def handle(head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
            if "async" in head.query_string and wishes_of(head.query_string).later:
                self._intake.submit(self._take, path, head, body, respond)
            else:
                handler(head, body, respond, start_ns)

        return handle

    def at(self, head: Head) -> Answer | None:
        """The answer to a request about a job; None when the address is no job's."""
        if not head.path.startswith(JOBS):
            return None
        try:
            return self._about(head.method, head.path.removeprefix(JOBS))
        except _AWAY as error:
            return self._broken(error)

    def waits(self, path: str) -> bool:
        """Whether an answer about a job comes over the network, so that `handle` is to fetch it."""
        return path.startswith(JOBS) and isinstance(self._store, RedisJobStore)

    def handle(self, head: Head, _body: bytes, respond: Respond, _start_ns: int) -> None:
        """Answer a request about a job, off the thread of the requests."""
        self._intake.submit(self._say, head, respond)

    def _say(self, head: Head, respond: Respond) -> None:
        try:
            answer = self.at(head) or self._unknown()
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            journal("jobs_failed", error=repr(error))
            answer = self._refused(500, "internal error")
        respond(*answer)

    def close(self) -> None:
        """Finish what runs, keep what waits."""
        self._intake.shutdown(wait=True)
        self._runner.close()
        self._store.close()

    def _take(self, path: str, head: Head, body: bytes, respond: Respond) -> None:
        """Off the thread of the requests: a job is on the disk before its id is given out."""
        try:
            answer = self._submitted(path, head, body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            journal("jobs_failed", error=repr(error))
            answer = self._refused(500, "internal error")
        respond(*answer)

    def _submitted(self, path: str, head: Head, body: bytes) -> Answer:
        key = head.headers.get(IDEMPOTENCY_KEY)
        if key is not None and not 0 < len(key) <= _MAX_KEY_CHARS:
            return self._refused(400, f"Idempotency-Key must have 1 to {_MAX_KEY_CHARS} characters")
        sent = {name: head.headers.get(name) for name in _KEPT_HEADERS}
        try:
            job_id = self._store.submit(path, {k: v for k, v in sent.items() if v is not None}, body, key)
        except QueueFullError:
            status, headers, said = self._refused(429, "too many jobs wait; ask again later")
            return status, [*headers, ("retry-after", "1")], said
        except OtherRequestError:
            return self._refused(422, "this Idempotency-Key was used for another request; choose a new one")
        except _AWAY as error:
            return self._broken(error)
        self._runner.wake()
        url = JOBS + job_id
        return 202, [*self._headers, ("location", url)], json_body({"id": job_id, "status_url": url})

    def _about(self, method: str, rest: str) -> Answer:
        job_id = rest.removesuffix(_RESULT)
        if method == "DELETE" and rest == job_id:
            return (204, self._headers, b"") if self._store.cancel(job_id) else self._unknown()
        if method not in READS:
            status, headers, body = self._refused(405, "use GET, or DELETE on the job itself")
            allowed = "GET, HEAD, DELETE" if rest == job_id else "GET, HEAD"
            return status, [*headers, ("allow", allowed)], body
        outcome = self._store.outcome(job_id)
        if outcome is None:
            return self._unknown()
        if rest == job_id:
            return 200, self._headers, msgspec.json.encode(_document(outcome))
        if outcome.status is None:
            return self._refused(409, f"the job is {outcome.state}; its result comes later")
        return outcome.status, outcome.headers, outcome.body

    def _unknown(self) -> Answer:
        return self._refused(404, "no such job: it was withdrawn, is no longer kept, or never was")

    def _broken(self, error: Exception) -> Answer:
        journal("jobs_failed", error=str(error))
        return self._refused(503, "jobs cannot be kept just now")

    def _refused(self, status: int, message: str) -> Answer:
        return status, self._headers, error_body(message)


def _store(settings: Jobs) -> JobStore | RedisJobStore:
    return JobStore(settings) if settings.redis is None else RedisJobStore(settings, settings.redis)


def _document(outcome: Outcome) -> dict[str, object]:
    document: dict[str, object] = {
        "id": outcome.id,
        "state": outcome.state,
        "created": _moment(outcome.created_s),
        "ended": None if outcome.ended_s is None else _moment(outcome.ended_s),
        "status": outcome.status,
    }
    if outcome.status is not None:
        document["result_url"] = f"{JOBS}{outcome.id}{_RESULT}"
        if ("content-type", "application/json") in outcome.headers:
            document["result" if outcome.state == "done" else "error"] = msgspec.Raw(outcome.body)
    return document


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")
