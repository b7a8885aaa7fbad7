"""Open-loop load on a server, from `paced_client.py` in a process of its own."""

import json
import subprocess
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from measuring.calls import Call
from measuring.cores import pinned, python
from measuring.paced_client import Paced

_CLIENT = Path(__file__).with_name("paced_client.py")
_WAIT_S = 60


class Pace(NamedTuple):
    """How to offer a load."""

    rate_rps: float
    seconds: float
    core: str | None
    """The client's."""
    connections: int = 16


def request_bytes(url: str, call: Call) -> bytes:
    """The call as it goes over the wire."""
    headers = {"host": urlsplit(url).netloc, **call.headers, "content-length": str(len(call.body))}
    lines = [f"POST {call.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + call.body


def paced(url: str, call: Call, pace: Pace) -> Paced:
    """Run the client in a process of its own."""
    command = [*pinned(pace.core), *python(), str(_CLIENT)]
    options = [url, str(pace.rate_rps), str(pace.seconds), str(pace.connections)]
    said = subprocess.run(
        [*command, *options],
        input=request_bytes(url, call),
        stdout=subprocess.PIPE,
        check=True,
        timeout=pace.seconds + _WAIT_S,
    )
    return Paced(**json.loads(said.stdout))
