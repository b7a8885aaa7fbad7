"""Servers that read a request and answer a constant: ours without decoding, model and metrics.

`python noop_server.py PORT granian|transport`
"""

import asyncio
import sys
import threading
from typing import Any

OK = b'{"ok":true}'
HEADERS = [("content-type", "application/json")]


def granian(port: int) -> None:
    """Granian as published, RSGI on asyncio: reads the body and answers a constant."""
    from granian.constants import HTTPModes, Interfaces  # noqa: PLC0415 - as above
    from granian.server.embed import Server  # noqa: PLC0415 - as above

    async def application(_scope: Any, protocol: Any) -> None:
        await protocol()
        protocol.response_bytes(200, HEADERS, OK)

    server = Server(
        application,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )
    asyncio.run(server.serve())


class Constant:
    """Reads the body and answers a constant."""

    max_body_bytes = 1 << 24

    def at_once(self, *_request: Any) -> None:
        """Everything has a body."""

    def answer(self, _request: Any, _body: bytes, respond: Any, _start_ns: int) -> None:
        """Answer the constant."""
        respond(200, HEADERS, OK)

    def refuse(self, status: int, message: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """Say why not."""
        return status, HEADERS, message.encode()


def transport(port: int) -> None:
    """Our own transport, answering a constant: what decoding, model and metrics are added to."""
    from serving.runtime.port import listen  # noqa: PLC0415 - as above
    from serving.runtime.transport import Transport  # noqa: PLC0415 - as above

    Transport(listen("127.0.0.1", port), Constant()).start()
    threading.Event().wait()


SERVERS = {"granian": granian, "transport": transport}

if __name__ == "__main__":
    SERVERS[sys.argv[2]](int(sys.argv[1]))
