"""Real Redis servers on ports that the system gives; they keep nothing on disk unless told so."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis

from serving.gateway.ports import free_port

_READY_S = 120


@contextmanager
def redis_server(*more: str, port: int = 0, url: str = "redis://127.0.0.1:{port}") -> Iterator[int]:
    """Its port while it runs; `more` are options, `url` is how it is asked whether it is there."""
    port = port or free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", *_filled(more, port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(url.format(port=port), server)
            yield port
        finally:
            server.terminate()


def _filled(more: Sequence[str], port: int) -> list[str]:
    return [text.replace("{port}", str(port)) for text in more]


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    until, client = time.monotonic() + _READY_S, redis.Redis.from_url(url)
    while True:
        try:
            client.ping()
        except redis.AuthenticationError:
            return
        except redis.ConnectionError:
            assert server.poll() is None, "it ended"
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            client.close()
            return


def authority(folder: Path) -> Sequence[str]:
    """PEM files of a certificate for 127.0.0.1 that is its own authority: `ca.crt`, `redis.key`."""
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=redis"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "redis.key"), "-out", str(folder / "ca.crt")]
    subprocess.run([*made, *names, *files], check=True, capture_output=True)
    return str(folder / "ca.crt"), str(folder / "redis.key")
