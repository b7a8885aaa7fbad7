"""Open-loop load: requests are due at a fixed rate, whatever the answers do.

wrk sends the next request when an answer has come, so a server that stalls is asked less (coordinated
omission). Here latency counts from when a request was *due*, also while all connections are busy.
The client spins on its core instead of sleeping: a timer would be coarser than what it measures.

`python -P paced_client.py URL RATE SECONDS CONNECTIONS` with a request's bytes on standard input prints
one JSON object. A process of its own, so that it can have its own core; it imports nothing of ours.
"""

import gc
import json
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import numpy as np

_DRAIN_S = 10.0
_CHUNK = 1 << 16
_WINDOW_S = 0.1
_STILL_S = 0.0005
"""A turn of the client's loop takes a tenth of it; what takes longer was not the client."""


@dataclass(frozen=True)
class Paced:
    """What an open-loop run gave; times in milliseconds from when a request was due."""

    asked_rps: float
    requests: int
    errors: int
    rate_rps: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    client_late_p99_ms: float
    """How late the client itself sent although a connection was free: the noise of this measurement."""
    calm_tail: float
    """p99 over p50 in the median tenth of a second: without the moments in which the machine stood still."""
    stood_still: float
    """Share of the time in which this spinning client did not run: its core was taken away."""


class Client:
    """Sends on time over a fixed set of connections."""

    def __init__(self, url: str, request: bytes, rate_rps: float, seconds: float, connections: int) -> None:
        """Open the connections."""
        where = urlsplit(url)
        self._address = (where.hostname or "", where.port or 80)
        self._request, self._rate_rps = request, rate_rps
        self._count = max(1, int(rate_rps * seconds))
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._due_s: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self._free = [self._connect() for _ in range(connections)]
        self._took_s = np.zeros(self._count)
        self._late_s = np.zeros(self._count)
        self._sent = self._done = self.errors = 0
        self._still_s = 0.0

    def run(self) -> Paced:
        """Send them all, wait for the answers."""
        gc.disable()
        start_s = time.perf_counter()
        end_s = start_s + self._count / self._rate_rps + _DRAIN_S
        answered_s = turned_s = start_s  # since when a connection has been free; when the last turn began
        while self._done < self._count and (now_s := time.perf_counter()) < end_s:
            self._still_s += now_s - turned_s if now_s - turned_s > _STILL_S else 0.0
            turned_s = now_s
            due_s = start_s + self._sent / self._rate_rps
            while self._free and self._sent < self._count and now_s >= due_s:
                self._send(due_s, now_s - max(due_s, answered_s))
                due_s = start_s + self._sent / self._rate_rps
                now_s = time.perf_counter()
            was_full = not self._free
            for number, _ in self._poll.poll(0):
                self._receive(number)
            if was_full and self._free:
                answered_s = time.perf_counter()
        return self._summary(time.perf_counter() - start_s)

    def _summary(self, duration_s: float) -> Paced:
        lost = self._count - self._done
        took_ms = np.concatenate([self._took_s[: self._done], np.full(lost, duration_s)]) * 1000
        p50, p99, p999 = np.percentile(took_ms, [50, 99, 99.9])
        late_ms = np.percentile(self._late_s[: max(1, self._sent)], 99) * 1000
        done_rps = self._done / duration_s
        shares = self._calm_tail(), self._still_s / duration_s
        times = [float(value) for value in (p50, p99, p999, took_ms.max(), late_ms, *shares)]
        return Paced(self._rate_rps, self._count, self.errors + lost, done_rps, *times)

    def _calm_tail(self) -> float:
        size = max(1, int(self._rate_rps * _WINDOW_S))
        windows = self._took_s[: self._done // size * size].reshape(-1, size)
        p50, p99 = np.percentile(windows, [50, 99], axis=1) if len(windows) else ([1.0], [np.nan])
        return float(np.median(np.divide(p99, p50)))

    def _connect(self) -> int:
        sock = socket.create_connection(self._address, timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._sockets[sock.fileno()] = sock
        self._poll.register(sock.fileno(), select.EPOLLIN)
        return sock.fileno()

    def _send(self, due_s: float, late_s: float) -> None:
        number = self._free.pop()
        self._late_s[self._sent] = max(0.0, late_s)
        self._sent += 1
        self._due_s[number] = due_s
        try:
            self._sockets[number].sendall(self._request)
        except OSError:
            self._lost(number)

    def _receive(self, number: int) -> None:
        try:
            data = self._sockets[number].recv(_CHUNK)
        except OSError:
            data = b""
        if not data or number not in self._due_s:  # closed, or more than was asked for
            self._lost(number)
            return
        answer = self._partial.pop(number, b"") + data
        if not whole(answer):
            self._partial[number] = answer
            return
        self._finish(self._due_s.pop(number), good=answer.startswith(b"HTTP/1.1 200"))
        self._free.append(number)

    def _lost(self, number: int) -> None:
        """The connection is of no more use; its request, if it had one, failed."""
        self._poll.unregister(number)
        self._sockets.pop(number).close()
        self._partial.pop(number, None)
        if number in self._free:
            self._free.remove(number)
        if (due_s := self._due_s.pop(number, None)) is not None:
            self._finish(due_s, good=False)
        self._free.append(self._connect())

    def _finish(self, due_s: float, *, good: bool) -> None:
        self._took_s[self._done] = time.perf_counter() - due_s
        self._done += 1
        self.errors += not good


def whole(answer: bytes) -> bool:
    """Whether an HTTP/1.1 answer with a content-length is complete."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise SystemExit(f"an answer without content-length, which this client does not read: {head!r}")
    return len(body) >= int(rest.split(b"\r\n", 1)[0])


def main(url: str, rate_rps: float, seconds: float, connections: int) -> None:
    """Read the request, run, print."""
    request = sys.stdin.buffer.read()
    print(json.dumps(asdict(Client(url, request, rate_rps, seconds, connections).run())))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
