"""What each address answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from modelway import __version__
from serving.runtime.codecs import headers_of
from serving.runtime.exchange import Answer
from serving.runtime.exposition import exposition
from serving.runtime.metadata import model_metadata
from serving.runtime.reply import error_body, json_body
from serving.runtime.served import Handler, Served
from serving.runtime.settings import Settings
from serving.runtime.transport import Head, Respond

HEAVY_BODY_BYTES = 16 * 1024
"""A body above this is decoded and scored on a second thread, so that small requests and probes pass."""
_PLAIN = "text/plain; version=0.0.4; charset=utf-8"

Get = Callable[[], Answer]


class App:
    """The models in service behind V2 and V1 REST."""

    def __init__(self, models: Sequence[Served], settings: Settings | None = None) -> None:
        """Route to one model or more; the first one's revision names the answers that are no model's."""
        self.models = tuple(models)
        first, settings = self.models[0], settings or Settings()
        self.max_body_bytes = settings.limits.max_body_bytes
        self.heavy_body_bytes = 0 if any(served.slow for served in models) else HEAVY_BODY_BYTES
        self._first = first
        self._json_headers = headers_of(first.revision)
        self._text_headers = headers_of(first.revision, _PLAIN)
        self._second = ThreadPoolExecutor(1, thread_name_prefix="heavy")
        self._posts: Mapping[str, Handler] = dict(self._handlers())
        self._gets: Mapping[str, Get] = {**self._server_documents(), **dict(self._model_documents())}

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: every model is warm and none is draining."""
        return all(served.ready for served in self.models)

    @ready.setter
    def ready(self, ready: bool) -> None:
        for served in self.models:
            served.ready = ready

    def close(self) -> None:
        """Finish what the second thread has, then the logs."""
        self._second.shutdown(wait=True)
        for served in self.models:
            served.close()

    def totals(self) -> Mapping[str, int]:
        """What the last log line says."""
        logs = [served.log for served in self.models if served.log is not None]
        return {
            "log_rows_written": sum(log.written_rows for log in logs),
            "log_rows_dropped": sum(log.dropped_rows for log in logs),
        }

    def at_once(self, head: Head) -> Answer | None:
        """The answer that needs no body; None for a prediction."""
        path = head.path
        if path in self._posts:
            return None if head.method == "POST" else self._not_allowed("POST")
        get = self._gets.get(path)
        if get is None:
            return self.refuse(404, self._lost(path))
        return get() if head.method == "GET" else self._not_allowed("GET")

    def answer(self, head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
        """Score a request and respond: here when it is small, on the second thread when it is not."""
        handler = self._posts[head.path]
        if len(body) > self.heavy_body_bytes:
            self._second.submit(handler, head, body, respond, start_ns)
        else:
            handler(head, body, respond, start_ns)

    def refuse(self, status: int, message: str) -> Answer:
        """A client's error: counted, and said."""
        self._first.metrics.refused(status)
        return status, self._json_headers, error_body(message)

    def _handlers(self) -> Iterator[tuple[str, Handler]]:
        for served in self.models:
            for address in _v2_addresses(served):
                yield f"{address}/infer", served.handler(served.v2)
            yield f"/v1/models/{served.name}:predict", served.handler(served.v1)

    def _server_documents(self) -> Mapping[str, Get]:
        return {
            "/v2": lambda: self._json({"name": "modelway", "version": __version__, "extensions": []}),
            "/v2/health/live": lambda: self._json({"live": True}),
            "/v2/health/ready": lambda: self._json({"ready": self.ready}, 200 if self.ready else 503),
            "/metrics": self._metrics_text,
        }

    def _model_documents(self) -> Iterator[tuple[str, Get]]:
        for served in self.models:
            readiness = partial(self._readiness, served)
            yield f"/v1/models/{served.name}", readiness
            for address in _v2_addresses(served):
                yield address, partial(self._metadata, served)
                yield f"{address}/ready", readiness

    def _json(self, document: Mapping[str, Any], status: int = 200) -> Answer:
        return status, self._json_headers, json_body(document)

    def _metadata(self, served: Served) -> Answer:
        return self._json(model_metadata(served))

    def _readiness(self, served: Served) -> Answer:
        return self._json({"name": served.name, "ready": served.ready}, 200 if served.ready else 503)

    def _not_allowed(self, allowed: str) -> Answer:
        status, headers, body = self.refuse(405, f"use {allowed}")
        return status, [*headers, ("allow", allowed)], body

    def _lost(self, path: str) -> str:
        name, revision = self._first.name, self._first.revision
        if path.startswith(("/v1/models/", "/v2/models/")):
            return f"no such model, version or verb: this server has {name!r}, version {revision!r}"
        return f"no such path; predictions are at /v2/models/{name}/infer"

    def _metrics_text(self) -> Answer:
        families = [family for served in self.models for family in served.families()]
        return 200, self._text_headers, exposition(families)


def _v2_addresses(served: Served) -> tuple[str, str]:
    model = f"/v2/models/{served.name}"
    return model, f"{model}/versions/{served.revision}"
