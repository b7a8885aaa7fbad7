"""How fast does the model server answer? Ours, KServe's, and a server that does nothing, in one run.

The same gradient-boosted trees (scikit-learn -> ONNX), one row a request in V2 JSON, the same core for
every server and another one for wrk, rounds taken in turn so that a busy moment hits all alike.
CPU time a request is read from the kernel: it barely notices what else the machine does.

`python benchmarks/serving.py [--seconds 3] [--rounds 3] [--connections 16]` exits 1 when ours is less
than 8 times as fast as KServe's.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np

from modelway.bundle.bundle import write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Slo

FEATURES, TREES = 12, 100
REQUIRED_RATIO = 8.0
ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).with_name("serving_peers.py")
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")

LUA = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
done = function(summary, latency, requests)
    local bad = summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect
    io.write(string.format("RESULT %d %d %d %f %f\\n", summary.requests, summary.duration, bad,
        latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass
class Contender:
    """A running server and what was measured of it."""

    name: str
    url: str
    script: Path
    process: subprocess.Popen[bytes]
    rates_rps: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def measure(self, seconds: int, connections: int, core: str | None) -> None:
        """One round of wrk."""
        load = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(self.script), self.url]
        before_us = self._cpu_us()
        said = subprocess.run(
            [*_pinned(core), *load], capture_output=True, text=True, check=True, timeout=seconds + 60
        )
        requests, duration_us, bad, p50_us, p99_us = map(float, said.stdout.split("RESULT ")[1].split())
        if bad or not requests:
            raise SystemExit(f"{self.name}: {bad:.0f} of {requests:.0f} requests failed")
        self.rates_rps.append(requests / duration_us * 1e6)
        self.p50_us.append(p50_us)
        self.p99_us.append(p99_us)
        self.cpu_us.append((self._cpu_us() - before_us) / requests)

    def _cpu_us(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK_US


def train(folder: Path) -> Path:
    """Gradient-boosted trees on seeded rows with missing values, as one graph."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - after the cheap checks
    from skl2onnx import to_onnx  # noqa: PLC0415 - as above
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415 - as above
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - as above

    random = np.random.default_rng(7)
    X = random.normal(size=(5000, FEATURES)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] + random.normal(size=5000) > 0.5).astype(int)
    X[random.random(X.shape) < 0.05] = np.nan
    model = HistGradientBoostingClassifier(max_iter=TREES, random_state=7).fit(X, y)
    kind = [("features", FloatTensorType([None, FEATURES]))]
    exported = to_onnx(model, initial_types=kind, options={id(model): {"zipmap": False}})
    graph = exported.graph
    graph.initializer.append(numpy_helper.from_array(np.array(1, dtype=np.int64), "positive"))
    graph.node.append(helper.make_node("Gather", ["probabilities", "positive"], ["probability"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None]))
    path = folder / "trees.onnx"
    path.write_bytes(exported.SerializeToString())
    return path


def bundled(folder: Path, model: Path) -> list[str]:
    """The arguments that serve `model` as a signed bundle."""
    keys = folder / "keys"
    inputs = tuple(Input(name=f"x{at}", kind="numeric") for at in range(FEATURES))
    bundle = write_bundle(
        folder / "bundles",
        onnx=model,
        signature=Signature(model_name="bench", key="row_id", label="y", inputs=inputs, threshold=0.5),
        reference=b"",
        slo=Slo(latency_limit_ms=25, rate_rps=1000),
        card="",
        lineage=Lineage(
            use_case="bench", snapshot_id="", as_of=datetime(2020, 1, 1, tzinfo=UTC), kind="hgb", seed=7
        ),
        key=load_or_create_key(keys),
    )
    return ["--bundle", str(bundle.path), "--verify-key", str(keys / VERIFY_KEY_FILE), "--revision", "r1"]


def scripts(folder: Path) -> tuple[Path, Path]:
    """Scripts for wrk that send one row, as a matrix and by named columns."""
    values = [round(0.37 * at - 2, 2) for at in range(FEATURES)]
    matrix = [{"name": "features", "shape": [1, FEATURES], "datatype": "FP32", "data": values}]
    named = [{"name": f"x{at}", "shape": [1], "datatype": "FP32", "data": [v]} for at, v in enumerate(values)]
    paths = []
    for name, inputs in (("matrix", matrix), ("named", named)):
        body, script = folder / f"{name}.json", folder / f"{name}.lua"
        body.write_text(json.dumps({"id": "1", "inputs": inputs}))
        script.write_text(LUA.replace("{body}", str(body)))
        paths.append(script)
    return paths[0], paths[1]


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def begin(stack: ExitStack, command: list[str], core: str | None) -> subprocess.Popen[bytes]:
    """Start a server that ends with `stack`."""
    process = subprocess.Popen(
        [*_pinned(core), *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait, 30)
    stack.callback(process.kill)
    return process


def await_port(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    """Wait until someone listens."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{name} ended with {process.returncode} before it listened")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit(f"{name} did not listen within 120 s")


def contenders(stack: ExitStack, folder: Path, core: str | None) -> list[Contender]:
    """Every server, running."""
    model = train(folder)
    serve = [sys.executable, "-m", "serving.runtime", *bundled(folder, model)]
    peer = [sys.executable, "-P", str(PEERS)]  # -P: beside it, this file would pass for our package `serving`
    matrix, named = scripts(folder)
    plan = [
        (
            "Granian doing nothing, asyncio",
            [*peer, "bare-granian", "PORT", str(model)],
            matrix,
        ),
        (
            "our transport doing nothing",
            [*peer, "bare-transport", "PORT", str(model)],
            matrix,
        ),
        ("Modelway, matrix", [*serve, "--port", "PORT"], matrix),
        ("Modelway, named columns", [*serve, "--port", "PORT"], named),
        (
            "Modelway, matrix, prediction log",
            [*serve, "--port", "PORT", "--log-dir", str(folder / "log")],
            matrix,
        ),
        ("KServe ModelServer", [*peer, "kserve", "PORT", str(model)], matrix),
    ]
    running = []
    for name, command, script in plan:
        port = free_port()
        process = begin(stack, [str(port) if word == "PORT" else word for word in command], core)
        await_port(process, port, name)
        running.append(Contender(name, f"http://127.0.0.1:{port}/v2/models/bench/infer", script, process))
    return running


def agree(running: list[Contender]) -> None:
    """Ours and KServe's must give the same probability, or the comparison means nothing."""
    answers = {}
    for one in running[2:]:
        body = one.script.with_suffix(".json").read_bytes()
        request = urllib.request.Request(one.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answers[one.name] = np.float32(json.load(answer)["outputs"][0]["data"][0])
    if len(set(answers.values())) != 1:
        raise SystemExit(f"the servers disagree: {answers}")


def report(running: list[Contender]) -> float:
    """Print the table; the ratio of ours to KServe's, by throughput."""
    limit, ours, peer = running[1], running[2], running[-1]
    print(f"{'one row a request, V2 JSON':34s} {'req/s':>8s} {'p50 ms':>7s} {'p99 ms':>7s} {'CPU us':>7s} "
          f"{'x KServe':>9s} {'of limit':>9s}")  # fmt: skip
    for one in running:
        rate = median(one.rates_rps)
        times, share = rate / median(peer.rates_rps), rate / median(limit.rates_rps)
        print(
            f"{one.name:34s} {rate:8.0f} {median(one.p50_us) / 1000:7.2f} {median(one.p99_us) / 1000:7.2f} "
            f"{median(one.cpu_us):7.1f} {times:8.1f}x {share:8.0%}"
        )
    return median(ours.rates_rps) / median(peer.rates_rps)


def _cores() -> tuple[str | None, str | None]:
    """One core for the servers, another for wrk; none where there is no choice."""
    cores = sorted(os.sched_getaffinity(0))
    return (str(cores[0]), str(cores[1])) if len(cores) > 1 and shutil.which("taskset") else (None, None)


def _pinned(core: str | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", core]


def main() -> int:
    """Measure and print; 1 when the required ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing\nexpected: the Debian package wrk\nto do: apt-get install wrk")
    server_core, wrk_core = _cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelway-benchmark-")))
        running = contenders(stack, folder, server_core)
        agree(running)
        for seconds in [1] + [options.seconds] * options.rounds:
            for one in running:
                one.measure(seconds, options.connections, wrk_core)
        for one in running:
            for figures in (one.rates_rps, one.p50_us, one.p99_us, one.cpu_us):
                del figures[0]  # the first, short round warms up
        ratio = report(running)
    print(f"\nModelway answers {ratio:.1f} times as many requests as KServe; required: {REQUIRED_RATIO:.0f}")
    return 0 if ratio >= REQUIRED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
