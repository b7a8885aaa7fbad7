"""What each address answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from serving.runtime.codecs import headers_of
from serving.runtime.control import INDEX, Control
from serving.runtime.exchange import Answer, Codec
from serving.runtime.exposition import Family, Source, exposition
from serving.runtime.job_routes import NO_JOBS, NO_JOBS_STATUS, JobDesk
from serving.runtime.metadata import model_metadata, server_metadata
from serving.runtime.problems import RequestError
from serving.runtime.reply import error_body, json_body
from serving.runtime.repository import Repository
from serving.runtime.served import Handler, Served
from serving.runtime.settings import Settings
from serving.runtime.transport import READS, Head, Respond
from serving.runtime.wishes import PURPOSES, marked, wishes_of

HEAVY_BODY_BYTES = 16 * 1024
"""A body above this is decoded and scored on a second thread, so that small requests and probes pass."""
_PLAIN = "text/plain; version=0.0.4; charset=utf-8"

GRPC = "grpc:"
"""Begins the address of a handler of messages: no HTTP client's path begins so."""

Get = Callable[[], Answer]


class App:
    """The models in service behind V2 and V1 REST."""

    def __init__(
        self,
        models: Sequence[Served],
        settings: Settings | None = None,
        repository: Repository | None = None,
    ) -> None:
        """Route to one model or more; the first one's revision names the answers that are no model's.

        Of several with one name, the first one answers where no version is named.
        """
        self.models = tuple(models)
        first, settings = self.models[0], settings or Settings()
        self.max_body_bytes = settings.limits.max_body_bytes
        self.heavy_body_bytes = HEAVY_BODY_BYTES
        self._first = first
        self._with_grpc = settings.grpc_port is not None
        self.sources: list[Source] = []
        """What else is counted: whatever stands before the models."""
        self._open, self._unloaded = False, frozenset[str]()
        self._jobs: JobDesk | None = None
        if settings.jobs is not None:
            self._jobs = JobDesk(settings.jobs, headers_of(first.revision), self._find)
            self.sources.append(self._jobs)
        self._logs = {served.log for served in models if served.log is not None}
        self._control = None if repository is None else Control(repository, first.revision)
        self._json_headers = headers_of(first.revision)
        self._text_headers = headers_of(first.revision, _PLAIN)
        self._second = ThreadPoolExecutor(1, thread_name_prefix="heavy")
        self._posts: Mapping[str, Handler] = {}
        self._gets: Mapping[str, Get] = {}
        self._route()
        if repository is not None:
            repository.join(self)

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: a model is there, every one is warm, the server is not draining."""
        return self._open and bool(self.models) and all(served.ready for served in self.models)

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._open = ready
        for served in self.models:
            served.ready = ready

    def readiness(self, name: str) -> bool | None:
        """Whether a model is welcome, or the server where `name` is empty; None where nobody knows it."""
        if not name:
            return self.ready
        found = [served.ready for served in self.models if served.name == name]
        return found[0] if found else False if name in self._unloaded else None

    def put(self, name: str, versions: Sequence[Served]) -> None:
        """From now on these answer to `name`, the first of them where no version is named."""
        for served in versions:
            served.ready = self._open
        self._logs |= {served.log for served in versions if served.log is not None}
        self._unloaded -= {name}
        self._replace(name, versions)

    def withdraw(self, name: str) -> None:
        """From now on nobody answers to `name`; what is under way is finished."""
        self._unloaded |= {name}
        self._replace(name, ())

    def _replace(self, name: str, versions: Sequence[Served]) -> None:
        retired = [served for served in self.models if served.name == name]
        self.models = (*(served for served in self.models if served.name != name), *versions)
        self._first = self.models[0] if self.models else self._first
        self._route()
        for served in retired:
            served.retire()

    def _route(self) -> None:
        """Let the addresses follow the models; a request sees the old ones or the new ones."""
        self._posts = dict(self._handlers())
        if self._jobs is not None:
            self._posts = self._jobs.taking(self._posts)
        self._gets = {**self._server_documents(), **dict(self._model_documents())}

    def close(self) -> None:
        """Finish what the second thread has, then the logs."""
        if self._control is not None:
            self._control.close()
        if self._jobs is not None:
            self._jobs.close()
        self._second.shutdown(wait=True)
        for served in self.models:
            served.close()
        for log in self._logs - {served.log for served in self.models}:
            log.close()

    def totals(self) -> Mapping[str, int]:
        """What the last log line says."""
        return {
            "log_rows_written": sum(log.written_rows for log in self._logs),
            "log_rows_dropped": sum(log.dropped_rows for log in self._logs),
        }

    def families(self) -> list[Family]:
        """Everything that is counted in this process."""
        return [family for source in (*self.models, *self.sources) for family in source.families()]

    def at_once(self, head: Head) -> Answer | None:
        """The answer that needs no body; None for a prediction."""
        path = head.path
        if path in self._posts:
            return None if head.method == "POST" else self._not_allowed("POST")
        get = self._gets.get(path)
        if get is None:
            return self._elsewhere(head)
        return get() if head.method in READS else self._not_allowed("GET, HEAD")

    def _elsewhere(self, head: Head) -> Answer | None:
        """Addresses that are no model's, and those of models that are not loaded."""
        path = head.path
        if self._control is not None and self._control.handler(path) is not None:
            return None if head.method == "POST" else self._not_allowed("POST")
        if self._jobs is not None and self._jobs.waits(path):
            return None
        if self._jobs is not None and (answer := self._jobs.at(head)) is not None:
            return answer
        if self._model_in(path) in self._unloaded:
            return self.refuse(503, f"{self._model_in(path)!r} is not loaded; it can be: see {INDEX}")
        return self.refuse(404, self._lost(path))

    def answer(self, head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
        """Score a request and respond: here when it is small, on the second thread when it is not."""
        handler = self._posts.get(head.path) or self._other(head.path)
        if head.query_string:
            handler = self._wished(head, handler)
        if len(body) > self.heavy_body_bytes:
            self._second.submit(handler, head, body, respond, start_ns)
        else:
            handler(head, body, respond, start_ns)

    def _wished(self, head: Head, handler: Handler) -> Handler:
        """What answers a request that says more than its address."""
        try:
            wishes = wishes_of(head.query_string)
        except RequestError as error:
            return _answering(self.refuse(error.status, str(error)))
        if wishes.later and self._jobs is None:
            return _answering(self.refuse(NO_JOBS_STATUS, NO_JOBS))
        return (
            handler if wishes.purpose is None else self._posts.get(marked(head.path, wishes.purpose), handler)
        )

    def refuse(self, status: int, message: str) -> Answer:
        """A client's error: counted, and said."""
        self._first.metrics.refused(status)
        return status, self._json_headers, error_body(message)

    def _find(self, path: str) -> Handler | None:
        """The handler of an address while its model is ready."""
        return self._posts.get(path) if self.ready else None

    def _other(self, path: str) -> Handler:
        """What answers where there is no model: the repository, or a refusal since the head was looked at."""
        if self._jobs is not None and self._jobs.waits(path):
            return self._jobs.handle
        handler = None if self._control is None else self._control.handler(path)
        return handler or _answering(self.refuse(503, "the model was unloaded meanwhile"))

    def _handlers(self) -> Iterator[tuple[str, Handler]]:
        for served, addresses in self._addressed():
            yield from _for_purposes(served, served.v2, [f"{address}/infer" for address in addresses])
            if len(addresses) > 1:
                yield from _for_purposes(served, served.v1, [f"/v1/models/{served.name}:predict"])
            if self._with_grpc:
                yield from _grpc_handlers(served, newest=len(addresses) > 1)

    def _addressed(self) -> Iterator[tuple[Served, Sequence[str]]]:
        """Every model and its V2 addresses; the first of a name has the one without a version too."""
        seen: set[str] = set()
        for served in self.models:
            model = f"/v2/models/{served.name}"
            versioned = f"{model}/versions/{served.revision}"
            yield served, [versioned] if served.name in seen else [model, versioned]
            seen.add(served.name)

    def _server_documents(self) -> Mapping[str, Get]:
        return {
            "/v2": lambda: self._json(server_metadata(with_repository=self._control is not None)),
            "/v2/health/live": lambda: self._json({"live": True}),
            "/v2/health/ready": lambda: self._json({"ready": self.ready}, 200 if self.ready else 503),
            "/metrics": self._metrics_text,
            "/openapi.json": self._openapi,
        }

    def _model_documents(self) -> Iterator[tuple[str, Get]]:
        for name in self._unloaded:
            not_ready = partial(self._json, {"name": name, "ready": False}, 503)
            yield from ((path, not_ready) for path in (f"/v1/models/{name}", f"/v2/models/{name}/ready"))
        for served, addresses in self._addressed():
            readiness = partial(self._readiness, served)
            if len(addresses) > 1:
                yield f"/v1/models/{served.name}", readiness
            for address in addresses:
                yield address, partial(self._metadata, served)
                yield f"{address}/ready", readiness

    def _json(self, document: Mapping[str, Any], status: int = 200) -> Answer:
        return status, self._json_headers, json_body(document)

    def _openapi(self) -> Answer:
        from serving.runtime.openapi import document  # noqa: PLC0415 - few servers are asked for it

        return self._json(
            document(
                self.models,
                with_repository=self._control is not None,
                with_jobs=self._jobs is not None,
            )
        )

    def _metadata(self, served: Served) -> Answer:
        versions = [other.revision for other in self.models if other.name == served.name]
        return self._json(model_metadata(served, versions))

    def _readiness(self, served: Served) -> Answer:
        return self._json({"name": served.name, "ready": served.ready}, 200 if served.ready else 503)

    def _not_allowed(self, allowed: str) -> Answer:
        status, headers, body = self.refuse(405, f"use {allowed}")
        return status, [*headers, ("allow", allowed)], body

    def _lost(self, path: str) -> str:
        if self._model_in(path):
            here = ", ".join(f"{served.name!r} version {served.revision!r}" for served in self.models)
            return f"no such model, version or verb: this server has {here or 'no model'}"
        return f"no such path; predictions are at /v2/models/{self._first.name}/infer"

    @staticmethod
    def _model_in(path: str) -> str:
        """The model that an address is about, or nothing."""
        for start in ("/v2/models/", "/v1/models/", GRPC):
            if path.startswith(start):
                return path.removeprefix(start).split("/")[0].split(":")[0]
        return ""

    def _metrics_text(self) -> Answer:
        return 200, self._text_headers, exposition(self.families())


def _answering(answer: Answer) -> Handler:
    """A handler that says one thing."""
    return lambda _head, _body, respond, _start_ns: respond(*answer)


def _for_purposes(served: Served, codec: Codec, paths: Sequence[str]) -> Iterator[tuple[str, Handler]]:
    """One protocol's handlers: that of users, and one for each purpose that the log tells from them."""
    users = served.handler(codec)
    yield from ((path, users) for path in paths)
    for purpose in PURPOSES:
        handler = served.handler(codec, purpose)
        yield from ((marked(path, purpose), handler) for path in paths)


def _grpc_handlers(served: Served, *, newest: bool) -> Iterator[tuple[str, Handler]]:
    from serving.runtime.grpc.codec import V2Grpc  # noqa: PLC0415 - protobuf is only imported for gRPC

    handler = served.handler(V2Grpc(served.bundle.signature, served.revision, served.columns))
    versions = [served.revision, ""] if newest else [served.revision]
    yield from ((f"{GRPC}{served.name}:{version}", handler) for version in versions)
