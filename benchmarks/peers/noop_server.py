"""Our server without decoding, model and metrics: reads a request and answers a constant.

`python noop_server.py PORT`
"""

import sys
import threading
from functools import partial
from typing import Any

from serving.runtime.http1.wire import Http1
from serving.runtime.net.server import Server
from serving.runtime.port import listen
from serving.runtime.transport import FixedHeaders

OK = b'{"ok":true}'
HEADERS = FixedHeaders([("content-type", "application/json")])


class Constant:
    """Reads the body and answers a constant."""

    max_body_bytes = 1 << 24

    def at_once(self, *_request: Any) -> None:
        """Everything has a body."""

    def answer(self, _request: Any, _body: bytes, respond: Any, _start_ns: int) -> None:
        """Answer the constant."""
        respond(200, HEADERS, OK)

    def refuse(self, status: int, message: str) -> tuple[int, FixedHeaders, bytes]:
        """Say why not."""
        return status, HEADERS, message.encode()


def main(port: int) -> None:
    """Our own transport, answering a constant: what decoding, model and metrics are added to."""
    server = Server()
    server.listen(listen("127.0.0.1", port), partial(Http1, Constant(), None))
    server.start()
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
