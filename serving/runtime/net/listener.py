"""Takes connections from a listening socket, keeps count of them, and lets them finish."""

import errno
import select
import socket
import ssl
from contextlib import suppress

from serving.runtime.journal import journal
from serving.runtime.net.connection import Connection, Wiring
from serving.runtime.net.loop import Loop
from serving.runtime.net.tls_connection import TlsConnection

_AT_ONCE = 64
"""Connections taken in one turn, so that those that are there get theirs."""
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """A port and its connections. After `begin`, everything happens on the loop's thread."""

    def __init__(
        self, loop: Loop, sock: socket.socket, wiring: Wiring, tls: ssl.SSLContext | None, *, shared: bool
    ) -> None:
        """Take nobody yet.

        Args:
            loop: Whose thread serves them.
            sock: Listening and non-blocking; closed by `shut` unless shared.
            wiring: Makes the protocol of a connection.
            tls: Certificate and key; plain without.
            shared: Other processes take connections from it too.
        """
        self._loop, self._sock, self._wiring, self._tls, self._shared = loop, sock, wiring, tls, shared
        self.connections: dict[Connection, None] = {}
        """In the order in which they came."""
        self._deaf = self._shut = False
        loop.every_round(self._look)

    def begin(self) -> None:
        """Take connections."""
        self._loop.watch(self._sock.fileno(), self._arrived, shared=self._shared)

    def shut(self) -> None:
        """Take those that wait, then no more."""
        self._shut = True
        while self._accept():
            pass
        self._loop.forget(self._sock.fileno())
        if not self._shared:
            self._sock.close()

    def drain(self) -> None:
        """Let each connection finish what is under way, and close it."""
        for connection in list(self.connections):
            connection.read_now()
            if connection.alive:
                connection.wire.drain()

    def _arrived(self) -> None:
        self._accept()

    def _accept(self) -> bool:
        """Take some; whether there may be more."""
        for _ in range(_AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR and self._somebody_waits():
                    self._make_room(error)
                return False  # else the client went away before it was taken
            self._take(sock, address)
        return True

    def _take(self, sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setblocking(False)
        with suppress(OSError):  # a client that is gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = f"{address[0]}:{address[1]}"
        connection = (
            Connection(self._loop, sock, peer, self._wiring)
            if self._tls is None
            else TlsConnection(self._loop, sock, peer, self._wiring, self._tls)
        )
        connection.on_gone = self._gone
        self.connections[connection] = None
        connection.open()

    def _gone(self, connection: Connection) -> None:
        self.connections.pop(connection, None)

    def _somebody_waits(self) -> bool:
        """Asked where descriptors ran out: the kernel says so before it looks whether anybody is there."""
        if not hasattr(select, "poll"):
            return True
        waiting = select.poll()
        waiting.register(self._sock, select.POLLIN)
        return bool(waiting.poll(0))

    def _make_room(self, error: OSError) -> None:
        """Let the connection go that has been idle for longest: one that asks is worth more.

        Where nobody is idle, who waits outside waits a second: the port would tell of him without end.
        """
        journal("no_room_for_a_connection", error=str(error), connections=len(self.connections))
        idle = [one for one in self.connections if one.wire.idle_since_s is not None]
        if idle:
            min(idle, key=lambda one: one.wire.idle_since_s or 0.0).close()
        else:
            self._deaf = True
            self._loop.forget(self._sock.fileno())

    def _look(self) -> None:
        if self._deaf and not self._shut:
            self._deaf = False
            self.begin()
        for connection in list(self.connections):
            connection.look(self._loop.now_s)
