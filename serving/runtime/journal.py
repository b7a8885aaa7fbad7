"""The server's own log: one JSON object a line on standard output."""

import sys
import time
from contextlib import suppress
from typing import Any

import msgspec


def journal(event: str, **facts: Any) -> None:
    """Write one line: when, what, and the facts. Nobody to read it is no reason to stop serving."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = msgspec.json.encode({"at": at, "event": event, **facts})
    with suppress(OSError, ValueError):
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
