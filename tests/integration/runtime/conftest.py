"""Real server processes on ports that the system gives."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import onnx.parser
import pytest

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Slo

ROOT = Path(__file__).parents[3]
WAIT_S = 60.0

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
echo (float[N, 3] features) => (float[N] probability)
<int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}, float zero = {0}, float half = {0.5}, float tenth = {0.1},
 int64[1] front = {0}>
{
    score = Gather<axis = 1>(features, i0)
    work = Gather<axis = 1>(features, i1)
    work_missing = IsNaN(work)
    work_given = Where(work_missing, zero, work)
    most = ReduceMax<keepdims = 0>(work_given)
    side = Cast<to = 7>(most)
    side_1d = Unsqueeze(side, front)
    shape = Concat<axis = 0>(side_1d, side_1d)
    square = ConstantOfShape(shape)
    product = MatMul(square, square)
    total = ReduceSum<keepdims = 0>(product)
    nothing = Mul(total, zero)
    colour = Gather<axis = 1>(features, i2)
    colour_missing = IsNaN(colour)
    code = Where(colour_missing, half, colour)
    shift = Mul(code, tenth)
    shifted = Add(score, shift)
    probability = Add(shifted, nothing)
}
"""
"""P = score + 0.1 code(colour), 0.5 being the code of a missing one. `work` = k multiplies two k x k
matrices of zeros first: a client can make a request slow, and a negative k makes the graph raise."""


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    load_or_create_key(folder)
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Bundle:
    return write_bundle(
        tmp_path_factory.mktemp("bundles"),
        onnx=onnx.parser.parse_model(GRAPH).SerializeToString(),
        signature=Signature(
            model_name="echo",
            key="row_id",
            label="yes",
            inputs=(
                Input(name="score", kind="numeric"),
                Input(name="work", kind="numeric"),
                Input(name="colour", kind="category", vocabulary=("red", "green")),
            ),
            threshold=0.5,
        ),
        reference=b"",
        slo=Slo(latency_limit_ms=40.0, rate_rps=100.0),
        card="# Echo\n",
        lineage=Lineage(
            use_case="echo", snapshot_id="0" * 64, as_of=datetime(2020, 1, 1, tzinfo=UTC), kind="echo", seed=1
        ),
        key=load_or_create_key(keys),
    )


def command(
    bundle: Path, keys: Path, *more: str, revision: str = "r1", python: str = sys.executable
) -> list[str]:
    where = ["--bundle", str(bundle), "--verify-key", str(keys / VERIFY_KEY_FILE)]
    return [python, "-m", "serving.runtime", *where, "--revision", revision, *more]


@pytest.fixture(scope="session")
def command_of() -> Callable[..., list[str]]:
    """The command line of a server, for tests with bundles of their own."""
    return command


@dataclass
class Server:
    """A running process and what it said."""

    process: subprocess.Popen[str]
    said: list[dict[str, Any]]
    asked_to_stop: bool = False

    @property
    def url(self) -> str:
        return str(self.said[0]["address"])

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return host, int(port)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all samples that carry these labels."""
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in self._page().splitlines()
            if line.startswith(f"{name}{{") and all(f'{k}="{v}"' in line for k, v in labels.items())
        )

    def _page(self) -> str:
        """Whole: a worker that stands still for a moment makes the scrape fail, which says nothing."""
        deadline = time.monotonic() + WAIT_S
        while True:
            page = httpx.get(f"{self.url}/metrics", timeout=60)
            if page.status_code == 200 or time.monotonic() > deadline:
                return page.text
            time.sleep(0.05)

    def ask_to_stop(self) -> None:
        """Once: a second signal would meet an interpreter that is already gone from its handlers."""
        if not self.asked_to_stop:
            self.process.send_signal(signal.SIGTERM)
        self.asked_to_stop = True

    def stop(self) -> int:
        self.ask_to_stop()
        code = self.process.wait(WAIT_S)
        self.said += [json.loads(line) for line in self.process.stdout or ()]
        return code


Start = Callable[..., Server]


def launch(arguments: list[str], cwd: Path) -> Server:
    process = subprocess.Popen(
        arguments, cwd=cwd, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    deaf = threading.Timer(WAIT_S, process.kill)
    deaf.start()
    assert process.stdout is not None
    first = process.stdout.readline()
    deaf.cancel()
    if not first:
        raise AssertionError(f"the server ended with {process.wait(WAIT_S)} before it was ready")
    return Server(process, [json.loads(first)])


@pytest.fixture
def begin() -> Iterator[Callable[..., Server]]:
    """Starts any server by its command; all are ended with the test."""
    servers: list[Server] = []

    def make(arguments: list[str], cwd: Path = ROOT) -> Server:
        servers.append(launch(arguments, cwd))
        return servers[-1]

    yield make
    for server in servers:
        server.process.kill()
        server.process.wait(WAIT_S)
        if server.process.stdout is not None:
            server.process.stdout.close()


@pytest.fixture
def start(begin: Callable[..., Server], bundle: Bundle, keys: Path) -> Start:
    """Starts servers of the echo bundle."""
    return lambda *more, revision="r1": begin(
        command(bundle.path, keys, "--port", "0", *more, revision=revision)
    )


@pytest.fixture(scope="module")
def shared(bundle: Bundle, keys: Path) -> Iterator[Server]:
    """One server for the tests that leave it as it was."""
    server = launch(command(bundle.path, keys, "--port", "0"), ROOT)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def speaking(bundle: Bundle, keys: Path) -> Iterator[Server]:
    """One server that speaks gRPC too, for the tests that leave it as it was."""
    server = launch(command(bundle.path, keys, "--port", "0", "--grpc-port", "0"), ROOT)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def launched() -> Iterator[Callable[[list[str]], Server]]:
    """Starts servers that live as long as the module's tests."""
    servers: list[Server] = []

    def make(arguments: list[str]) -> Server:
        servers.append(launch(arguments, ROOT))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()
