"""Jobs in a Redis of the network: any server that shares it runs them, and any answers for them."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from modelway.errors import ConfigError
from serving.runtime import job_scripts as scripts
from serving.runtime.job_store import (
    GIVEN_UP,
    MAX_RUNS,
    Job,
    JobsAwayError,
    OtherRequestError,
    Outcome,
    QueueFullError,
)
from serving.runtime.online_redis import Watch
from serving.runtime.redis_server import RedisServer, redis_client
from serving.runtime.settings import Jobs
from serving.runtime.transport import Headers

_CONNECTIONS = 4
_BEAT_EVERY_S = 5.0
ALIVE_S = 60.0
"""A server that was not heard of for so long is gone, and what it ran is run elsewhere."""
_FIELDS = ("path", "state", "created", "ended", "status", "answer_headers", "answer")
_STATES = {"queued": "waiting", "running": "running", "done": "done", "failed": "failed"}


class RedisJobStore:
    """One Redis that keeps what it is given. Every method may be called from any thread."""

    def __init__(self, settings: Jobs, server: RedisServer) -> None:
        """Look whether it is there and keeps jobs; one that is away is no error here.

        Raises:
            ConfigError: The address cannot be used, or that Redis may lose what it was given.
        """
        from redis import RedisError  # noqa: PLC0415 - only where asked for; `redis_client` says if it is not there

        self._client, self._error, self._settings = redis_client(server, _CONNECTIONS), RedisError, settings
        self._prefix, self._keep_ms = settings.prefix, round(settings.keep_s * 1000)
        self._owner = f"{os.getpid()}-{secrets.token_hex(12)}"
        self._held: set[str] = set()
        self._counts: Mapping[str, int] = {}
        self._scripts: dict[str, Any] = {}
        self._lossy: str | None = None
        self._watch = Watch(self._beat, _BEAT_EVERY_S, "jobs_store")
        if self._lossy is not None:
            raise ConfigError(
                f"the Redis of `jobs` may lose them: {self._lossy}",
                expected="`appendonly yes`, and `maxmemory-policy noeviction`",
                remedy="set them there, or name another Redis",
            )
        self._watch.start()

    def submit(self, path: str, headers: Mapping[str, str], body: bytes, key: str | None) -> str:
        """As `JobStore.submit`; Redis has it when this returns, and on its disk as its `appendfsync` says.

        Raises:
            QueueFullError: Too many wait.
            OtherRequestError: The key was used for another request.
            JobsAwayError: Redis does not answer.
        """
        digest = hashlib.blake2b(f"{path}\n".encode() + body).digest()
        sent, most = msgspec.json.encode(headers), self._settings.max_queued
        said = self._do(scripts.SUBMIT, secrets.token_urlsafe(16), key or "", digest, path, sent, body, most)
        if said[0] == b"full":
            raise QueueFullError
        if said[0] == b"other":
            raise OtherRequestError
        return str(said[1].decode())

    def outcome(self, job_id: str) -> Outcome | None:
        """As `JobStore.outcome`.

        Raises:
            JobsAwayError: Redis does not answer.
        """
        with self._answering():
            found: Any = self._client.hmget(f"{self._prefix}job:{job_id}", _FIELDS)
        if found[0] is None:
            return None
        path, state, created, ended, status, headers, answer = found
        return Outcome(
            job_id,
            path.decode(),
            state.decode(),
            float(created),
            None if ended is None else float(ended),
            None if status is None else int(status),
            msgspec.json.decode(headers or b"[]", type=list[tuple[str, str]]),
            answer or b"",
        )

    def cancel(self, job_id: str) -> bool:
        """As `JobStore.cancel`.

        Raises:
            JobsAwayError: Redis does not answer.
        """
        return bool(self._do(scripts.CANCEL, job_id))

    def claim(self, answers: Callable[[str], bool]) -> Job | None:
        """As `JobStore.claim`; None too while Redis counts as away.

        Raises:
            JobsAwayError: Redis does not answer.
        """
        if not self._watch.reached:
            return None
        mine = [path for path in self._paths() if answers(path)]
        held = json.dumps(dict.fromkeys(self._held, True))
        found = self._do(scripts.CLAIM, self._owner, round(ALIVE_S * 1000), held, json.dumps(mine))
        if found is None:
            return None
        job = Job(found[0].decode(), found[1].decode(), msgspec.json.decode(found[2]), found[3])
        self._held.add(job.id)
        return job

    def finish(self, job_id: str, status: int, headers: Headers, body: bytes) -> None:
        """As `JobStore.finish`; nothing where the job was taken from this server meanwhile.

        Raises:
            JobsAwayError: Redis does not answer: the job is run again.
        """
        state = "done" if status < 400 else "failed"  # noqa: PLR2004 - where HTTP's errors begin
        self._held.discard(job_id)
        sent = msgspec.json.encode(headers)
        self._do(scripts.FINISH, job_id, self._owner, state, status, sent, body, self._keep_ms)

    def put_back(self, job_id: str) -> None:
        """As `JobStore.put_back`.

        Raises:
            JobsAwayError: Redis does not answer: the job is run again.
        """
        self._held.discard(job_id)
        self._do(scripts.PUT_BACK, job_id, self._owner)

    def sweep(self) -> None:
        """As `JobStore.sweep`.

        Raises:
            JobsAwayError: Redis does not answer.
        """
        if self._watch.reached:
            self._do(scripts.SWEEP, self._keep_ms, MAX_RUNS, GIVEN_UP)

    def counts(self) -> Mapping[str, int]:
        """As `JobStore.counts`, of the last look for work: nobody who asks for figures waits for Redis."""
        return self._counts

    def close(self) -> None:
        """Be gone: what this server still ran may be run elsewhere at once."""
        self._watch.close()
        try:
            self._client.delete(f"{self._prefix}alive:{self._owner}")
        except self._error:
            return  # it is gone for the others once `ALIVE_S` is over
        finally:
            self._client.connection_pool.disconnect()

    def _paths(self) -> list[str]:
        """Addresses for which jobs wait; counts on the way."""
        look = self._client.pipeline(transaction=False)
        look.smembers(f"{self._prefix}paths")
        for kind in _STATES.values():
            (look.hlen if kind == "running" else look.zcard)(self._prefix + kind)
        with self._answering():
            paths, *counts = look.execute()
        self._counts = dict(zip(_STATES, counts, strict=True))
        return [path.decode() for path in paths]

    def _do(self, script: str, *values: Any) -> Any:
        """Run a script with the prefix and these values."""
        known = self._scripts.get(script) or self._scripts.setdefault(
            script, self._client.register_script(script)
        )
        with self._answering():
            return known(args=[self._prefix, *values])

    @contextmanager
    def _answering(self) -> Iterator[None]:
        if not self._watch.reached:
            raise JobsAwayError(self._lossy or "the Redis of the jobs does not answer")
        try:
            yield
        except self._error as error:
            raise JobsAwayError(f"{type(error).__name__}: {error}") from error

    def _beat(self) -> str | None:
        """Say that this server lives, and look whether jobs are safe there; what is wrong, or None."""
        try:
            self._client.set(f"{self._prefix}alive:{self._owner}", 1, px=round(ALIVE_S * 1000))
            self._lossy = _lossy({**self._client.info("persistence"), **self._client.info("memory")})
        except (self._error, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return self._lossy


def _lossy(told: Mapping[str, Any]) -> str | None:
    """Why a Redis may lose what it was given, by its own `INFO`; None where it does not."""
    if not told.get("aof_enabled"):
        return "it keeps no log on its disk (`appendonly no`)"
    policy = told.get("maxmemory_policy", "noeviction")
    return None if policy == "noeviction" else f"it drops keys when it is full (`maxmemory-policy {policy}`)"
