"""Ports from the operating system, and a clear word when one is taken."""

import socket
from contextlib import ExitStack

from modelway.errors import PortInUseError


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> tuple[int, ...]:
    """As many of them, no two alike."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return tuple(probe.getsockname()[1] for probe in probes)


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
