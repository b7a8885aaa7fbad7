"""Takes connections from a listening socket, keeps count of them, and lets them finish."""

import errno
import select
import socket
import ssl
from contextlib import suppress

from serving.runtime.journal import journal
from serving.runtime.net.connection import Connection, Wiring
from serving.runtime.net.loop import Loop
from serving.runtime.net.room import Room
from serving.runtime.net.tls_connection import TlsConnection

_AT_ONCE = 64
"""Connections taken in one turn, so that those that are there get theirs."""
_RESTED_S = 1.0
"""A connection that was silent for less may have its next request on the way."""
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """A port and its connections. After `begin`, everything happens on the loop's thread."""

    def __init__(  # noqa: PLR0913 - a port is all of these
        self,
        loop: Loop,
        sock: socket.socket,
        wiring: Wiring,
        tls: ssl.SSLContext | None,
        room: Room,
        *,
        shared: bool,
    ) -> None:
        """Take nobody yet.

        Args:
            loop: Whose thread serves them.
            sock: Listening and non-blocking; closed by `shut` unless shared.
            wiring: Makes the protocol of a connection.
            tls: Certificate and key; plain without.
            room: What this and other ports may take together.
            shared: Other processes take connections from it too.
        """
        self._loop, self._sock, self._wiring, self._tls, self._shared = loop, sock, wiring, tls, shared
        self._room = room
        self.connections: dict[Connection, None] = {}
        """In the order in which they came."""
        room.ports.append(self.connections)
        self._deaf = self._shut = self._told = False
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
            if self._room.full and not self._shut:
                self._make_room(f"{self._room.limit} connections are open")
                return False
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    self._make_room(str(error))
                return False  # else the client went away before it was taken
            self._take(sock, address)
        return True

    def _take(self, sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setblocking(False)
        with suppress(OSError):  # a client that is gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            connection = self._connection(sock, f"{address[0]}:{address[1]}")
        except OSError:  # TLS looks who is there, and the client has gone
            sock.close()
            return
        connection.on_gone = self._gone
        self.connections[connection] = None
        self._room.taken += 1
        connection.open()

    def _connection(self, sock: socket.socket, peer: str) -> Connection:
        if self._tls is None:
            return Connection(self._loop, sock, peer, self._wiring)
        return TlsConnection(self._loop, sock, peer, self._wiring, self._tls)

    def _gone(self, connection: Connection) -> None:
        if connection in self.connections:
            del self.connections[connection]
            self._room.taken -= 1
            self._hear()

    def _somebody_waits(self) -> bool:
        """Asked where there is no room: the kernel says so before it looks whether anybody is there."""
        if not hasattr(select, "poll"):
            return True
        waiting = select.poll()
        waiting.register(self._sock, select.POLLIN)
        return bool(waiting.poll(0))

    def _make_room(self, why: str) -> None:
        """Let the connection go that has been idle for longest: one that asks is worth more.

        Where nobody is, who waits outside waits until one goes, or a second: the port would tell of him
        without end.
        """
        if not self._somebody_waits():
            return
        resting = self._resting()
        if resting is None:
            self._deaf = True
            self._loop.forget(self._sock.fileno())
        else:
            self._room.closed += 1
            resting.close()
        if not self._told:
            self._told = True
            journal("no_room_for_a_connection", why=why, connections=self._room.taken)

    def _resting(self) -> Connection | None:
        """Of any port the one idle for longest, if that is long, nothing just came and all is sent."""
        idle = [one for port in self._room.ports for one in port if _idle(one)]
        if not idle:
            return None
        longest = min(idle, key=_idle_since_s)
        if _idle_since_s(longest) > self._loop.now_s - _RESTED_S:
            return None
        longest.read_now()
        return longest if longest.wire.idle_since_s is not None and longest.alive else None

    def _look(self) -> None:
        self._told = False
        self._hear()
        for connection in list(self.connections):
            connection.look(self._loop.now_s)

    def _hear(self) -> None:
        if self._deaf and not self._shut:
            self._deaf = False
            self.begin()


def _idle(connection: Connection) -> bool:
    """One that has not taken its answer would not be gone when it is closed."""
    return connection.wire.idle_since_s is not None and not connection.sending


def _idle_since_s(connection: Connection) -> float:
    return connection.wire.idle_since_s or 0.0
