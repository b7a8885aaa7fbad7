"""Requests that are answered later, by a real process that may be killed meanwhile."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

INFER, PREDICT = "/v2/models/echo/infer", "/v1/models/echo:predict"
WAIT_S = 240.0
Begin = Callable[..., Any]


def request(score: float = 0.25, work: float = 0, **rest: Any) -> dict[str, Any]:
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [score, work, 0]}
    return {"inputs": [tensor], **rest}


@pytest.fixture
def serve(start: Begin, tmp_path: Path) -> Begin:
    """Starts servers that keep jobs in one file."""

    def make(*more: str, **wishes: Any) -> Any:
        settings = tmp_path / "settings.yaml"
        settings.write_text(json.dumps({"jobs": {"file": str(tmp_path / "jobs.db"), **wishes}}))
        return start("--settings", str(settings), *more)

    return make


def hand_in(server: Any, document: Any, path: str = INFER, **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}{path}?async", json=document, headers=headers, timeout=30)


def wait_for(server: Any, job: str, *states: str) -> dict[str, Any]:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        document = httpx.get(f"{server.url}/v2/jobs/{job}", timeout=30).json()
        if document.get("state") in states:
            return dict(document)
        time.sleep(0.02)
    raise AssertionError(f"the job never became {states}: {document}")


def test_a_jobs_answer_is_the_one_that_a_waiting_client_gets(serve: Begin) -> None:
    server = serve()
    for path, document in (
        (INFER, request(id="a")),
        (PREDICT, {"instances": [[0.5, 0, "red"], [0.25, None, None]]}),
    ):
        taken = hand_in(server, document, path)
        job = taken.json()["id"]

        assert taken.status_code == 202
        assert taken.headers["location"] == taken.json()["status_url"] == f"/v2/jobs/{job}"
        told = wait_for(server, job, "done")
        at_once = httpx.post(server.url + path, json=document, timeout=30)
        fetched = httpx.get(server.url + told["result_url"], timeout=30)
        assert (fetched.status_code, fetched.content) == (200, at_once.content)
        assert fetched.headers["x-revision"] == at_once.headers["x-revision"]
        assert told["result"] == at_once.json()


def test_binary_tensors_wait_as_well(serve: Begin) -> None:
    server = serve()
    raw = b"\x00\x00\x80\x3e" + bytes(8)
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(head))}

    taken = httpx.post(f"{server.url}{INFER}?async=1", content=head + raw, headers=headers, timeout=30)

    told = wait_for(server, taken.json()["id"], "done")
    at_once = httpx.post(f"{server.url}{INFER}", content=head + raw, headers=headers, timeout=30)
    assert at_once.status_code == 200
    assert httpx.get(server.url + told["result_url"], timeout=30).content == at_once.content
    assert "result" not in told


def test_a_job_that_fails_says_what_a_waiting_client_would_hear(serve: Begin) -> None:
    server = serve()
    for document, status in ((request(work=-1), 500), ({"inputs": []}, 400)):
        job = hand_in(server, document).json()["id"]

        told = wait_for(server, job, "failed")
        at_once = httpx.post(server.url + INFER, json=document, timeout=30)
        fetched = httpx.get(server.url + told["result_url"], timeout=30)
        assert (fetched.status_code, fetched.content) == (status, at_once.content)
        assert told["error"] == at_once.json()


def test_the_same_key_is_the_same_job_and_no_other_request(serve: Begin) -> None:
    server = serve()
    ids = {hand_in(server, request(), **{"idempotency-key": "k1"}).json()["id"] for _ in range(3)}

    other = hand_in(server, request(0.75), **{"idempotency-key": "k1"})

    assert len(ids) == 1
    assert other.status_code == 422
    wait_for(server, ids.pop(), "done")
    assert server.metric("modelway_requests_total", status="200") == 1


def test_a_queue_that_is_full_says_so(serve: Begin) -> None:
    server = serve(max_queued=2)

    answers = [hand_in(server, request(work=2500)) for _ in range(12)]

    taken = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(taken) >= 2
    assert refused
    assert refused[0].headers["retry-after"] == "1"
    for job in taken[1:]:
        httpx.delete(f"{server.url}/v2/jobs/{job}", timeout=30)
    assert hand_in(server, request()).status_code == 202


def test_a_job_that_was_withdrawn_is_gone(serve: Begin) -> None:
    server = serve()
    held = hand_in(server, request(work=4000)).json()["id"]
    waiting = hand_in(server, request()).json()["status_url"]

    assert httpx.delete(server.url + waiting, timeout=30).status_code == 204
    assert httpx.get(server.url + waiting, timeout=30).status_code == 404
    assert httpx.delete(server.url + waiting, timeout=30).status_code == 404
    wait_for(server, held, "done")
    assert server.metric("modelway_requests_total", status="200") == 1


def test_what_is_no_job_is_refused(serve: Begin) -> None:
    server = serve()

    assert httpx.get(f"{server.url}/v2/jobs/none", timeout=30).status_code == 404
    assert httpx.put(f"{server.url}/v2/jobs/none", timeout=30).status_code == 405
    assert hand_in(server, request(), **{"idempotency-key": "x" * 300}).status_code == 400
    assert hand_in(server, request(), "/v2/models/other/infer").status_code == 404


def test_an_answer_is_forgotten_after_its_time(serve: Begin) -> None:
    server = serve(keep_s=0.1)
    job = hand_in(server, request()).json()["id"]

    until = time.monotonic() + WAIT_S
    while httpx.get(f"{server.url}/v2/jobs/{job}", timeout=30).status_code != 404:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_jobs_survive_a_kill_and_run_again_where_they_ran(serve: Begin) -> None:
    server = serve()
    running = hand_in(server, request(0.5, work=6000)).json()["id"]
    waiting = [hand_in(server, request(at / 8)).json()["id"] for at in range(4)]
    wait_for(server, running, "running")
    server.process.kill()
    server.process.wait(WAIT_S)

    again = serve()

    assert wait_for(again, running, "done")["result"]["outputs"][0]["data"] == [0.5]
    found = [wait_for(again, job, "done")["result"]["outputs"][0]["data"][0] for job in waiting]
    assert found == [at / 8 for at in range(4)]


def test_a_clean_stop_finishes_what_runs_and_keeps_what_waits(serve: Begin) -> None:
    server = serve()
    jobs = [hand_in(server, request(work=2500)).json()["id"] for _ in range(3)]
    wait_for(server, jobs[0], "running", "done")

    assert server.stop() == 0
    again = serve()

    assert [wait_for(again, job, "done")["status"] for job in jobs] == [200] * 3


def test_two_servers_share_the_work_and_run_each_job_once(serve: Begin) -> None:
    first, second = serve(), serve()

    with ThreadPoolExecutor(4) as clients:
        taken = list(clients.map(lambda at: hand_in((first, second)[at % 2], request(at / 64)), range(32)))

    jobs = [answer.json()["id"] for answer in taken]
    found = [wait_for((second, first)[at % 2], job, "done") for at, job in enumerate(jobs)]
    assert [told["result"]["outputs"][0]["data"][0] for told in found] == [at / 64 for at in range(32)]
    counted = sum(server.metric("modelway_requests_total", status="200") for server in (first, second))
    assert counted == 32


def test_a_server_without_jobs_says_so_and_what_to_do(shared: Any) -> None:
    answer = hand_in(shared, request())

    assert answer.status_code == 400
    assert "`jobs: {file: PATH}`" in answer.json()["error"]
    assert httpx.post(f"{shared.url}{INFER}?async=0", json=request(), timeout=30).status_code == 200
    assert httpx.get(f"{shared.url}/v2/jobs/none", timeout=30).status_code == 404
