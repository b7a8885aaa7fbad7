"""A real server: every address, many clients at once, draining, and the reasons not to start."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from modelway.bundle.bundle import Bundle

INFER = "/v2/models/echo/infer"
ROOT = Path(__file__).parents[3]


def row(score: float, work: int = 0, **more: Any) -> dict[str, Any]:
    columns = {"score": ("FP32", score), "work": ("INT64", work), "colour": ("BYTES", "red"), **more}
    return {
        "inputs": [
            {"name": n, "shape": [1], "datatype": kind, "data": [v]} for n, (kind, v) in columns.items()
        ],
        "id": f"request-{score}",
    }


def probabilities(answer: dict[str, Any]) -> list[float]:
    return np.float32(answer["outputs"][0]["data"]).tolist()


@pytest.fixture
def client(shared: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.url, timeout=60) as client:
        yield client


def test_the_first_line_says_who_answers_where(shared: Any, bundle: Bundle) -> None:
    line = shared.said[0]

    assert (line["event"], line["model"], line["revision"]) == ("ready", "echo", "r1")
    assert line["digest"] == bundle.digest
    assert line["address"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/echo",
        "/v2/models/echo/ready",
        "/v2/models/echo/versions/r1",
        "/v2/models/echo/versions/r1/ready",
        "/v1/models/echo",
    ],
)
def test_every_address_answers_json_and_names_the_revision(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 200
    assert answer.headers["x-revision"] == "r1"
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json(), dict)


@pytest.mark.parametrize("path", [INFER, "/v2/models/echo/versions/r1/infer", INFER + "?verbose=1"])
def test_a_prediction_over_the_wire(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json=row(0.625))

    assert answer.status_code == 200
    assert answer.headers["x-revision"] == "r1"
    assert answer.json() == {
        "model_name": "echo",
        "model_version": "r1",
        "id": "request-0.625",
        "outputs": [
            {"name": "probability", "datatype": "FP32", "shape": [1], "data": [0.625]},
            {"name": "decision", "datatype": "INT64", "shape": [1], "data": [1]},
        ],
    }


def test_v1_over_the_wire(client: httpx.Client) -> None:
    answer = client.post("/v1/models/echo:predict", json={"instances": [[0.25, 0, "red"], [0.5, None, None]]})

    assert answer.json() == {"predictions": [0.25, 0.55]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", INFER, b"{", 400),
        ("POST", INFER, b"", 400),
        ("POST", "/v2/models/other/infer", b"{}", 404),
        ("GET", "/nowhere", b"", 404),
        ("GET", INFER, b"", 405),
        ("PUT", INFER, b"{}", 405),
        ("POST", INFER, b" " * (16 * 1024 * 1024 + 1), 413),
    ],
)
def test_a_bad_request_is_answered_and_the_connection_lives_on(
    client: httpx.Client, method: str, path: str, body: bytes, status: int
) -> None:
    answer = client.request(method, path, content=body)

    assert answer.status_code == status
    assert answer.json()["error"]
    assert client.get("/v2/health/live").status_code == 200


def test_a_body_of_unannounced_length_is_read_and_limited(client: httpx.Client) -> None:
    whole = json.dumps(row(0.5)).encode()
    assert client.post(INFER, content=iter([whole[:20], whole[20:]])).status_code == 200

    answer = client.post(INFER, content=(b" " * 65_536 for _ in range(300)))
    assert answer.status_code == 413


def test_a_client_that_leaves_in_the_middle_harms_nobody(shared: Any, client: httpx.Client) -> None:
    before = client.get("/v2/health/live").status_code
    for _ in range(5):
        with shared.connect() as connection:
            connection.sendall(f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{{".encode())

    assert before == client.get("/v2/health/live").status_code == 200
    assert client.post(INFER, json=row(0.5)).status_code == 200


def test_a_graph_that_raises_is_a_500_that_is_counted(start: Any) -> None:
    server = start()
    answer = httpx.post(server.url + INFER, json=row(0.5, work=-1), timeout=60)

    assert answer.status_code == 500
    assert "the graph failed" in answer.json()["error"]
    assert server.metric("modelway_requests_total", status="500") == 1
    assert httpx.post(server.url + INFER, json=row(0.5), timeout=60).status_code == 200


def test_many_clients_each_get_their_own_answer(shared: Any) -> None:
    def ask(worker: int) -> bool:
        with httpx.Client(base_url=shared.url, timeout=60) as client:
            scores = [((worker * 50 + at) % 400) / 512 for at in range(50)]
            answers = [client.post(INFER, json=row(score)).json() for score in scores]
        return all(
            probabilities(answer) == [score] and answer["id"] == f"request-{score}"
            for answer, score in zip(answers, scores, strict=True)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


def test_a_large_batch_and_small_requests_do_not_mix_up(client: httpx.Client) -> None:
    scores = [at / 8192 for at in range(4096)]
    data = [[score, 0.0, 0.0] for score in scores]
    batch = {"inputs": [{"name": "features", "shape": [4096, 3], "datatype": "FP32", "data": data}]}

    def large() -> bool:
        answer = client.post(INFER, json=batch).json()
        return probabilities(answer) == scores

    def small(at: int) -> bool:
        answer = client.post(INFER, json=row(at / 64)).json()
        return probabilities(answer) == [at / 64]

    with ThreadPoolExecutor(4) as pool:
        batches = [pool.submit(large) for _ in range(4)]
        assert all(pool.map(small, range(50)))
        assert all(future.result() for future in batches)


def test_latency_is_counted_against_the_slo(start: Any) -> None:
    server = start()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for work in (0, 0, 2500):
            client.post(INFER, json=row(0.5, work=work))

    assert server.metric("modelway_latency_seconds_count") == 3
    assert server.metric("modelway_slo_exceeded_total") == 3 - server.metric(
        "modelway_latency_seconds_bucket", le="0.04"
    )
    assert server.metric("modelway_slo_exceeded_total") >= 1


def test_the_log_holds_what_was_sent(start: Any, tmp_path: Path, bundle: Bundle) -> None:
    server = start("--log-dir", str(tmp_path))
    began_us = time.time_ns() // 1000
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for at in range(20):
            extras = {"row_id": ("BYTES", f"loan-{at}"), "event_time": ("INT64", 1_000_000 * at)}
            client.post(INFER, json=row(at / 32, **extras))
        client.post(INFER, content=b"{")
    assert server.stop() == 0

    table = pq.ParquetFile(next(tmp_path.glob(f"r1-{server.process.pid}-*.parquet"))).read()
    assert table["_request_id"].to_pylist() == [f"request-{at / 32}" for at in range(20)]
    assert table["_entity_id"].to_pylist() == [f"loan-{at}" for at in range(20)]
    assert table["_event_time"].cast("int64").to_pylist() == [1_000_000 * at for at in range(20)]
    assert all(
        began_us <= at <= time.time_ns() // 1000 for at in table["_received_at"].cast("int64").to_pylist()
    )
    assert table["_probability"].to_pylist() == table["score"].to_pylist() == [at / 32 for at in range(20)]
    assert table["colour"].to_pylist() == [0.0] * 20
    assert set(table["_bundle"].to_pylist()) == {bundle.digest}
    assert list(tmp_path.glob("*.tmp")) == []
    assert server.said[-1]["log_rows_written"] == 20


def test_draining_says_not_ready_and_loses_no_request(start: Any, tmp_path: Path) -> None:
    server = start("--log-dir", str(tmp_path), "--drain-s", "4")
    answered, failed, stop = [], [], threading.Event()

    def keep_asking(client: httpx.Client) -> None:
        while not stop.is_set():
            try:
                answered.append(
                    client.post(INFER, json=row(0.5), headers={"connection": "close"}).status_code
                )
            except httpx.HTTPError as error:
                failed.append(repr(error))

    # larger than what is answered on the spot: the probes below pass by it
    slow_body = {**row(0.25, work=4000), "parameters": {"padding": "x" * 20_000}}
    with httpx.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(5) as pool:
        askers = [pool.submit(keep_asking, client) for _ in range(3)]
        slow = pool.submit(client.post, INFER, json=slow_body)
        while server.metric("modelway_in_flight_requests") == 0 and not slow.done():
            time.sleep(0.02)
        server.ask_to_stop()
        while (status := client.get("/v2/health/ready").status_code) == 200:
            time.sleep(0.02)
        assert status == 503
        assert client.get("/v2/health/live").status_code == 200
        assert probabilities(slow.result(60).json()) == [0.25]
        stop.set()  # well before the port closes, as clients do that look at readiness
        for asker in askers:
            asker.result(60)
        assert server.stop() == 0

    assert failed == []
    assert set(answered) == {200}
    assert [line["event"] for line in server.said] == ["ready", "draining", "stopped"]
    assert server.said[-1]["in_flight_finished"] is True
    rows = sum(pq.ParquetFile(path).metadata.num_rows for path in tmp_path.glob("*.parquet"))
    assert rows == len(answered) + 1 == server.said[-1]["log_rows_written"]


def test_probes_pass_by_a_heavy_request(start: Any) -> None:
    server = start()
    heavy = {**row(0.25, work=3500), "parameters": {"padding": "x" * 20_000}}
    passed = False
    with httpx.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(1) as pool:
        client.get("/v2/health/live")
        for _ in range(10):  # this process may stand still until the heavy one is done: then once more
            slow = pool.submit(client.post, INFER, json=heavy)
            time.sleep(0.3)
            assert client.get("/v2/health/live").status_code == 200
            assert client.post(INFER, json=row(0.5)).status_code == 200
            passed = not slow.done()
            assert slow.result(60).status_code == 200
            if passed:
                break

    assert passed, "the probe waited for the heavy request"


def test_a_request_that_outlives_the_drain_is_still_answered(start: Any) -> None:
    server = start("--drain-s", "0")
    with ThreadPoolExecutor(1) as pool:
        padded = {**row(0.25, work=4000), "parameters": {"padding": "x" * 20_000}}
        slow = pool.submit(httpx.post, server.url + INFER, json=padded, timeout=60)
        while server.metric("modelway_in_flight_requests") == 0 and not slow.done():
            time.sleep(0.02)
        assert server.stop() == 0

        assert slow.result(60).json()["outputs"][0]["data"] == [0.25]


def test_an_idle_connection_does_not_hold_up_the_end(start: Any) -> None:
    server = start("--drain-s", "0")
    with httpx.Client(base_url=server.url) as client:
        client.get("/v2/health/live")
        assert server.stop() == 0

    assert server.said[-1]["in_flight_finished"] is True


def test_a_signal_that_comes_at_once_is_not_lost(start: Any) -> None:
    for _ in range(4):
        server = start("--drain-s", "0")
        assert server.stop() == 0
        assert server.said[-1]["event"] == "stopped"
