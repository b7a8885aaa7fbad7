"""What each method does: ModelInfer scores, the others say what the REST addresses say in JSON."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from serving.runtime.app import App
from serving.runtime.grpc.calls import CallHead, infer_path
from serving.runtime.grpc.messages import message
from serving.runtime.grpc.parts import check_parts
from serving.runtime.grpc.streams import Stream
from serving.runtime.grpc.watching import Watcher
from serving.runtime.journal import journal
from serving.runtime.problems import RequestError
from serving.runtime.reply import error_body
from serving.runtime.repository import REVISION
from serving.runtime.transport import INTERNAL_ERROR, Door, Headers, Respond

_SERVICE, _HEALTH = "/inference.GRPCInferenceService/", "/grpc.health.v1.Health/"
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3
_OF_THE_SERVER = frozenset({"", "inference.GRPCInferenceService"})

Verb = Callable[[Stream, bytes, Respond, int], None]
"""Whose call it is, the message's bytes, how to answer, when its head came."""
Asks = Callable[[Any], tuple[str, str, bytes]]
"""From a message: method, path and body of the REST request that asks the same."""
Says = Callable[[Any, int, Any], Any]
"""From the request, the status and the JSON of the REST answer: a message's fields, or None for an error."""


class Service:
    """The methods of one server."""

    def __init__(self, app: App, door: Door | None = None) -> None:
        """Answer for `app`; `door` is what stands before it for HTTP too."""
        self._app, self._door = app, door
        self.max_body_bytes, self.refuse = app.max_body_bytes, app.refuse
        self._request = message("ModelInferRequest")
        self._health_request, self._health_answer = (
            message("HealthCheckRequest"),
            message("HealthCheckResponse"),
        )
        self._verbs: Mapping[bytes, Verb] = {
            f"{_SERVICE}ModelInfer".encode(): self._infer,
            f"{_HEALTH}Watch".encode(): self._watch,
            **{path.encode(): self._rest(*parts) for path, parts in _METHODS.items()},
        }

    def verb(self, method: bytes) -> Verb | None:
        """What a method does; None where there is no such method."""
        return self._verbs.get(method)

    def _infer(self, caller: Stream, body: bytes, respond: Respond, start_ns: int) -> None:
        try:
            check_parts(body)
            request = self._request.FromString(body)
        except (DecodeError, RequestError) as error:
            respond(400, [], error_body(f"the message is no ModelInferRequest: {error}"))
            return
        path = infer_path(request.model_name, request.model_version)
        self._ask(CallHead("POST", path, caller, request), body, respond, start_ns)

    def _ask(self, head: CallHead, body: bytes, respond: Respond, start_ns: int) -> None:
        """Go the way of an HTTP request."""
        if self._door is not None:
            inside = self._door.open(head, respond)
            if inside is not None:
                self._behind(self._door, head, body, inside, start_ns)
            return
        at_once = self._app.at_once(head)
        if at_once is None:
            self._app.answer(head, body, respond, start_ns)
        else:
            respond(*at_once)

    def _behind(self, door: Door, head: CallHead, body: bytes, inside: Respond, start_ns: int) -> None:
        """Who was let in is seen going out, also where the application raises."""
        try:
            door.answer(head, body, inside, start_ns)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            journal("grpc_failed", error=repr(error))
            inside(*INTERNAL_ERROR)

    def _rest(self, kind: str, asks: Asks, says: Says) -> Verb:
        request_class, response_class = message(f"{kind}Request"), message(f"{kind}Response")

        def verb(caller: Stream, body: bytes, respond: Respond, start_ns: int) -> None:
            try:
                request = request_class.FromString(body)
                method, path, text = asks(request)
            except (DecodeError, ValueError) as error:
                respond(400, [], error_body(f"the message is no {kind}Request: {error}"))
                return

            def answered(status: int, headers: Headers, reply: bytes) -> None:
                said = says(request, status, json.loads(reply))
                if said is None:
                    respond(status, headers, reply)
                else:
                    respond(200, headers, response_class(**said).SerializeToString())

            self._ask(CallHead(method, path, caller, request), text, answered, start_ns)

        return verb

    def _watch(self, caller: Stream, body: bytes, respond: Respond, _start_ns: int) -> None:
        """Asked for like a check; who may ask that may watch. What nobody knows may still come."""
        try:
            request = self._health_request.FromString(body)
        except DecodeError as error:
            respond(400, [], error_body(f"the message is no HealthCheckRequest: {error}"))
            return

        def answered(status: int, headers: Headers, reply: bytes) -> None:
            if status == 404 or "error" not in json.loads(reply):  # noqa: PLR2004 - HTTP
                Watcher(caller, partial(self._status, request.service), headers)
            else:
                respond(status, headers, reply)

        method, path, text = _health_path(request)
        self._ask(CallHead(method, path, caller, request), text, answered, caller.start_ns)

    def _status(self, service: str) -> bytes:
        ready = self._app.readiness("" if service in _OF_THE_SERVER else service)
        status = _SERVICE_UNKNOWN if ready is None else _SERVING if ready else _NOT_SERVING
        said: bytes = self._health_answer(status=status).SerializeToString()
        return said


def _model_path(name: str, version: str = "") -> str:
    for part in (name, version or "1"):
        if not REVISION.fullmatch(part):
            return "/v2/models/?"  # of no model
    return f"/v2/models/{name}" + (f"/versions/{version}" if version else "")


def _named(request: Any) -> str:
    """The model of a load or unload: KServe's first field, or Triton's second after a repository's name."""
    name = str(request.second or request.first)
    return name if REVISION.fullmatch(name) else "?"


def _get(path: str) -> Asks:
    return lambda _request: ("GET", path, b"")


def _flag(name: str) -> Says:
    """Ready or live: 503 is an answer here, and no error."""
    return lambda _request, status, _document: {name: status == 200} if status in {200, 503} else None  # noqa: PLR2004 - HTTP


def _if_ok(make: Callable[[Any, Any], Mapping[str, Any]]) -> Says:
    return lambda request, status, document: make(request, document) if status == 200 else None  # noqa: PLR2004 - HTTP


def _metadata(_request: Any, document: Any) -> Mapping[str, Any]:
    return {key: document[key] for key in ("name", "versions", "platform", "inputs", "outputs")}


def _about(_request: Any, document: Any) -> Mapping[str, Any]:
    return {key: document[key] for key in ("name", "version", "extensions")}


def _health_path(request: Any) -> tuple[str, str, bytes]:
    if request.service in _OF_THE_SERVER:
        return "GET", "/v2/health/ready", b""
    return "GET", f"{_model_path(request.service)}/ready", b""


def _health(_request: Any, status: int, _document: Any) -> Mapping[str, int] | None:
    code = {200: _SERVING, 503: _NOT_SERVING}.get(status)
    return None if code is None else {"status": code}


def _index(request: Any) -> tuple[str, str, bytes]:
    return "POST", "/v2/repository/index", json.dumps({"ready": request.ready}).encode()


def _change(verb: str) -> Asks:
    return lambda request: ("POST", f"/v2/repository/models/{_named(request)}/{verb}", b"")


_METHODS: Mapping[str, tuple[str, Asks, Says]] = {
    f"{_SERVICE}ServerLive": ("ServerLive", _get("/v2/health/live"), _flag("live")),
    f"{_SERVICE}ServerReady": ("ServerReady", _get("/v2/health/ready"), _flag("ready")),
    f"{_SERVICE}ModelReady": (
        "ModelReady",
        lambda request: ("GET", f"{_model_path(request.name, request.version)}/ready", b""),
        _flag("ready"),
    ),
    f"{_SERVICE}ServerMetadata": ("ServerMetadata", _get("/v2"), _if_ok(_about)),
    f"{_SERVICE}ModelMetadata": (
        "ModelMetadata",
        lambda request: ("GET", _model_path(request.name, request.version), b""),
        _if_ok(_metadata),
    ),
    f"{_SERVICE}RepositoryIndex": (
        "RepositoryIndex",
        _index,
        _if_ok(lambda _request, document: {"models": document}),
    ),
    f"{_SERVICE}RepositoryModelLoad": (
        "RepositoryModelLoad",
        _change("load"),
        _if_ok(lambda _request, document: {"model_name": document["name"], "isLoaded": True}),
    ),
    f"{_SERVICE}RepositoryModelUnload": (
        "RepositoryModelUnload",
        _change("unload"),
        _if_ok(lambda _request, document: {"model_name": document["name"], "isUnloaded": True}),
    ),
    f"{_HEALTH}Check": ("HealthCheck", _health_path, _health),
}
"""By method: the messages' name, the REST request that asks the same, and its answer as fields."""
