"""gRPC against a real server: statuses, deadlines, load and unload, draining, and what REST would say."""

import json
import shutil
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest
from test_runtime_protection import certificates

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.signing import VERIFY_KEY_FILE
from serving.runtime.grpc.messages import message
from serving.runtime.keys import new_key

SERVICE = "/inference.GRPCInferenceService/"
Call = Callable[..., Any]


def caller(port: int) -> Any:
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


def call(channel: Any, method: str, request: Any, response: Any, timeout: float = 30) -> Any:
    unary = channel.unary_unary(
        method if method.startswith("/") else SERVICE + method,
        request_serializer=lambda message: (
            message if isinstance(message, bytes) else message.SerializeToString()
        ),
        response_deserializer=response.FromString,
    )
    return unary(request, timeout=timeout)


def infer(channel: Any, request: Any, timeout: float = 30) -> Any:
    return call(channel, "ModelInfer", request, message("ModelInferResponse"), timeout)


def raw_row(score: float, work: float = 0.0, **more: Any) -> Any:
    request = message("ModelInferRequest")(model_name="echo", **more)
    request.inputs.add(name="features", datatype="FP32", shape=[1, 3])
    request.raw_input_contents.append(struct.pack("<3f", score, work, 0.0))
    return request


def refused(do: Callable[[], Any]) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        do()
    return caught.value


@pytest.fixture
def channel(speaking: Any) -> Iterator[Any]:
    with caller(speaking.said[0]["grpc_port"]) as channel:
        yield channel


def test_raw_in_raw_out_typed_in_typed_out(channel: Any) -> None:
    raw = infer(channel, raw_row(0.625, id="a", model_version="r1"))
    assert (raw.model_name, raw.model_version, raw.id) == ("echo", "r1", "a")
    assert struct.unpack("<f", raw.raw_output_contents[0]) == (0.625,)
    assert struct.unpack("<q", raw.raw_output_contents[1]) == (1,)

    typed = message("ModelInferRequest")(model_name="echo")
    for name, kind, field, value in (
        ("score", "FP64", "fp64_contents", 0.625),
        ("work", "UINT8", "uint_contents", 0),
        ("colour", "BYTES", "bytes_contents", b"red"),
    ):
        tensor = typed.inputs.add(name=name, datatype=kind, shape=[1])
        getattr(tensor.contents, field).append(value)
    typed.outputs.add(name="decision")
    typed.outputs.add(name="probability")
    answer = infer(channel, typed)
    assert [output.name for output in answer.outputs] == ["decision", "probability"]
    assert list(answer.outputs[0].contents.int64_contents) == [1]
    assert list(answer.outputs[1].contents.fp32_contents) == [0.625]
    assert not answer.raw_output_contents


@pytest.mark.parametrize("rows", [1, 2, 5000])
def test_any_number_of_rows_comes_back_in_order(channel: Any, rows: int) -> None:
    scores = np.arange(rows, dtype="<f4") / 8192
    matrix = np.zeros((rows, 3), "<f4")
    matrix[:, 0] = scores
    request = message("ModelInferRequest")(model_name="echo")
    request.inputs.add(name="features", datatype="FP32", shape=[rows, 3])
    request.raw_input_contents.append(matrix.tobytes())
    answer = infer(channel, request)

    assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == scores.tolist()
    assert list(answer.outputs[0].shape) == [rows]


def spoilt(**changes: Any) -> Any:
    request = raw_row(0.5)
    for name, value in changes.items():
        if name in {"model_name", "model_version", "id"}:
            setattr(request, name, value)
        elif name == "raw":
            request.raw_input_contents[:] = value
        elif name == "shape":
            request.inputs[0].shape[:] = value
        else:
            setattr(request.inputs[0], name, value)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "says"),
    [
        pytest.param(spoilt(model_name="other"), "NOT_FOUND", "no such model", id="model"),
        pytest.param(spoilt(model_version="9"), "NOT_FOUND", "no such model", id="version"),
        pytest.param(spoilt(raw=[b"abc"]), "INVALID_ARGUMENT", "not whole values", id="half-a-value"),
        pytest.param(
            spoilt(raw=[bytes(12)] * 2), "INVALID_ARGUMENT", "one entry an input", id="too-many-raws"
        ),
        pytest.param(spoilt(shape=[-1, 3]), "INVALID_ARGUMENT", "rows >= 1", id="shape"),
        pytest.param(spoilt(shape=[1] * 9), "INVALID_ARGUMENT", "9 dimensions", id="dimensions"),
        pytest.param(spoilt(datatype="FP8"), "INVALID_ARGUMENT", "datatype out of", id="datatype"),
        pytest.param(spoilt(name="speed"), "INVALID_ARGUMENT", "no input named", id="name"),
        pytest.param(
            spoilt(raw=[struct.pack("<3f", np.inf, 0, 0)]), "INVALID_ARGUMENT", "infinite", id="infinite"
        ),
        pytest.param(
            message("ModelInferRequest")(model_name="echo"), "INVALID_ARGUMENT", "empty", id="no-inputs"
        ),
        pytest.param(b"\xff\xff\xff", "INVALID_ARGUMENT", "no ModelInferRequest", id="no-message"),
        pytest.param(raw_row(0.5, work=-1), "INTERNAL", "the graph failed", id="the-graph-raises"),
        pytest.param(raw_row(2.5), "INTERNAL", "no probability", id="no-probability"),
    ],
)
def test_what_cannot_be_answered_has_a_status_and_a_reason(
    channel: Any, request_: Any, code: str, says: str
) -> None:
    error = refused(lambda: infer(channel, request_))

    assert error.code().name == code
    assert says in error.details()
    assert infer(channel, raw_row(0.5)).model_name == "echo"


def test_a_deadline_ends_the_wait_and_not_the_server(channel: Any) -> None:
    error = refused(lambda: infer(channel, raw_row(0.5, work=2500), timeout=0.05))

    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert infer(channel, raw_row(0.5)).model_name == "echo"


def test_what_is_not_offered_says_so(channel: Any) -> None:
    error = refused(lambda: call(channel, "ModelStreamInfer", b"", message("ModelInferResponse")))

    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_health_and_metadata_say_what_rest_says(channel: Any) -> None:
    assert call(channel, "ServerLive", message("ServerLiveRequest")(), message("ServerLiveResponse")).live
    assert call(channel, "ServerReady", message("ServerReadyRequest")(), message("ServerReadyResponse")).ready
    assert call(
        channel, "ModelReady", message("ModelReadyRequest")(name="echo"), message("ModelReadyResponse")
    ).ready
    metadata = call(
        channel,
        "ModelMetadata",
        message("ModelMetadataRequest")(name="echo"),
        message("ModelMetadataResponse"),
    )
    assert [(tensor.name, tensor.datatype) for tensor in metadata.inputs] == [
        ("score", "FP32"),
        ("work", "FP32"),
        ("colour", "BYTES"),
    ]
    assert list(metadata.versions) == ["r1"]
    about = call(
        channel, "ServerMetadata", message("ServerMetadataRequest")(), message("ServerMetadataResponse")
    )
    assert (about.name, "model_repository" in about.extensions) == ("modelway", True)
    unknown = refused(
        lambda: call(
            channel, "ModelReady", message("ModelReadyRequest")(name="x"), message("ModelReadyResponse")
        )
    )
    assert unknown.code() == grpc.StatusCode.NOT_FOUND
    serving = call(channel, "/grpc.health.v1.Health/Check", b"", message("InferParameter"))
    assert serving.SerializeToString() == b"\x08\x01"  # field 1, SERVING


def test_calls_are_counted_like_requests(start: Any) -> None:
    server = start("--grpc-port", "0")
    with caller(server.said[0]["grpc_port"]) as channel:
        for _ in range(3):
            infer(channel, raw_row(0.5))
        refused(lambda: infer(channel, spoilt(raw=[b""])))

    assert server.metric("modelway_requests_total", status="200", protocol="grpc") == 3
    assert server.metric("modelway_requests_total", status="400", protocol="grpc") == 1


def test_clients_may_not_unload_unless_the_server_was_told_so(channel: Any) -> None:
    request = message("RepositoryModelUnloadRequest")(first="echo")
    error = refused(
        lambda: call(channel, "RepositoryModelUnload", request, message("RepositoryModelUnloadResponse"))
    )

    assert error.code() == grpc.StatusCode.PERMISSION_DENIED


def test_models_of_a_repository_come_and_go(begin: Any, bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    for version in ("1", "2"):
        shutil.copytree(bundle.path, tmp_path / "models" / "echo" / version)
    key = ("--verify-key", str(keys / VERIFY_KEY_FILE))
    places = ("--repository", str(tmp_path / "models"), "--log-dir", str(tmp_path / "log"))
    server = begin(
        [
            sys.executable,
            "-m",
            "serving.runtime",
            *places,
            *key,
            "--model-control",
            "--port",
            "0",
            "--grpc-port",
            "0",
        ]
    )
    load = message("RepositoryModelLoadRequest")(first="echo")
    with caller(server.said[0]["grpc_port"]) as channel:
        assert infer(channel, raw_row(0.5)).model_version == "2"
        assert infer(channel, raw_row(0.5, model_version="1")).model_version == "1"
        unload = message("RepositoryModelUnloadRequest")(first="echo")
        assert call(
            channel, "RepositoryModelUnload", unload, message("RepositoryModelUnloadResponse")
        ).isUnloaded
        assert refused(lambda: infer(channel, raw_row(0.5))).code() == grpc.StatusCode.UNAVAILABLE
        (tmp_path / "models" / "echo" / "2" / MODEL_FILE).write_bytes(b"")
        error = refused(
            lambda: call(channel, "RepositoryModelLoad", load, message("RepositoryModelLoadResponse"))
        )
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert MODEL_FILE in error.details()
        shutil.rmtree(tmp_path / "models" / "echo" / "2")
        assert call(channel, "RepositoryModelLoad", load, message("RepositoryModelLoadResponse")).isLoaded
        assert infer(channel, raw_row(0.25)).model_version == "1"
    assert server.stop() == 0
    versions = [
        version
        for path in (tmp_path / "log").glob("*.parquet")
        for version in pq.ParquetFile(path).read()["_revision"].to_pylist()
    ]
    assert sorted(versions) == ["1", "1", "2"]


def test_many_calls_each_get_their_own_answer_and_the_end_finishes_what_was_taken(start: Any) -> None:
    server = start("--grpc-port", "0", "--drain-s", "0.3")
    stop, wrong = threading.Event(), []

    def ask(worker: int) -> int:
        answered = 0
        with caller(server.said[0]["grpc_port"]) as channel:
            while not stop.is_set():
                score = ((worker * 50 + answered) % 400) / 512
                try:
                    answer = infer(channel, raw_row(score, id=f"{worker}-{answered}"))
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        wrong.append(error)
                    return answered
                if struct.unpack("<f", answer.raw_output_contents[0]) != (score,):
                    wrong.append(answer)
                answered += 1
        return answered

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(ask, worker) for worker in range(4)]
        while server.metric("modelway_rows_total") < 100:
            pass
        assert server.stop() == 0
        stop.set()
        assert sum(asker.result(30) for asker in askers) >= 100
    assert wrong == []
    assert server.said[-1]["in_flight_finished"] is True


@pytest.mark.parametrize("both_ways", [False, True])
def test_tls_is_the_same_as_over_http(start: Any, tmp_path: Path, both_ways: bool) -> None:
    authority, certificate, key = certificates(tmp_path)
    tls = {"certificate": str(certificate), "key": str(key)}
    if both_ways:
        tls["client_ca"] = str(authority)
    (tmp_path / "settings.yaml").write_text(json.dumps({"tls": tls, "grpc_port": 0}))
    port = start("--settings", str(tmp_path / "settings.yaml")).said[0]["grpc_port"]
    trusting = grpc.ssl_channel_credentials(authority.read_bytes())
    known = grpc.ssl_channel_credentials(authority.read_bytes(), key.read_bytes(), certificate.read_bytes())

    with grpc.secure_channel(f"127.0.0.1:{port}", known) as channel:
        assert infer(channel, raw_row(0.5)).model_name == "echo"
    with grpc.secure_channel(f"127.0.0.1:{port}", trusting) as channel:
        if both_ways:
            assert refused(lambda: infer(channel, raw_row(0.5))).code() == grpc.StatusCode.UNAVAILABLE
        else:
            assert infer(channel, raw_row(0.5)).model_name == "echo"
    with caller(port) as channel:
        assert refused(lambda: infer(channel, raw_row(0.5))).code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_client_may_compress(speaking: Any, compression: Any) -> None:
    matrix = np.zeros((500, 3), "<f4")
    request = message("ModelInferRequest")(model_name="echo", raw_input_contents=[matrix.tobytes()])
    request.inputs.add(name="features", datatype="FP32", shape=[500, 3])
    address = f"127.0.0.1:{speaking.said[0]['grpc_port']}"
    with grpc.insecure_channel(address, compression=compression) as channel:
        assert np.frombuffer(infer(channel, request).raw_output_contents[0], "<f4").tolist() == [0.0] * 500


def test_keys_and_ids_come_and_go_as_metadata(start: Any, tmp_path: Path) -> None:
    key = new_key(tmp_path / "keys.yaml", "team", days=None, models=("echo",))
    limits = {"client_deadlines": True, "rate_rps": 0.001, "burst": 4}
    settings = {"keys_file": str(tmp_path / "keys.yaml"), "access_log": {}, "grpc_port": 0, "limits": limits}
    (tmp_path / "settings.yaml").write_text(json.dumps(settings))
    server = start("--settings", str(tmp_path / "settings.yaml"))
    unary = SERVICE + "ModelInfer"
    with caller(server.said[0]["grpc_port"]) as channel:
        ask = channel.unary_unary(unary, lambda request: request.SerializeToString(), lambda body: body)
        for metadata in ((), (("authorization", "Bearer nobody"),)):
            with pytest.raises(grpc.RpcError) as caught:
                ask(raw_row(0.5), metadata=metadata, timeout=30)
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert dict(caught.value.trailing_metadata())["www-authenticate"].startswith("Bearer")
        known = (("authorization", f"Bearer {key}"), ("x-request-id", "mine"))
        answer, call = ask.with_call(raw_row(0.5), metadata=known, timeout=30)
        said = dict(call.initial_metadata())
        assert (said["x-request-id"], said["x-revision"]) == ("mine", "r1")
        assert message("ModelInferResponse").FromString(answer).model_name == "echo"
        with pytest.raises(grpc.RpcError) as caught:
            [ask(raw_row(0.5), metadata=known, timeout=30) for _ in range(4)]
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(caught.value.trailing_metadata())["retry-after"]) >= 1
    server.stop()
    lines = [line for line in server.said if line.get("request_id") == "mine"]
    assert lines[0] | {"status": 200, "client": "key:team", "path": "grpc:echo:"} == lines[0]


def test_a_message_above_the_limit_is_refused(start: Any, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(
        json.dumps({"grpc_port": 0, "limits": {"max_body_bytes": 100_000}})
    )
    server = start("--settings", str(tmp_path / "settings.yaml"))
    with caller(server.said[0]["grpc_port"]) as channel:
        for size in (100_100, 3_000_000):
            error = refused(lambda size=size: infer(channel, spoilt(raw=[bytes(size)])))
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "larger than 100000 bytes" in error.details()
        assert infer(channel, raw_row(0.5)).model_name == "echo"
    assert server.metric("modelway_requests_total", status="413") == 2


def watch(channel: Any, service: str = "") -> Any:
    stream = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=lambda body: message("HealthCheckResponse").FromString(body).status,
    )
    return stream(message("HealthCheckRequest")(service=service), timeout=100)


def test_whoever_watches_hears_of_the_end(start: Any) -> None:
    server = start("--grpc-port", "0", "--drain-s", "0")
    with caller(server.said[0]["grpc_port"]) as channel:
        watching = [watch(channel, service) for service in ("", "echo", "nobody")]
        assert [next(heard) for heard in watching] == [1, 1, 3]
        given_up = watch(channel)
        assert next(given_up) == 1
        given_up.cancel()
        assert infer(channel, raw_row(0.5)).model_name == "echo"
        assert server.stop() == 0
        for heard, last in zip(watching, ([2], [2], []), strict=True):
            said = []
            with pytest.raises(grpc.RpcError) as caught:  # noqa: PT012 - what came before it counts
                while True:
                    said.append(next(heard))
            assert (caught.value.code(), said) == (grpc.StatusCode.UNAVAILABLE, last)
    assert server.said[-1]["in_flight_finished"] is True


def test_a_method_that_is_not_offered_is_refused_before_its_messages(channel: Any) -> None:
    silent = threading.Event()

    def nothing() -> Iterator[bytes]:
        silent.wait(60)
        yield b""

    both = channel.stream_stream(SERVICE + "ModelStreamInfer", lambda body: body, lambda body: body)
    with pytest.raises(grpc.RpcError) as caught:
        list(both(nothing(), timeout=100))
    silent.set()
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_one_connection_carries_many_calls_at_one_time(channel: Any) -> None:
    ask = channel.unary_unary(
        SERVICE + "ModelInfer",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=message("ModelInferResponse").FromString,
    )
    calls = [ask.future(raw_row(at / 1024, id=str(at)), timeout=100) for at in range(600)]

    assert [call.result().id for call in calls] == [str(at) for at in range(600)]
