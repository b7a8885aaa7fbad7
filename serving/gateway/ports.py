"""Ports from the operating system, and a clear word when one is taken."""

import socket

from modelway.errors import PortInUseError


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether we could listen on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT does not count as taken
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def require_free(port: int) -> None:
    """Do nothing when the port is free.

    Raises:
        PortInUseError: Another process listens on it.
    """
    if not is_free(port):
        raise PortInUseError(
            f"port {port} is in use",
            expected="a free port for the gateway",
            remedy="stop the process that listens on it, or choose another with --port",
        )
