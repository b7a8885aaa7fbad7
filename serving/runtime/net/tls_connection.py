"""One client's socket through TLS."""

import socket
import ssl

from serving.runtime.net.connection import LATER, Connection, Wiring
from serving.runtime.net.loop import Loop


class TlsConnection(Connection):
    """As a plain one; the handshake is part of reading."""

    __slots__ = ("_shaken", "_tls")

    def __init__(
        self, loop: Loop, sock: socket.socket, peer: str, wiring: Wiring, tls: ssl.SSLContext
    ) -> None:
        """As a plain one.

        Args:
            loop: Whose thread reads it.
            sock: Closed here.
            peer: Address and port.
            wiring: Makes the protocol.
            tls: Certificate and key.
        """
        wrapped = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        super().__init__(loop, wrapped, peer, wiring)
        self._tls, self._shaken = wrapped, False
        self._recv = self._locked_recv

    def _readable(self) -> None:
        if not self._shaken and not self._shake():
            return
        super()._readable()
        while self._descriptor >= 0 and self._tls.pending():  # the kernel will not tell of these
            super()._readable()

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except LATER:
            return False
        except OSError:
            self._gone()
            return False
        self._shaken = True
        return True

    def _locked_recv(self, size: int) -> bytes:
        with self._lock:  # OpenSSL lets nobody write to a session while it is read
            return self._tls.recv(size)
