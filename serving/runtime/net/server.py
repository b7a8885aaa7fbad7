"""The ports of this process, all on one loop."""

import socket
import ssl
import time

from serving.runtime.net.connection import Wiring
from serving.runtime.net.listener import Listener
from serving.runtime.net.loop import Loop
from serving.runtime.net.room import Room, room_for
from serving.runtime.net.turn import Turn
from serving.runtime.port import deafen

_LAST_ARRIVALS_S = 0.1
_LOOK_S = 0.01


class Server:
    """Serves from `start` to `stop`."""

    def __init__(self, room: Room | None = None) -> None:
        """Without a port yet; `room` is for all of them, as large as the process allows where it is none."""
        self.room = room or room_for(None)
        self._loop = Loop("serve")
        self._listeners: list[Listener] = []
        self._own: list[socket.socket] = []

    @property
    def turn(self) -> Turn:
        """Of the loop: where work is left for the end of a turn."""
        return self._loop.turn

    def listen(
        self, sock: socket.socket, wiring: Wiring, *, tls: ssl.SSLContext | None = None, shared: bool = False
    ) -> None:
        """Add a port, before `start`.

        Args:
            sock: Listening and non-blocking.
            wiring: Makes the protocol of a connection.
            tls: Certificate and key; plain without.
            shared: Other processes listen on it too; when it falls silent is not for us to say.
        """
        self._listeners.append(Listener(self._loop, sock, wiring, tls, self.room, shared=shared))
        if not shared:
            self._own.append(sock)

    def start(self) -> None:
        """Serve, on a thread of its own; returns at once."""
        for listener in self._listeners:
            listener.begin()
        self._loop.start()

    def stop(self, wait_s: float) -> bool:
        """Take no more connections and wait for what is under way.

        The kernel resets connections that it has made and nobody has taken. So it first makes no more, and
        those who came in before that are taken, and read, before anything is closed.

        Returns:
            Whether all of it ended within `wait_s` seconds.
        """
        while self._own:
            deafen(self._own.pop())
        time.sleep(_LAST_ARRIVALS_S)
        for listener in self._listeners:
            self._loop.soon(listener.shut)
        time.sleep(_LAST_ARRIVALS_S)
        for listener in self._listeners:
            self._loop.soon(listener.drain)
        finished = self._wait(wait_s)
        return self._loop.stop(wait_s) and finished

    def _wait(self, wait_s: float) -> bool:
        until_s = time.monotonic() + wait_s
        while any(listener.connections for listener in self._listeners):
            if time.monotonic() > until_s:
                return False
            time.sleep(_LOOK_S)
        return True
