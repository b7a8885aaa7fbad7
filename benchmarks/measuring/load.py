"""Closed-loop load from programs in C: wrk for HTTP/1.1, h2load for gRPC. As many requests as come back."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from measuring.calls import Call
from measuring.cores import pinned

_LUA = """
wrk.method = "POST"
{headers}
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
done = function(summary, latency, requests)
    local bad = summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect
    io.write(string.format("RESULT %d %d %d %f %f\\n", summary.requests, summary.duration, bad,
        latency:percentile(50), latency:percentile(99)))
end
"""
_WAIT_S = 60


class Round(NamedTuple):
    """What one round gave."""

    requests: int
    rate_rps: float
    p50_ms: float
    p99_ms: float


def require_tools(*names: str) -> None:
    """Stop when a program is missing."""
    packages = {"wrk": "wrk", "h2load": "nghttp2-client", "taskset": "util-linux"}
    for name in names:
        if shutil.which(name) is None:
            package = packages[name]
            raise SystemExit(
                f"{name} is missing\nexpected: the Debian package {package}\nto do: apt-get install {package}"
            )


def wrk(url: str, call: Call, *, seconds: int, connections: int, core: str | None) -> Round:
    """One round of HTTP/1.1; every answer must be 2xx."""
    with tempfile.TemporaryDirectory() as name:
        script = _script(Path(name), call)
        load = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url + call.path]
        said = _output([*pinned(core), *load], seconds)
    requests, duration_us, bad, p50_us, p99_us = map(float, said.split("RESULT ")[1].split())
    if bad or not requests:
        raise SystemExit(f"{url}{call.path}: {bad:.0f} of {requests:.0f} requests failed")
    return Round(int(requests), requests / duration_us * 1e6, p50_us / 1000, p99_us / 1000)


def h2load(url: str, call: Call, *, seconds: int, connections: int, core: str | None) -> Round:
    """One round of gRPC, one stream a connection; every answer must carry as many bytes as the others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "body").write_bytes(call.body)
        headers = [word for key, value in call.headers.items() for word in ("-H", f"{key}: {value}")]
        options = ["-t1", f"-c{connections}", "-m1", f"-D{seconds}", f"--log-file={folder / 'log'}"]
        load = ["h2load", *options, "-d", str(folder / "body"), *headers, url + call.path]
        said = _output([*pinned(core), *load], seconds)
        log = np.loadtxt(folder / "log", dtype=np.int64, ndmin=2)
    return _counted(said, log, url)


def _counted(said: str, log: np.ndarray, url: str) -> Round:
    """h2load's log: start in µs since 1970, HTTP status, µs until the answer was whole."""
    data_bytes = int(re.findall(r"\((\d+)\) data", said)[0])
    begun_us, status, took_us = log[:, 0], log[:, 1], log[:, 2]
    if (status != 200).any() or not data_bytes or data_bytes % len(log):
        raise SystemExit(f"{url}: not every gRPC answer carries a message\n{said}")
    span_us = (begun_us + took_us).max() - begun_us.min()
    p50_us, p99_us = np.percentile(took_us, [50, 99])
    return Round(len(log), len(log) / span_us * 1e6, p50_us / 1000, p99_us / 1000)


def _script(folder: Path, call: Call) -> Path:
    body, script = folder / "body", folder / "load.lua"
    body.write_bytes(call.body)
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in call.headers.items())
    script.write_text(_LUA.replace("{body}", str(body)).replace("{headers}", headers))
    return script


def _output(command: list[str], seconds: int) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=seconds + _WAIT_S
    ).stdout
