"""Requests by key out of a real Redis, by a real server: answers, refusals, and a Redis that goes."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import onnx.parser
import pytest
import redis
from google.protobuf.timestamp_pb2 import Timestamp
from redis_servers import authority, redis_server

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.canonical import canonical_json
from modelway.bundle.lineage import Lineage
from modelway.bundle.online import ONLINE_FILE, OnlineFeatures, OnlineView
from modelway.bundle.policy import POLICY_FILE, ByKey, Fallback, ServingPolicy
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import load_or_create_key
from modelway.contract import Slo
from modelway.errors import ConfigError
from serving.runtime.feast_hash import Layout
from serving.runtime.online_redis import RedisOnlineStore
from serving.runtime.problems import StoreError
from serving.runtime.redis_server import RedisServer

pytestmark = pytest.mark.apt("redis-server")

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
echo (float[N, 3] features) => (float[N] probability)
<float zero = {0}, float[3] weights = {1.0, 1.0, 0.1}> {
    missing = IsNaN(features)
    filled = Where(missing, zero, features)
    probability = MatMul(filled, weights)
}
"""
"""P = score + work + 0.1 code(colour), missing values count as zero."""
DAY_S = 86_400
NOW = datetime(2024, 5, 6, 7, 8, 9, 123_457, tzinfo=UTC)
OWN = OnlineView(
    name="own", table="echo_shop_own", entity="row_id", features=("score", "colour"), ttl_s=10 * DAY_S
)
TINT = OnlineView(name="tint", table="echo_shop_tint", entity="colour", features=("work",), ttl_s=DAY_S)
PREDICT = "/v1/models/echo:predict"
WAIT_S = 120


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with redis_server() as port:
        yield port


@pytest.fixture(scope="module")
def filled(port: int) -> int:
    """The port of a Redis with some rows."""
    client = redis.Redis(port=port)
    put(client, OWN, "a", NOW, NOW, 0.1, "green")
    put(client, OWN, "b", NOW, NOW, 0.25, None)
    put(client, OWN, "late", NOW, NOW + timedelta(days=2, microseconds=3), 0.5, "red")
    put(client, TINT, "green", NOW - timedelta(hours=3), NOW, 0.0)
    client.close()
    return port


def put(
    client: "redis.Redis", view: OnlineView, entity: str, event: datetime, known: datetime, *values: Any
) -> None:
    """One hash, as tests/integration/features/test_features_redis.py holds that Feast's store writes it."""
    layout, time_of_event = Layout.of(view), Timestamp()
    time_of_event.FromDatetime(event)
    stamp = "".join(f"{round(clock.timestamp() * 1e6) + 2**62}" for clock in (event, known))
    written = [time_of_event.SerializeToString(), stamp.encode(), *map(protobuf, values)]
    client.hset(layout.key(entity), mapping=dict(zip(layout.fields, written, strict=True)))


def protobuf(value: float | str | None) -> bytes:
    """Feast's `Value`."""
    if value is None:
        return b""
    if isinstance(value, str):
        return b"\x12" + bytes([len(value.encode())]) + value.encode()
    return b"\x35" + struct.pack("<f", value)


def address(port: int, **more: Any) -> RedisServer:
    """Of a Redis here. A busy machine may take its time."""
    limits = {"connect_timeout_ms": 30_000, "timeout_ms": 30_000}
    return RedisServer(url=f"redis://127.0.0.1:{port}", **{**limits, **more})


@pytest.fixture
def bundle(tmp_path: Path, keys: Path) -> Callable[..., Bundle]:
    """Three columns, two of them by row, one by its colour."""

    def make(fallback: float | None = None) -> Bundle:
        policy = ServingPolicy(
            by_key=ByKey(), fallback=None if fallback is None else Fallback(probability=fallback)
        )
        inputs = (
            Input(name="score", kind="numeric"),
            Input(name="work", kind="numeric"),
            Input(name="colour", kind="category", vocabulary=("red", "green")),
        )
        online = OnlineFeatures(subject=OWN, views=(TINT,))
        return write_bundle(
            tmp_path / "bundles",
            onnx=onnx.parser.parse_model(GRAPH).SerializeToString(),
            signature=Signature(model_name="echo", key="row_id", label="yes", inputs=inputs, threshold=0.5),
            reference=b"",
            slo=Slo(latency_limit_ms=40.0, rate_rps=100.0),
            card="",
            lineage=Lineage(use_case="echo", snapshot_id="0" * 64, as_of=NOW, kind="echo", seed=1),
            key=load_or_create_key(keys),
            extras={POLICY_FILE: canonical_json(policy), ONLINE_FILE: canonical_json(online)},
        )

    return make


@pytest.fixture
def serve(
    bundle: Callable[..., Bundle], keys: Path, tmp_path: Path, begin: Any, command_of: Any
) -> Callable[..., Any]:
    """Starts a server of that bundle on a Redis."""

    def make(port: int, fallback: float | None = None) -> Any:
        settings = tmp_path / "settings.yaml"
        place = address(port).model_dump(mode="json")
        settings.write_text(json.dumps({"online_store": place}))
        return begin(command_of(bundle(fallback).path, keys, "--port", "0", "--settings", str(settings)))

    return make


def ask(server: Any, *rows: dict[str, Any]) -> httpx.Response:
    return httpx.post(server.url + PREDICT, json={"instances": list(rows)}, timeout=WAIT_S)


def row(key: str, at: datetime = NOW, **own: Any) -> dict[str, Any]:
    return {"row_id": key, "event_time": round(at.timestamp() * 1e6), **own}


def wait_until_ready(server: Any, *, ready: bool) -> None:
    until, path = time.monotonic() + WAIT_S, f"{server.url}/v2/health/ready"
    while (httpx.get(path, timeout=WAIT_S).status_code == 200) is not ready:
        assert time.monotonic() < until, f"never ready={ready}"
        time.sleep(0.05)


def test_a_server_answers_keys_as_it_answers_rows(filled: int, serve: Callable[..., Any]) -> None:
    server = serve(filled)
    by_row = ask(
        server, {"score": 0.1, "work": 0.0, "colour": "green"}, {"score": 0.25, "work": None, "colour": None}
    )

    by_key = ask(server, row("a"), row("b"))

    assert by_key.status_code == by_row.status_code == 200, by_key.text
    assert by_key.json()["predictions"] == by_row.json()["predictions"] == pytest.approx([0.2, 0.25])
    assert by_key.headers["x-features-from"] == "store"
    assert float(by_key.headers["x-features-age-s"]) == 3 * 3600
    for asked, status, said in (
        (row("nobody"), 404, "nobody"),
        (row("a", NOW - timedelta(microseconds=1)), 404, "own"),
        (row("late", NOW + timedelta(days=2)), 404, "late"),
        (row("a", NOW + timedelta(days=1)), 409, "tint"),
        (row("b", NOW + timedelta(days=11)), 409, "own"),
    ):
        refused = ask(server, asked)
        assert (refused.status_code, said in refused.text) == (status, True), refused.text
    known = ask(server, row("late", NOW + timedelta(days=2, microseconds=3)))
    assert known.json()["predictions"] == [0.5]
    assert server.metric("modelway_online_store_reached") == 1


def test_a_redis_that_goes_takes_readiness_with_it_and_brings_it_back(
    serve: Callable[..., Any],
) -> None:
    with redis_server() as port:
        server = serve(port)
        wait_until_ready(server, ready=True)
    wait_until_ready(server, ready=False)

    away, by_row = ask(server, row("a")), ask(server, {"score": 0.5, "work": 0.0, "colour": "red"})

    assert (away.status_code, "online store" in away.text) == (500, True)
    assert (by_row.status_code, by_row.json()["predictions"]) == (200, [0.5])
    assert server.metric("modelway_online_store_reached") == 0
    with redis_server(port=port):
        wait_until_ready(server, ready=True)
        assert ask(server, row("a")).status_code == 404  # it kept nothing


def test_where_a_rule_answers_for_the_store_the_server_starts_ready_without_it(
    serve: Callable[..., Any],
) -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        server = serve(taken.getsockname()[1], fallback=0.125)

        wait_until_ready(server, ready=True)
        answer = ask(server, row("a"))

    assert (answer.status_code, answer.json()["predictions"]) == (200, [0.125])
    assert answer.headers["x-fallback"] == "store"
    assert server.metric("modelway_requests_total", status="500") == 1


def test_a_server_that_starts_without_its_redis_waits_for_it(serve: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        server = serve(port)
        assert httpx.get(f"{server.url}/v2/health/ready", timeout=WAIT_S).status_code == 503
    with redis_server(port=port):
        wait_until_ready(server, ready=True)


def test_a_redis_that_never_answers_is_given_up(port: int) -> None:
    store = RedisOnlineStore(address(port))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        quick = address(mute.getsockname()[1], timeout_ms=50)
        deaf = RedisOnlineStore(quick)
        assert not deaf.reached
        deaf._watch.see(None)  # it answered, and then it does not

        with pytest.raises(StoreError, match="cannot be read"):
            deaf.read(OWN, ["a"])
    deaf.close()
    assert store.reached
    store.close()


def test_over_tls_with_a_password_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = authority(tmp_path)
    secured = (
        *("--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no", "--requirepass", "p@ss/wörd"),
        *("--tls-cert-file", certificate, "--tls-key-file", key),
    )
    monkeypatch.setenv("SHOP_PASSWORD", "p@ss/wörd")
    checked = f"?ssl_ca_certs={certificate}"
    with redis_server(*secured, url=f"rediss://127.0.0.1:{{port}}{checked}") as port:
        base = f"127.0.0.1:{port}"
        monkeypatch.setenv("SHOP_REDIS", f"rediss://:p%40ss%2Fw%C3%B6rd@{base}/0{checked}")
        found = {
            name: reached(url)
            for name, url in {
                "password": f"rediss://:${{SHOP_PASSWORD}}@{base}/0{checked}",
                "whole": "${SHOP_REDIS}",
                "no password": f"rediss://{base}/0{checked}",
                "authority unknown": f"rediss://:${{SHOP_PASSWORD}}@{base}/0",
                "another name": f"rediss://:${{SHOP_PASSWORD}}@localhost:{port}/0{checked}",
                "in the clear": f"redis://:${{SHOP_PASSWORD}}@{base}/0",
            }.items()
        }

    assert {name for name, yes in found.items() if yes} == {"password", "whole"}
    monkeypatch.delenv("SHOP_PASSWORD")
    with pytest.raises(ConfigError, match="SHOP_PASSWORD"):
        reached(f"rediss://:${{SHOP_PASSWORD}}@{base}")


def reached(url: str) -> bool:
    store = RedisOnlineStore(RedisServer(url=url, connect_timeout_ms=30_000, timeout_ms=30_000))
    store.close()
    return store.reached
