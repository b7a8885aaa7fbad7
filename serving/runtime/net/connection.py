"""One client's socket: what comes goes to its wire, what the wire sends goes out in order."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Protocol

from serving.runtime.net.loop import Loop
from serving.runtime.net.poller import READ, WRITE

_READ_BYTES = 64 * 1024
_LINGER_S = 2.0
"""How long a client whose request was refused unread may go on sending before it is cut off."""
_MOST_PENDING = 64
"""Answers of one turn to one client that are gathered; a client that sends ahead could have thousands."""
_STUCK_S = 60.0
"""How long a client may take nothing of what is sent to it."""
LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What says that nothing is wrong, only not now."""


class Wire(Protocol):
    """A protocol on one connection. All of it is called on the loop's thread."""

    @property
    def idle_since_s(self) -> float | None:
        """Loop time since when nothing is under way; None while something is."""

    def received(self, data: bytes) -> None:
        """More bytes came."""

    def sent(self) -> None:
        """All that had to wait because the client did not read has gone out."""

    def ended(self) -> None:
        """The client sends no more; it may still read. Close, now or once it has its answer."""

    def lost(self) -> None:
        """The connection is gone; what is sent now goes nowhere."""

    def drain(self) -> None:
        """The server ends: finish what is under way, then close."""

    def overdue(self, now_s: float) -> None:
        """Close, if the client has been silent for too long; called about once a second."""


Wiring = Callable[["Connection"], Wire]


class Connection:
    """A plain socket."""

    __slots__ = (
        "__weakref__",
        "_closing",
        "_descriptor",
        "_lock",
        "_muted",
        "_out",
        "_pending",
        "_received",
        "_recv",
        "_send",
        "_sock",
        "_stuck_s",
        "linger_until_s",
        "loop",
        "on_gone",
        "peer",
        "wire",
    )

    def __init__(self, loop: Loop, sock: socket.socket, peer: str, wiring: Wiring) -> None:
        """Take over a connected, non-blocking socket; `open` begins.

        Args:
            loop: Whose thread reads it.
            sock: Closed here.
            peer: Address and port, for logs and limits.
            wiring: Makes the protocol.
        """
        self.loop, self.peer, self._sock = loop, peer, sock
        self._descriptor, self._send = sock.fileno(), sock.send
        self._recv: Callable[[int], bytes] = sock.recv
        self._pending: list[bytes] = []
        self._out = bytearray()
        self._lock = threading.Lock()
        self._closing, self._muted, self._stuck_s = False, False, 0.0
        self.linger_until_s = 0.0
        self.on_gone: Callable[[Connection], None] = _nobody
        self.wire = wiring(self)
        self._received: Callable[[bytes], None] = self.wire.received

    def open(self) -> None:
        """Read from now on, or again; not before what was sent is taken."""
        self._muted = False
        if self._descriptor not in self.loop.handlers:
            self.loop.watch(self._descriptor, self._readable)

    def send(self, data: bytes) -> None:
        """Send it, after what was given before; from any thread. Goes nowhere when the client is gone.

        From the loop's thread it goes out at the end of the turn: clients that wait are then woken once for
        all answers of a turn instead of once for each.
        """
        if get_ident() == self.loop.ident:
            if not self._pending:
                self.loop.outbox.append(self._flush)
            self._pending.append(data)
            if len(self._pending) >= _MOST_PENDING:
                self._flush()
            return
        with self._lock:
            if self._pending or self._out:
                self._pending.append(data)
                return
            blocked = self._send_now(data)
        if blocked:
            self.loop.soon(self._want_write)

    def _flush(self) -> None:
        """Send what the turn gathered."""
        with self._lock:
            data = b"".join(self._pending)
            self._pending.clear()
            if self._out:
                self._out += data
                return
            blocked = bool(data) and self._send_now(data)
        if blocked:
            self._want_write()

    def _send_now(self, data: bytes) -> bool:
        """Give it to the kernel; whether some of it must wait."""
        try:
            sent = self._send(data)
        except LATER:
            sent = 0
        except OSError:
            self.loop.soon(self._gone)
            return False
        if sent < len(data):
            self._out += data[sent:]
        return sent < len(data)

    @property
    def sending(self) -> bool:
        """Whether the client has not yet taken all of what was sent."""
        return bool(self._out)

    def close(self) -> None:
        """Close it once all is sent; from any thread."""
        self._closing = True
        if get_ident() == self.loop.ident:
            self._close_if_sent()
        else:
            self.loop.soon(self._close_if_sent)

    def linger(self) -> None:
        """Close it once all is sent, but hear the client out: cut off, it may miss the answer."""
        self.linger_until_s = self.loop.now_s + _LINGER_S
        self._received = self._discard
        self.open()
        self._flush()
        with suppress(OSError):
            if not self._out:
                self._sock.shutdown(socket.SHUT_WR)

    def mute(self) -> None:
        """Read no more; what is sent still goes out."""
        self._muted = True
        if self.loop.handlers.get(self._descriptor) == self._readable:
            self.loop.forget(self._descriptor)

    @property
    def alive(self) -> bool:
        """Whether its socket is still open."""
        return self._descriptor >= 0

    def look(self, now_s: float) -> None:
        """Close it, if it has been silent for too long."""
        if self.linger_until_s:
            if now_s > self.linger_until_s:
                self._gone()
        elif not self._out:
            self.wire.overdue(now_s)
        elif now_s > self._stuck_s + _STUCK_S:
            self._gone()

    def read_now(self) -> None:
        """Take what the client has sent so far; not while it takes nothing itself."""
        if self.loop.handlers.get(self._descriptor) == self._readable:
            self._readable()

    def _readable(self) -> None:
        try:
            data = self._recv(_READ_BYTES)
        except LATER:
            return
        except OSError:
            self._gone()
            return
        if data:
            self._received(data)
        elif self.linger_until_s:
            self._gone()
        else:
            self.mute()
            self.wire.ended()

    def _discard(self, _data: bytes) -> None:
        pass

    def _want_write(self) -> None:
        if self._descriptor < 0 or not self._out:
            return
        self._stuck_s = self.loop.now_s
        if self._descriptor not in self.loop.handlers:
            self.loop.watch(self._descriptor, self._writable)
        self.loop.handlers[self._descriptor] = self._writable
        self.loop.poller.want(self._descriptor, WRITE)

    def _writable(self) -> None:
        with self._lock:
            try:
                del self._out[: self._send(self._out)]
                self._stuck_s = self.loop.now_s
            except LATER:
                return
            except OSError:
                self._out.clear()
                self._closing = True
            if self._out:
                return
        self._flush()  # of what threads gave meanwhile
        if not self._out:
            self._sent_all()

    def _sent_all(self) -> None:
        if self._closing:
            self._gone()
            return
        if self._muted:
            self.loop.forget(self._descriptor)
        else:
            self.loop.handlers[self._descriptor] = self._readable
            self.loop.poller.want(self._descriptor, READ)
        if self.linger_until_s:
            self.linger()
        else:
            self.wire.sent()

    def _close_if_sent(self) -> None:
        self._flush()
        if not self._out:
            self._gone()

    def _gone(self) -> None:
        if self._descriptor < 0:
            return
        self.loop.forget(self._descriptor)
        self._descriptor = -1
        with self._lock:  # a thread that sends would find its descriptor to be somebody else's
            self._sock.close()
        self.wire.lost()
        self.on_gone(self)


def _nobody(_connection: Connection) -> None:
    """Until someone wants to know."""
