"""HTTP by Granian (Rust: hyper and tokio), without an event loop in Python.

Granian's own Python side hands each request to asyncio twice: to start the application, and again
when the body is there. Two wake-ups of another thread cost more than decoding, model and answer
together. Here the request is answered on the thread on which Granian delivers it, which halves the
CPU time of a request (docs/adr/0050). This reaches below Granian's public interface, so its version
is bounded in pyproject.toml and `tests/integration/runtime` drives every path of this file.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Any, Protocol

from granian import _granian
from granian.http import HTTP1Settings

from serving.runtime.journal import journal
from serving.runtime.port import BACKLOG, deafen
from serving.runtime.settings import Tls
from serving.runtime.tls import GranianTls, granian_tls

_rust: Any = _granian  # its published types lag behind it

_LAST_ARRIVALS_S = 0.1
Headers = list[tuple[str, str]]
Respond = Callable[[int, Headers, bytes], None]


class Head(Protocol):
    """A request before its body; Granian's own object, whose parts are only made when asked for."""

    method: str
    path: str
    query_string: str

    @property
    def client(self) -> str:
        """Address and port of the peer."""

    @property
    def headers(self) -> Any:
        """`get(name)` gives a value by its lower-case name, or None."""


class Application(Protocol):
    """What answers requests."""

    max_body_bytes: int

    def at_once(self, head: Head) -> tuple[int, Headers, bytes] | None:
        """The answer that needs no body, or None: read the body and call `answer`."""

    def answer(self, head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
        """Call `respond` once, from any thread, now or later; `start_ns` is when the head came."""

    def refuse(self, status: int, message: str) -> tuple[int, Headers, bytes]:
        """The answer to a body that was too large or never came whole."""


class Door(Application, Protocol):
    """An application that wants to see every request before its body, and every answer."""

    def open(self, head: Head, respond: Respond) -> Respond | None:
        """How to answer a request whose body is wanted; None when it was answered without."""


class Transport:
    """One Granian worker in this process."""

    def __init__(
        self,
        sock: socket.socket,
        application: Application,
        *,
        door: Door | None = None,
        tls: Tls | None = None,
        shared: bool = False,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            sock: Listening; the caller keeps it open.
            application: What answers.
            door: What stands before it and calls it.
            tls: Certificate and key; plain HTTP without.
            shared: Other processes listen on the socket too; when it falls silent is not for us to say.

        Raises:
            ConfigError: The certificate or the key cannot be used.
        """
        self._sock = sock  # Granian works on its descriptor; closing it here would close it there
        self._intake = _Intake(application) if door is None else _GuardedIntake(door)
        self._tls, self._shared = granian_tls(tls), shared
        self._signal = _rust.WorkerSignal()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Serve on Granian's threads; returns at once."""
        self._signal.add_cb(self._ended)  # Granian holds the signal, so it holds us and our socket
        loop = _NoLoop()
        scheduler = _rust.CallbackScheduler(loop, None, None, None, None)
        scheduler._schedule_fn = self._intake.begin  # noqa: SLF001 - see the module's text
        _worker(self._sock, self._tls).serve_async(scheduler, loop, self._signal)

    def _ended(self) -> None:
        self._stopped.set()

    def _close_port(self) -> None:
        """Put a socket that nobody can reach in the listening one's place, under Granian's feet.

        The kernel resets connections that it has made and Granian has not yet taken over. So it first makes
        no more, and Granian gets a moment to take the last. Closing the descriptor would leave Granian with a
        number that the next file gets, and shutting the socket down makes it try to accept without end.
        """
        if not self._shared:
            deafen(self._sock)
        time.sleep(_LAST_ARRIVALS_S)
        with socket.socket(self._sock.family, socket.SOCK_STREAM) as unreachable:
            os.dup2(unreachable.fileno(), self._sock.fileno())

    def stop(self, wait_s: float) -> bool:
        """Accept nothing new and wait for what is under way.

        Granian closes a connection that it has accepted and not yet read from. So the port closes first, and
        whoever came in before that is read.

        Returns:
            Whether all of it ended within `wait_s` seconds.
        """
        self._close_port()
        time.sleep(_LAST_ARRIVALS_S)
        self._signal.set()
        return self._stopped.wait(wait_s)


class _NoLoop:
    """What Granian takes for an event loop: runs at once, on the calling thread, what should run soon."""

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *arguments: Any, context: Any = None
    ) -> None:
        del context
        callback(*arguments)

    call_soon = call_soon_threadsafe


def _worker(sock: socket.socket, tls: GranianTls) -> Any:
    holder = _rust.SocketHolder(sock.fileno(), False, BACKLOG)
    identity, ipc, static, metrics = 1, None, None, (None, None)
    runtime_threads, runtime_blocking_threads, python_threads, idle_s = 1, 1, 1, 30
    return _rust.RSGIWorker(
        identity,
        (None, holder),
        ipc,
        runtime_threads,
        runtime_blocking_threads,
        python_threads,
        idle_s,
        BACKLOG,
        "1",
        HTTP1Settings(),
        None,
        False,
        static,
        *tls,
        metrics,
    )


class _Intake:
    """What Granian calls for each request, on its Python thread."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._max_bytes = application.max_body_bytes

    def begin(self, watcher: Any) -> None:
        """A request's head is there."""
        scope, protocol = watcher.scope, watcher.proto
        try:
            reply = self._application.at_once(scope)
            if reply is not None:
                protocol.response_bytes(*reply)
                return
            self._read(scope, scope.headers.get("content-length"), protocol)
        except Exception as error:  # noqa: BLE001 - Granian would drop it, and with it the client
            _failed(protocol, error)

    def _read(self, head: Head, length: str | None, protocol: Any) -> None:
        if length is None:
            _Chunks(self._application, head, protocol).read()
        elif int(length) > self._max_bytes:
            protocol.response_bytes(*self._application.refuse(413, _too_large(self._max_bytes)))
        else:
            whole = partial(self._whole, head, protocol, perf_counter_ns())
            protocol().add_done_callback(whole, context=None)

    def _whole(self, head: Head, protocol: Any, start_ns: int, future: Any) -> None:
        """A request's body is there."""
        try:
            body = future.result()
        except Exception as error:  # noqa: BLE001 - the client went away or sent less than it said
            protocol.response_bytes(*self._application.refuse(400, f"the body did not come whole: {error}"))
            return
        try:
            self._application.answer(head, body, protocol.response_bytes, start_ns)
        except Exception as error:  # noqa: BLE001 - as above
            _failed(protocol, error)


class _GuardedIntake(_Intake):
    """The same with a door."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._door = door

    def begin(self, watcher: Any) -> None:
        """A request's head is there."""
        scope, protocol = watcher.scope, watcher.proto
        try:
            respond = self._door.open(scope, protocol.response_bytes)
            if respond is None:
                return
            protocol = _Carrier(protocol, respond)  # whoever came in must be seen going out, whatever happens
            self._read(scope, scope.headers.get("content-length"), protocol)
        except Exception as error:  # noqa: BLE001 - as above
            _failed(protocol, error)


class _Carrier:
    """Granian's protocol object, whose answer goes through someone's hands."""

    def __init__(self, protocol: Any, respond: Respond) -> None:
        self._protocol, self.response_bytes = protocol, respond

    def __call__(self) -> Any:
        return self._protocol()

    def __aiter__(self) -> Any:
        return aiter(self._protocol)


class _Chunks:
    """A body of unannounced length, read piece by piece so that the limit holds."""

    def __init__(self, application: Application, head: Head, protocol: Any) -> None:
        self._application, self._head, self._protocol = application, head, protocol
        self._parts: list[bytes] = []
        self._size = 0
        self._stream = aiter(protocol)
        self._start_ns = perf_counter_ns()

    def read(self) -> None:
        """Ask for the next piece."""
        self._stream.__anext__().add_done_callback(self._came, context=None)

    def _came(self, future: Any) -> None:
        limit = self._application.max_body_bytes
        try:
            piece = future.result()
            self._parts.append(piece)
            self._size += len(piece)
            if self._size > limit:
                self._protocol.response_bytes(*self._application.refuse(413, _too_large(limit)))
            elif piece:
                self.read()
            else:
                body = b"".join(self._parts)
                self._application.answer(self._head, body, self._protocol.response_bytes, self._start_ns)
        except Exception as error:  # noqa: BLE001 - Granian would drop it, and with it the client
            _failed(self._protocol, error)


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit} bytes; send fewer rows a request"


def _failed(protocol: Any, error: Exception) -> None:
    journal("request_failed", error=repr(error))
    protocol.response_bytes(500, [("content-type", "application/json")], b'{"error":"internal error"}')
