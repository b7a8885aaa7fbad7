"""Granian as published, RSGI on asyncio: reads a request and answers a constant.

`python granian_server.py PORT`
"""

import asyncio
import sys
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

OK = b'{"ok":true}'
HEADERS = [("content-type", "application/json")]


async def application(_scope: Any, protocol: Any) -> None:
    """Answer the constant."""
    await protocol()
    protocol.response_bytes(200, HEADERS, OK)


if __name__ == "__main__":
    server = Server(
        application,
        port=int(sys.argv[1]),
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )
    asyncio.run(server.serve())
