"""A listening socket of our own, and how it falls silent without cutting anybody off."""

import ctypes
import socket
import struct
import sys

from modelway.errors import PortInUseError

BACKLOG = 1024
_SO_ATTACH_FILTER = 26  # of Linux; Python's socket module does not name it


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that nobody else can share: a second server on its port fails.

    Raises:
        PortInUseError: The address is taken, or not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortInUseError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            expected="an address of this machine that nobody listens on",
            remedy="stop the other process, or pass --port 0 to get a free one",
        ) from error
    sock.setblocking(False)
    return sock


def deafen(sock: socket.socket) -> None:
    """Let the kernel drop what comes to the listening socket itself; its connections go on."""
    if sys.platform == "linux":
        drop_all = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # BPF: return 0 bytes
        program = struct.pack("@HP", 1, ctypes.addressof(drop_all))
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
