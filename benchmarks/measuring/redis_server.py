"""A Redis of our own for the time of a benchmark."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from measuring.servers import free_port

_READY_S = 60


@contextmanager
def redis_server() -> Iterator[str]:
    """`host:port` of a server that keeps nothing on disk.

    Raises:
        OSError: It does not answer within a minute.
    """
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _READY_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
