"""Several processes behind one port: one page of figures, one readiness, one end."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

INFER = "/v2/models/echo/infer"
WAIT_S = 60.0


def row(score: float, work: int = 0) -> dict[str, Any]:
    columns = {"score": ("FP32", score), "work": ("INT64", work), "colour": ("BYTES", "red")}
    tensors = [{"name": n, "shape": [1], "datatype": kind, "data": [v]} for n, (kind, v) in columns.items()]
    return {"inputs": tensors, "id": f"request-{score}"}


def ask(server: Any, requests: int, clients: int = 8) -> None:
    """Each client has connections of its own, so that the kernel may spread them."""

    def some(_client: int) -> None:
        for _ in range(requests // clients):
            with httpx.Client(base_url=server.url, timeout=30) as client:
                assert client.post(INFER, json=row(0.5)).status_code == 200

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(some, range(clients)))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def ready(server: Any) -> bool:
    return httpx.get(f"{server.url}/v2/health/ready", timeout=30).status_code == 200


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_page_counts_what_all_answered_and_a_crash_takes_nothing_back(start: Any, tmp_path: Path) -> None:
    server = start("--workers", "3", "--log-dir", str(tmp_path))
    pids = server.said[0]["workers"]
    assert len(pids) == len(set(pids)) == 3
    ask(server, 80)
    assert server.metric("modelway_requests_total", status="200") == 80
    assert server.metric("modelway_latency_seconds_count") == 80
    assert server.metric("modelway_latency_seconds_bucket", le="+Inf", protocol="v2") == 80
    assert server.metric("modelway_rows_total") == 80
    assert server.metric("modelway_workers", state="ready") == 3
    assert server.metric("modelway_ready") == 1

    os.kill(pids[1], signal.SIGKILL)
    until(lambda: server.metric("modelway_worker_restarts_total") == 1)
    assert server.metric("modelway_requests_total", status="200") == 80
    until(lambda: ready(server))
    ask(server, 40)
    assert server.metric("modelway_requests_total", status="200") == 120
    assert server.metric("modelway_latency_seconds_count") == 120
    assert server.metric("modelway_workers", state="ready") == 3
    assert server.stop() == 0

    ended = [line for line in server.said if line["event"] == "worker_ended"]
    assert [(line["pid"], line["code"]) for line in ended] == [(pids[1], -signal.SIGKILL)]
    by_process: Counter[str] = Counter()
    for file in tmp_path.glob("*.parquet"):
        by_process[file.name.split("-")[1]] += pq.ParquetFile(file).metadata.num_rows
    assert len(by_process) >= 2, "more than one process answered"
    assert by_process.total() <= 120  # what the killed one had not written yet is gone


def test_readiness_is_that_of_all_and_a_busy_worker_fails_the_scrape(start: Any) -> None:
    server = start("--workers", "2")
    pids = server.said[0]["workers"]
    assert ready(server)
    os.kill(pids[0], signal.SIGSTOP)
    try:
        seen = set()
        for _ in range(20):  # the other one answers sooner or later: it takes what the stopped one does not
            try:
                seen.add(httpx.get(f"{server.url}/metrics", timeout=5).status_code)
            except httpx.ReadTimeout:
                continue
            break
        assert seen == {503}
    finally:
        os.kill(pids[0], signal.SIGCONT)
    until(lambda: httpx.get(f"{server.url}/metrics", timeout=30).status_code == 200)

    os.kill(pids[0], signal.SIGKILL)
    # Not ready until the new one is; this process may stand still meanwhile and see only that it came.
    until(lambda: not ready(server) or server.metric("modelway_worker_restarts_total") == 1)
    until(lambda: ready(server))
    assert server.metric("modelway_worker_restarts_total") == 1


def test_a_worker_that_is_asked_to_end_alone_leaves_the_port_to_the_others(start: Any) -> None:
    server = start("--workers", "2", "--drain-s", "0")
    os.kill(server.said[0]["workers"][0], signal.SIGTERM)
    until(lambda: server.metric("modelway_worker_restarts_total") == 1)
    ask(server, 16)
    until(lambda: ready(server))


def test_the_end_drains_all_and_loses_no_request(start: Any) -> None:
    server = start("--workers", "2", "--drain-s", "1")
    pids = server.said[0]["workers"]
    with ThreadPoolExecutor(4) as pool:
        slow = [
            pool.submit(httpx.post, server.url + INFER, json=row(0.25, work=2000), timeout=60)
            for _ in range(4)
        ]
        time.sleep(0.3)
        assert server.stop() == 0
        assert [answer.result(60).status_code for answer in slow] == [200] * 4

    assert not any(alive(pid) for pid in pids)
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)
    events = [line["event"] for line in server.said]
    assert events[0] == "ready"
    assert events[-1] == "stopped"


def test_workers_end_with_a_supervisor_that_was_killed(start: Any) -> None:
    server = start("--workers", "2", "--drain-s", "0")
    server.process.kill()
    server.process.wait(WAIT_S)

    until(lambda: not any(alive(pid) for pid in server.said[0]["workers"]))


def test_a_bundle_that_cannot_be_served_ends_all_with_its_own_exit_code(
    command_of: Any, keys: Path, tmp_path: Path
) -> None:
    command = command_of(tmp_path, keys, "--port", "0", "--workers", "2")
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)

    assert done.returncode == 3
    assert "error:" in done.stderr
    assert '"ready"' not in done.stdout


def test_what_one_worker_would_know_alone_is_refused(command_of: Any, bundle: Any, keys: Path) -> None:
    for more in (["--model-control"], ["--grpc-port", "0"]):
        command = command_of(bundle.path, keys, "--port", "0", "--workers", "2", *more)
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert done.returncode == 2, json.dumps(done.stderr)
