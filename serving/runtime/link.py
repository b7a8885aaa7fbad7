"""The line between a worker and its supervisor: length-prefixed JSON over a socket pair, both may ask.

The supervisor asks a worker for a `Report`. A worker that is scraped asks for what only the supervisor knows:
the page of all, and whether all are ready. Each side reads on a thread of its own.
"""

import ctypes
import os
import queue
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

import msgspec

from serving.runtime.codecs import headers_of
from serving.runtime.exchange import Answer
from serving.runtime.exposition import Family
from serving.runtime.reply import error_body, json_body

ANSWER_WAIT_S = 2.0
"""How long a scrape waits for the others before it fails."""
_LENGTH = struct.Struct("!I")
_PR_SET_PDEATHSIG = 1


class Report(msgspec.Struct):
    """A worker's state and figures."""

    ready: bool
    identity: dict[str, str]
    families: list[Family]


class Message(msgspec.Struct, omit_defaults=True):
    """Either a question or its answer."""

    ask: Literal["report", "metrics", "ready"] | None = None
    report: Report | None = None
    page: str | None = None
    """Of all workers; None when one of them could not be read."""
    ready: bool | None = None


_decode = msgspec.json.Decoder(Message).decode


class Line:
    """One end."""

    def __init__(self, sock: socket.socket) -> None:
        """Take an end; blocking."""
        sock.setblocking(True)
        self._sock = sock
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Send it whole; a line that is cut loses it, which the reader notices."""
        body = msgspec.json.encode(message)
        with self._lock, suppress(OSError):
            self._sock.sendall(_LENGTH.pack(len(body)) + body)

    def receive(self) -> Message | None:
        """The next message; None when the other end is gone."""
        head = self._exactly(_LENGTH.size)
        body = None if head is None else self._exactly(_LENGTH.unpack(head)[0])
        return None if body is None else _decode(body)

    def close(self) -> None:
        """Cut it; whoever reads wakes."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._sock.recv(size - len(parts))
            except OSError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)


class WorkerLink:
    """A worker's end: reports when asked, and asks for the answers that are about all workers."""

    def __init__(self, descriptor: int, supervisor: int) -> None:
        """Take the line over, and end with the supervisor, however that ends.

        Args:
            descriptor: The worker's end.
            supervisor: Process id.
        """
        self._line = Line(socket.socket(fileno=descriptor))
        self._answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._asking = threading.Lock()
        _end_with(supervisor)

    def start(self, report: Callable[[], Report]) -> None:
        """Say that this worker is there, and answer from now on."""
        self._line.send(Message(report=report()))
        threading.Thread(target=self._read, args=(report,), name="link", daemon=True).start()

    def documents(self, revision: str) -> Mapping[str, Callable[[], Answer]]:
        """The addresses that are about all workers; each asks the supervisor and may wait for it."""
        return {
            "/metrics": lambda: self._metrics(revision),
            "/v2/health/ready": lambda: self._ready(revision),
        }

    def _metrics(self, revision: str) -> Answer:
        page = self._asked(Message(ask="metrics")).page
        if page is None:
            message = "the figures of a worker could not be read; a page without them would count too little"
            return 503, headers_of(revision), error_body(message)
        return 200, headers_of(revision, "text/plain; version=0.0.4; charset=utf-8"), page.encode()

    def _ready(self, revision: str) -> Answer:
        ready = self._asked(Message(ask="ready")).ready is True
        return 200 if ready else 503, headers_of(revision), json_body({"ready": ready})

    def _asked(self, question: Message) -> Message:
        with self._asking:
            while not self._answers.empty():  # of a question that was given up
                self._answers.get()
            self._line.send(question)
            try:
                return self._answers.get(timeout=ANSWER_WAIT_S)
            except queue.Empty:
                return Message()

    def _read(self, report: Callable[[], Report]) -> None:
        while (message := self._line.receive()) is not None:
            if message.ask == "report":
                self._line.send(Message(report=report()))
            else:
                self._answers.put(message)


def _end_with(supervisor: int) -> None:
    """Get SIGTERM when the supervisor's main thread ends, even by SIGKILL."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor:  # it ended before we were tied
        os.kill(os.getpid(), signal.SIGTERM)
