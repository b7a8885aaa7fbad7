"""Jobs in a real Redis, shared by servers that may be gone; a Redis that starts again, or is away."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis_servers import redis_server

from modelway.errors import ConfigError
from serving.runtime import job_redis
from serving.runtime.job_redis import RedisJobStore
from serving.runtime.job_store import MAX_RUNS, JobsAwayError, OtherRequestError, QueueFullError
from serving.runtime.redis_server import RedisServer
from serving.runtime.settings import Jobs

pytestmark = pytest.mark.apt("redis-server")

INFER = "/v2/models/echo/infer"
WAIT_S = 240.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--dir")
MakeStore = Callable[..., RedisJobStore]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(*DURABLE, str(tmp_path_factory.mktemp("redis"))) as port:
        yield port


def place(port: int) -> RedisServer:
    """A busy machine may take its time."""
    return RedisServer(url=f"redis://127.0.0.1:{port}", connect_timeout_ms=30_000, timeout_ms=30_000)


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex}:"


@pytest.fixture
def store_of(port: int, prefix: str) -> Iterator[MakeStore]:
    """Makes stores of one test's jobs."""
    made: list[RedisJobStore] = []

    def make(at: int = port, **wishes: Any) -> RedisJobStore:
        settings = Jobs(redis=place(at), prefix=prefix, **{"max_queued": 2, **wishes})
        made.append(RedisJobStore(settings, place(at)))
        return made[-1]

    yield make
    for store in made:
        store.close()


def everywhere(_path: str) -> bool:
    return True


def state(store: RedisJobStore, job: str) -> str:
    outcome = store.outcome(job)
    return "gone" if outcome is None else outcome.state


def test_the_oldest_job_comes_first_and_only_where_its_model_is(store_of: MakeStore) -> None:
    one, two = store_of(), store_of()
    first, second = one.submit("/a", {"content-type": "x"}, b"\xff1", None), two.submit("/b", {}, b"2", None)

    other = one.claim(lambda path: path == "/b")
    job = two.claim(everywhere)

    assert other is not None
    assert (other.id, job) == (second, (first, "/a", {"content-type": "x"}, b"\xff1"))
    assert one.claim(everywhere) is None is two.claim(everywhere)
    assert one.counts() == {"queued": 0, "running": 2, "done": 0, "failed": 0}
    one.finish(second, 200, [("content-type", "x")], b"\x00answer")
    two.finish(first, 400, [], b"")
    outcome = two.outcome(second)
    assert outcome is not None
    assert (outcome.state, outcome.status, outcome.headers, outcome.body, outcome.path) == (
        "done", 200, [("content-type", "x")], b"\x00answer", "/b",
    )  # fmt: skip
    assert outcome.ended_s is not None
    assert outcome.created_s <= outcome.ended_s
    assert state(one, first) == "failed"
    one.claim(everywhere)
    assert one.counts() == {"queued": 0, "running": 0, "done": 1, "failed": 1}


def test_a_queue_is_bounded_for_all_and_what_runs_makes_room(store_of: MakeStore) -> None:
    one, two = store_of(), store_of()
    one.submit("/a", {}, b"1", None)
    two.submit("/b", {}, b"2", None)
    with pytest.raises(QueueFullError):
        one.submit("/a", {}, b"3", None)

    two.claim(everywhere)

    assert one.submit("/a", {}, b"3", None)


def test_a_key_names_one_request_until_it_is_withdrawn(store_of: MakeStore) -> None:
    one, two = store_of(), store_of()
    job = one.submit("/a", {}, b"1", "k")

    assert two.submit("/a", {}, b"1", "k") == job
    for path, body in (("/a", b"2"), ("/b", b"1")):
        with pytest.raises(OtherRequestError):
            two.submit(path, {}, body, "k")
    assert (two.cancel(job), two.cancel(job), state(one, job)) == (True, False, "gone")
    assert one.claim(everywhere) is None
    assert two.submit("/b", {}, b"1", "k") != job


def test_a_job_that_is_withdrawn_while_it_runs_stays_so(store_of: MakeStore) -> None:
    one = store_of()
    job = one.submit("/a", {}, b"1", None)
    one.claim(everywhere)
    one.cancel(job)

    one.finish(job, 200, [], b"for nobody")

    assert state(one, job) == "gone"
    assert one.claim(everywhere) is None


def test_a_job_that_waits_again_goes_behind_and_its_runs_do_not_count(store_of: MakeStore) -> None:
    one = store_of()
    job, other = one.submit("/a", {}, b"1", None), one.submit("/a", {}, b"2", None)
    order = []
    for _ in range(2 * MAX_RUNS + 2):  # a busy server is not the job's fault
        claimed = one.claim(everywhere)
        assert claimed is not None
        order.append(claimed.id)
        one.put_back(claimed.id)

    one.sweep()

    assert order == [job, other] * (MAX_RUNS + 1)
    assert state(one, job) == state(one, other) == "queued"


def test_what_a_server_ran_that_is_not_heard_of_runs_elsewhere_and_is_given_up_at_last(
    store_of: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = store_of()
    job = living.submit("/a", {}, b"1", "k")
    monkeypatch.setattr(job_redis, "ALIVE_S", 0.02)
    for _ in range(MAX_RUNS):
        silent = store_of()
        claimed = silent.claim(everywhere)
        assert claimed is not None
        assert claimed.id == job
        until = time.monotonic() + WAIT_S
        while state(living, job) == "running":
            assert time.monotonic() < until
            time.sleep(0.03)
            living.sweep()
        silent.finish(job, 200, [], b"too late: it was taken from here")

    outcome = living.outcome(job)

    assert outcome is not None
    assert (outcome.state, outcome.status) == ("failed", 500)
    assert b"ended 3 times" in outcome.body
    assert living.submit("/a", {}, b"1", "k") == job


def test_a_job_of_a_living_server_is_left_to_it(store_of: MakeStore) -> None:
    living, other = store_of(), store_of()
    job = living.submit("/a", {}, b"1", None)
    living.claim(everywhere)

    other.sweep()

    assert (state(other, job), other.claim(everywhere)) == ("running", None)


def test_a_job_whose_handing_out_was_lost_is_handed_out_again(store_of: MakeStore) -> None:
    one = store_of()
    job = one.submit("/a", {}, b"1", None)
    one.claim(everywhere)
    one._held.clear()  # Redis gave it, and the answer did not arrive

    again = one.claim(everywhere)

    assert again is not None
    assert (again.id, again.body) == (job, b"1")


def test_answers_go_after_their_time_by_themselves(store_of: MakeStore) -> None:
    one = store_of(keep_s=0.05)
    job = one.submit("/a", {}, b"1", "k")
    one.claim(everywhere)
    one.finish(job, 200, [], b"")
    until = time.monotonic() + WAIT_S
    while state(one, job) != "gone":
        assert time.monotonic() < until
        time.sleep(0.02)

    one.sweep()
    one.claim(everywhere)

    assert one.counts()["done"] == 0
    assert one.submit("/a", {}, b"2", "k") != job


def test_a_redis_that_starts_again_has_them_all(tmp_path: Path, store_of: MakeStore) -> None:
    with redis_server(*DURABLE, str(tmp_path)) as port:
        one = store_of(port)
        ran, waits = one.submit("/a", {}, b"1", None), one.submit("/a", {}, b"2", None)
        one.claim(everywhere)
        one.finish(ran, 200, [], b"kept")
    with pytest.raises(JobsAwayError):
        one.submit("/a", {}, b"3", None)
    with redis_server(*DURABLE, str(tmp_path), port=port):
        two = store_of(port)
        outcome, claimed = two.outcome(ran), two.claim(everywhere)

    assert outcome is not None
    assert claimed is not None
    assert (outcome.body, claimed.id) == (b"kept", waits)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--appendonly", "no"), "appendonly"),
        (("--appendonly", "yes", "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"), "allkeys-lru"),
    ],
)
def test_a_redis_that_may_lose_jobs_is_refused(
    options: tuple[str, ...], said: str, tmp_path: Path, store_of: MakeStore
) -> None:
    with redis_server(*options, "--dir", str(tmp_path)) as port, pytest.raises(ConfigError, match=said):
        store_of(port)


@pytest.fixture
def serve(start: Any, tmp_path: Path, prefix: str) -> Callable[..., Any]:
    """Starts servers whose jobs are in a Redis."""

    def make(port: int) -> Any:
        settings = tmp_path / "settings.yaml"
        redis = place(port).model_dump(mode="json")
        settings.write_text(json.dumps({"jobs": {"redis": redis, "prefix": prefix}}))
        return start("--settings", str(settings))

    return make


def request(score: float) -> dict[str, Any]:
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [score, 0, 0]}
    return {"inputs": [tensor]}


def hand_in(server: Any, score: float) -> httpx.Response:
    return httpx.post(f"{server.url}{INFER}?async", json=request(score), timeout=WAIT_S)


def wait_for(server: Any, job: str) -> dict[str, Any]:
    until = time.monotonic() + WAIT_S
    while (told := httpx.get(f"{server.url}/v2/jobs/{job}", timeout=WAIT_S).json()).get("state") != "done":
        assert time.monotonic() < until, told
        time.sleep(0.02)
    return dict(told)


def test_any_server_answers_for_any_job_and_each_is_run_once(serve: Callable[..., Any], port: int) -> None:
    servers = serve(port), serve(port)
    with ThreadPoolExecutor(4) as clients:
        taken = list(clients.map(lambda at: hand_in(servers[at % 2], at / 64), range(24)))

    jobs = [answer.json()["id"] for answer in taken]
    found = [wait_for(servers[(at + 1) % 2], job) for at, job in enumerate(jobs)]

    assert {answer.status_code for answer in taken} == {202}
    assert [told["result"]["outputs"][0]["data"][0] for told in found] == [at / 64 for at in range(24)]
    assert sum(server.metric("modelway_requests_total", status="200") for server in servers) == 24
    at_once = httpx.post(servers[0].url + INFER, json=request(3 / 64), timeout=WAIT_S)
    fetched = httpx.get(f"{servers[0].url}/v2/jobs/{jobs[3]}/result", timeout=WAIT_S)
    assert (fetched.status_code, fetched.content) == (200, at_once.content)
    assert httpx.head(f"{servers[0].url}/v2/jobs/{jobs[3]}", timeout=WAIT_S).status_code == 200
    assert httpx.delete(f"{servers[1].url}/v2/jobs/{jobs[3]}", timeout=WAIT_S).status_code == 204
    assert httpx.get(f"{servers[0].url}/v2/jobs/{jobs[3]}", timeout=WAIT_S).status_code == 404
    assert httpx.put(f"{servers[0].url}/v2/jobs/{jobs[4]}", timeout=WAIT_S).status_code == 405


def test_a_redis_that_is_away_costs_jobs_and_nothing_else(serve: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    with redis_server(*DURABLE, str(folder)) as port:
        server = serve(port)
        job = hand_in(server, 0.5).json()["id"]
        wait_for(server, job)

    away = hand_in(server, 0.25), httpx.get(f"{server.url}/v2/jobs/{job}", timeout=WAIT_S)
    at_once = httpx.post(server.url + INFER, json=request(0.25), timeout=WAIT_S)

    assert [answer.status_code for answer in away] == [503, 503]
    assert (at_once.status_code, at_once.json()["outputs"][0]["data"]) == (200, [0.25])
    with redis_server(*DURABLE, str(folder), port=port):
        until = time.monotonic() + WAIT_S
        while httpx.get(f"{server.url}/v2/jobs/{job}", timeout=WAIT_S).status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.05)
