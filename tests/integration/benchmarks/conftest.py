"""The benchmarks' machinery, and small servers that misbehave on purpose."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# at the end: `benchmarks/serving.py` must not pass for the package `serving`
sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

Behave = Callable[[int], int | None]
"""From a request's number, from 0, to its status; None hangs up without an answer. It may sleep."""


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """wrk resets its connections when its time is over; nothing to report."""


@pytest.fixture
def misbehaving() -> Iterator[Callable[[Behave], str]]:
    """Starts a server that does as told, one request after the other; gives its address."""
    with ExitStack() as stack:

        def begin(behave: Behave) -> str:
            server = _Quiet(("127.0.0.1", 0), _handler(behave))
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield begin


def _handler(behave: Behave) -> type[BaseHTTPRequestHandler]:
    lock, asked = threading.Lock(), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one segment: the second would wait for an acknowledgement

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            with lock:
                asked.append(1)
                status = behave(len(asked) - 1)
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    return Handler
