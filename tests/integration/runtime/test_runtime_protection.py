"""Real servers that batch, refuse, ask for keys and speak TLS."""

import json
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx.parser
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.policy import POLICY_FILE, Batching, ServingPolicy
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import load_or_create_key
from modelway.contract import Slo
from serving.runtime.keys import new_key

INFER = "/v2/models/heavy/infer"
SIDE = 600
HEAVY = f"""
<ir_version: 8, opset_import: ["" : 17]>
heavy (float[N, 1] features) => (float[N] probability)
<int64[2] shape = {{{SIDE}, {SIDE}}}, float zero = {{0}}, int64 first = {{0}}>
{{
    sum = ReduceSum<keepdims = 0>(features)
    naught = Mul(sum, zero)
    empty = ConstantOfShape(shape)
    square = Add(empty, naught)
    product = MatMul(square, square)
    total = ReduceSum<keepdims = 0>(product)
    score = Gather<axis = 1>(features, first)
    nothing = Mul(total, zero)
    probability = Add(score, nothing)
}}
"""
"""P = the one column, after a matrix product whose cost does not depend on the number of rows."""


@pytest.fixture(scope="session")
def heavy(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Any:
    def make(policy: ServingPolicy) -> Bundle:
        return write_bundle(
            tmp_path_factory.mktemp("heavy"),
            onnx=onnx.parser.parse_model(HEAVY).SerializeToString(),
            signature=Signature(
                model_name="heavy",
                key="id",
                label="y",
                inputs=(Input(name="x", kind="numeric"),),
                threshold=0.5,
            ),
            reference=b"",
            slo=Slo(latency_limit_ms=1000.0, rate_rps=10.0),
            card="",
            lineage=Lineage(
                use_case="h", snapshot_id="0" * 64, as_of=datetime(2020, 1, 1, tzinfo=UTC), kind="h", seed=1
            ),
            key=load_or_create_key(keys),
            extras={POLICY_FILE: policy.model_dump_json().encode()},
        )

    return make


@pytest.fixture
def start_heavy(begin: Any, command_of: Any, heavy: Any, keys: Path, tmp_path: Path) -> Any:
    def make(policy: ServingPolicy, *more: str, **settings: Any) -> Any:
        file = tmp_path / "settings.yaml"
        file.write_text(yaml.safe_dump(settings))
        where = ["--port", "0", "--settings", str(file), *more]
        return begin(command_of(heavy(policy).path, keys, *where))

    return make


def one(value: float) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [value]}]}


def hammer(url: str, clients: int, each: int) -> list[tuple[int, float | None, float, Any]]:
    """Status, what was asked, seconds, answer; clients in step with their own answers."""

    def ask(client: int) -> list[tuple[int, float | None, float, Any]]:
        seen = []
        with httpx.Client(base_url=url, timeout=60) as http:
            for at in range(each):
                value, began = (client * each + at) / 1024, time.perf_counter()
                answer = http.post(INFER, json=one(value))
                seen.append((answer.status_code, value, time.perf_counter() - began, answer))
        return seen

    with ThreadPoolExecutor(clients) as pool:
        return [each for seen in pool.map(ask, range(clients)) for each in seen]


@pytest.mark.parametrize("asked_for", [True, False], ids=["by policy", "because the graph is slow"])
def test_waiting_requests_share_runs_and_each_gets_its_own_answer(start_heavy: Any, asked_for: bool) -> None:
    server = start_heavy(ServingPolicy(batching=Batching(max_delay_ms=200) if asked_for else None))
    seen = hammer(server.url, clients=8, each=10)

    assert {status for status, *_ in seen} == {200}
    for _, value, _, answer in seen:
        assert np.float32(answer.json()["outputs"][0]["data"]) == np.float32([value])
    assert server.metric("modelway_rows_total") == 80
    assert server.metric("modelway_batch_rows_sum") == 80
    assert server.metric("modelway_queue_wait_seconds_count") == 80
    assert server.metric("modelway_batches_total") < 60
    assert server.metric("modelway_queue_requests") == 0
    assert server.stop() == 0


def test_beyond_its_room_a_server_says_503_at_once_and_those_inside_are_answered(start_heavy: Any) -> None:
    server = start_heavy(ServingPolicy(batching=Batching(max_rows=2)), limits={"max_in_flight": 2})
    seen = hammer(server.url, clients=16, each=12)
    accepted = [answer for status, *_, answer in seen if status == 200]
    refused = [answer for status, *_, answer in seen if status == 503]

    assert len(accepted) + len(refused) == len(seen)
    assert refused
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert accepted
    # never more than two inside, so nobody waited for more than one run before its own
    runs = server.metric("modelway_batches_total")
    assert server.metric("modelway_batch_rows_bucket", le="2") == runs >= len(accepted) / 2
    assert server.metric("modelway_denied_total", reason="in_flight") == len(refused)
    assert server.metric("modelway_in_flight_requests") == 0
    assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200


def test_clients_that_leave_in_the_middle_free_their_place(start_heavy: Any) -> None:
    server = start_heavy(ServingPolicy(), limits={"max_in_flight": 2})
    for _ in range(6):
        with server.connect() as connection:
            connection.sendall(f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{{".encode())
            time.sleep(0.05)
    deadline = time.monotonic() + 20
    while server.metric("modelway_in_flight_requests") and time.monotonic() < deadline:
        time.sleep(0.05)

    assert httpx.post(server.url + INFER, json=one(0.5), timeout=30).status_code == 200


def test_who_asks_too_often_is_told_when_to_come_back(start_heavy: Any) -> None:
    server = start_heavy(ServingPolicy(), limits={"rate_rps": 0.01, "burst": 3})
    seen = hammer(server.url, clients=1, each=5)

    assert [status for status, *_ in seen] == [200, 200, 200, 429, 429]
    assert 1 <= int(seen[-1][3].headers["retry-after"]) <= 100
    assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200
    assert server.metric("modelway_requests_total", status="429") == 2


def test_a_late_request_is_answered_504_and_the_model_is_not_asked(start_heavy: Any) -> None:
    server = start_heavy(ServingPolicy(deadline_ms=60_000))
    late = httpx.post(server.url + INFER, json=one(0.5), headers={"x-request-timeout-ms": "0"}, timeout=30)
    parameter = httpx.post(server.url + INFER, json={**one(0.5), "parameters": {"timeout": 0}}, timeout=30)
    fine = httpx.post(server.url + INFER, json=one(0.5), timeout=30)

    assert (late.status_code, parameter.status_code, fine.status_code) == (504, 504, 200)
    assert server.metric("modelway_expired_total") == 2
    assert server.metric("modelway_batches_total") == 1


def test_keys_are_asked_for_and_change_without_a_restart(start_heavy: Any, tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    key = new_key(file, "batch", days=None, models=())
    server = start_heavy(ServingPolicy(), keys_file=str(file), metrics_need_key=True)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert client.get("/v2/health/ready").status_code == 200
        shut = client.post(INFER, json=one(0.5))
        assert (shut.status_code, shut.headers["www-authenticate"]) == (401, 'Bearer realm="modelway"')
        assert client.get("/metrics").status_code == 401
        assert client.post(INFER, json=one(0.5), headers={"x-api-key": key}).status_code == 200
        bearer = {"authorization": f"Bearer {key}"}
        assert "modelway_keys" in client.get("/metrics", headers=bearer).text

        other = new_key(file, "nightly", days=None, models=("elsewhere",))
        time.sleep(1.1)
        assert client.post(INFER, json=one(0.5), headers={"x-api-key": other}).status_code == 403
        assert client.post(INFER, json=one(0.5), headers={"x-api-key": key}).status_code == 200
    assert key not in json.dumps(server.said)


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """An authority, and a certificate of it for loopback with its key; PEM."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "server")]
    now = datetime.now(UTC)

    def certificate(subject: x509.Name, public: Any, *, authority: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(names[0]).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        loopback = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return builder.add_extension(loopback, critical=False).sign(authority_key, hashes.SHA256())

    paths = folder / "authority.pem", folder / "server.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(certificate(names[0], authority_key.public_key(), authority=True).public_bytes(pem))
    paths[1].write_bytes(certificate(names[1], key.public_key(), authority=False).public_bytes(pem))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[2].write_bytes(key.private_bytes(pem, *private))
    return paths


@pytest.mark.parametrize("oldest", ["1.2", "1.3"])
def test_tls_by_a_certificate_that_clients_check(start_heavy: Any, tmp_path: Path, oldest: str) -> None:
    authority, certificate, key = certificates(tmp_path)
    server = start_heavy(
        ServingPolicy(), tls={"certificate": str(certificate), "key": str(key), "min_version": oldest}
    )
    trusting = ssl.create_default_context(cafile=str(authority))
    old = ssl.create_default_context(cafile=str(authority))
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    assert server.url.startswith("https://127.0.0.1:")
    assert httpx.post(server.url + INFER, json=one(0.5), verify=trusting, timeout=30).status_code == 200
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(f"{server.url}/v2/health/live")
    if oldest == "1.2":
        assert httpx.get(f"{server.url}/v2/health/live", verify=old).status_code == 200
    else:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/v2/health/live", verify=old)


def test_clients_must_show_a_certificate_where_an_authority_is_named(
    start_heavy: Any, tmp_path: Path
) -> None:
    authority, certificate, key = certificates(tmp_path)
    tls = {"certificate": str(certificate), "key": str(key), "client_ca": str(authority)}
    server = start_heavy(ServingPolicy(), tls=tls)
    nameless = ssl.create_default_context(cafile=str(authority))
    known = ssl.create_default_context(cafile=str(authority))
    known.load_cert_chain(certificate, key)

    assert httpx.get(f"{server.url}/v2/health/live", verify=known).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/v2/health/live", verify=nameless)


def test_a_key_of_another_certificate_stops_the_start(start_heavy: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    _, certificate, _ = certificates(tmp_path)
    _, _, other = certificates(tmp_path / "other")
    with pytest.raises(AssertionError, match="ended with 2"):
        start_heavy(ServingPolicy(), tls={"certificate": str(certificate), "key": str(other)})


def test_every_request_has_an_id_and_a_line(start_heavy: Any) -> None:
    server = start_heavy(ServingPolicy(), access_log={})
    lines: list[dict[str, Any]] = []
    reader = threading.Thread(
        target=lambda: lines.extend(json.loads(line) for line in server.process.stdout), daemon=True
    )
    reader.start()
    own = httpx.post(server.url + INFER, json=one(0.5), headers={"x-request-id": "mine"}, timeout=30)
    made = httpx.post(server.url + INFER, content=b"{", timeout=30)
    lost = httpx.get(f"{server.url}/nowhere")
    server.ask_to_stop()
    server.process.wait(30)
    reader.join(30)

    assert own.headers["x-request-id"] == "mine"
    assert "id" not in own.json()
    ids = ["mine", made.headers["x-request-id"], lost.headers["x-request-id"]]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["request_id"] for line in requests] == ids
    assert [(line["status"], line["rows"], line["path"]) for line in requests] == [
        (200, 1, INFER),
        (400, 0, INFER),
        (404, 0, "/nowhere"),
    ]
    assert all(line["took_us"] > 0 and line["client"] == "127.0.0.1" for line in requests)
    assert requests[0]["bytes_in"] == len(own.request.content)
    assert requests[0]["bytes_out"] == len(own.content)
