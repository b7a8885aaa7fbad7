"""gRPC by its C core, without grpcio's servers on top of it.

grpcio's own servers hand each call to a pool or to asyncio, which costs two to three times the call itself
(docs/adr/0053). Here one thread polls the core's queue and answers where it stands, as the HTTP side does.
This reaches below grpcio's public interface, so its version is bounded in pyproject.toml.
"""

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Any

from grpc._cython import cygrpc

from modelway.errors import ConfigError, PortInUseError
from serving.runtime.grpc.calls import DEADLINE_EXCEEDED, INTERNAL, OK, UNIMPLEMENTED, code_of
from serving.runtime.grpc.service import Service
from serving.runtime.journal import journal
from serving.runtime.settings import Tls
from serving.runtime.transport import Application, Door, Headers

_core: Any = cygrpc  # it has no types
_NO_MESSAGE = "the call brought no message"
_EXPECTED = 64
"""Calls that the core may take before we look: those it has not taken when the server stops, it cancels."""
_PASSED_ON = frozenset({"x-revision", "retry-after", "www-authenticate"})

Step = Callable[[Any], None]
"""What is done when the core says that something has happened; gets the core's event."""


class GrpcServer:
    """One port."""

    def __init__(
        self, app: Application, address: tuple[str, int], *, door: Door | None = None, tls: Tls | None = None
    ) -> None:
        """Take the port.

        Args:
            app: What answers.
            address: Host and port; port 0 takes a free one.
            door: What stands before it for HTTP too.
            tls: Certificate and key; plain without.

        Raises:
            PortInUseError: It is taken, or not ours to take.
            ConfigError: The certificate or the key cannot be read.
        """
        self._service = Service(app, door)
        self._queue = _core.CompletionQueue()
        limits = (
            (b"grpc.max_receive_message_length", app.max_body_bytes),
            (b"grpc.max_send_message_length", -1),
        )
        self._server = _core.Server((*limits, (b"grpc.so_reuseport", 0)), False)
        self._server.register_completion_queue(self._queue)
        self.port = self._listen(*address, tls)
        self._thread = threading.Thread(target=self._poll, name="grpc", daemon=True)
        self._ended = threading.Event()

    def start(self) -> None:
        """Serve; returns at once."""
        self._server.start()
        for _ in range(_EXPECTED):
            self._expect()
        self._thread.start()

    def stop(self, wait_s: float) -> bool:
        """Accept nothing new and wait for what is under way.

        A call that a client sends before it has heard of this is CANCELLED by the core and never scored.

        Returns:
            Whether all of it ended within `wait_s` seconds.
        """
        self._server.shutdown(self._queue, self._shut_down)
        finished = self._ended.wait(wait_s)
        if not finished:
            self._server.cancel_all_calls()
        return finished

    def _listen(self, host: str, port: int, tls: Tls | None) -> int:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            taken: int = self._server.add_http2_port(place.encode(), *_credentials(tls))
        except RuntimeError:
            taken = 0
        if not taken:
            raise PortInUseError(
                f"cannot listen on {place} for gRPC",
                expected="a free port of an address of this machine",
                remedy="choose another; 0 takes a free one",
            )
        return taken

    def _expect(self) -> None:
        self._server.request_call(self._queue, self._queue, self._came)

    def _poll(self) -> None:
        while True:
            event = self._queue.poll()
            if event.completion_type == _core.CompletionType.queue_shutdown:
                self._ended.set()
                return
            try:
                event.tag(event)
            except Exception as error:  # noqa: BLE001 - the loop must go on for the other calls
                journal("grpc_failed", error=repr(error))

    def _shut_down(self, _event: Any) -> None:
        self._queue.shutdown()

    def _came(self, event: Any) -> None:
        if not event.success or event.call is None:
            return  # the server is being shut down
        self._expect()
        call, method = event.call, event.call_details.method
        verb = self._service.verb(method)
        if verb is None:
            _answer(call, UNIMPLEMENTED, f"no such method: {method.decode(errors='replace')}", ())
            return
        step = partial(self._read, verb, call, event, perf_counter_ns())
        call.start_server_batch([_core.ReceiveMessageOperation(0)], step)

    def _read(self, verb: Any, call: Any, head: Any, start_ns: int, event: Any) -> None:
        body = event.batch_operations[0].message()
        if body is None:
            _answer(call, code_of(400), _NO_MESSAGE, ())
            return
        if head.call_details.deadline < time.time():
            _answer(call, DEADLINE_EXCEEDED, "the deadline had passed before the call was read", ())
            return
        try:
            verb(call, head, body, partial(_respond, call), start_ns)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            journal("grpc_failed", error=repr(error))
            _answer(call, INTERNAL, "internal error", ())


def _credentials(tls: Tls | None) -> tuple[Any, ...]:
    if tls is None:
        return ()
    import grpc  # noqa: PLC0415 - the public package is only needed for TLS, and takes its time

    try:
        pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
        authority = None if tls.client_ca is None else tls.client_ca.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {error.filename}: {error.strerror}", expected="PEM files", remedy="correct `tls`"
        ) from error
    credentials = grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)
    return (credentials._credentials,)  # noqa: SLF001 - see the module's text


def _respond(call: Any, status: int, headers: Headers, body: bytes) -> None:
    metadata = tuple(pair for pair in headers if pair[0] in _PASSED_ON)
    code = code_of(status)
    if code == OK:
        message = _core.SendMessageOperation(body, 0)
        _send(call, [_core.SendInitialMetadataOperation(metadata, 0), message, _status(OK, b"")])
    else:
        _answer(call, code, str(json.loads(body).get("error", "internal error")), metadata)


def _answer(call: Any, code: int, details: str, metadata: tuple[tuple[str, str], ...]) -> None:
    _send(call, [_core.SendInitialMetadataOperation(metadata, 0), _status(code, details.encode())])


def _status(code: int, details: bytes) -> Any:
    return _core.SendStatusFromServerOperation((), code, details, 0)


def _send(call: Any, operations: list[Any]) -> None:
    call.start_server_batch([*operations, _core.ReceiveCloseOnServerOperation(0)], _done)


def _done(_event: Any) -> None:
    """The call is over; the core may forget it."""
