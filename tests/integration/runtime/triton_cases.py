"""What tritonclient is told by a server; `test_runtime_foreign_clients` runs this in a process of its own.

tritonclient and the KServe SDK register the same protocol buffers and cannot live in one process.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

NUMBERS = (
    "BOOL",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "FP16",
    "FP32",
    "FP64",
)
NUMPY = dict(
    zip(
        NUMBERS,
        (bool, "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"),
        strict=True,
    )
)
SCORES = np.array([[0.0], [1.0], [0.0]])
Ask = Callable[..., Any]


def address_of(module: Any) -> str:
    """Where the server listens that this process was started for."""
    return os.environ["MODELWAY_TEST_HTTP" if module is triton_http else "MODELWAY_TEST_GRPC"]


@pytest.fixture
def http() -> Iterator[Any]:
    with triton_http.InferenceServerClient(address_of(triton_http)) as client:
        yield client


@pytest.fixture
def rpc() -> Iterator[Any]:
    with triton_grpc.InferenceServerClient(address_of(triton_grpc)) as client:
        yield client


def ready_or_none(client: Any, name: str) -> Any:
    """Over gRPC an unknown model is an error of its own, NOT_FOUND."""
    try:
        return client.is_model_ready(name)
    except InferenceServerException as error:
        return None if error.status() == "StatusCode.NOT_FOUND" else error


def filled(module: Any, name: str, values: Any, **how: Any) -> Any:
    tensor = module.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    tensor.set_data_from_numpy(values, **how)
    return tensor


def columns(module: Any, scores: Any, **how: Any) -> list[Any]:
    rows = len(scores)
    colours = np.array([["red"], ["green"], ["red"]][:rows], dtype=np.object_)
    works = np.zeros((rows, 1), np.int64)
    parts = {"score": scores, "work": works, "colour": colours}
    return [filled(module, name, values, **how) for name, values in parts.items()]


def expected(scores: Any) -> list[float]:
    shift = np.float32([0.0, 0.1, 0.0])[: len(scores)]
    return (scores.astype("f4").ravel() + shift).tolist()


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "json"])
@pytest.mark.parametrize("datatype", NUMBERS)
def test_triton_over_http_sends_every_datatype(http: Any, datatype: str, binary: bool) -> None:
    if datatype == "FP16" and not binary:
        pytest.skip("tritonclient sends FP16 as bytes only: JSON has no such number in its specification")
    scores = (SCORES[:1] if datatype == "BOOL" else SCORES[[0, 2, 0]]).astype(NUMPY[datatype])
    outputs = [
        triton_http.InferRequestedOutput("probability", binary_data=binary),
        triton_http.InferRequestedOutput("decision", binary_data=binary),
    ]
    result = http.infer(
        "echo", columns(triton_http, scores, binary_data=binary), outputs=outputs, request_id="x"
    )

    assert result.as_numpy("probability").dtype == np.float32
    assert result.as_numpy("probability").tolist() == pytest.approx(expected(scores))
    assert result.as_numpy("decision").tolist() == [0] * len(scores)
    assert result.get_response()["id"] == "x"


@pytest.mark.parametrize("datatype", NUMBERS)
def test_triton_over_grpc_sends_every_datatype(rpc: Any, datatype: str) -> None:
    scores = SCORES[[0, 2, 0]].astype(NUMPY[datatype])
    result = rpc.infer("echo", columns(triton_grpc, scores), model_version="r1", request_id="x")

    assert result.as_numpy("probability").tolist() == pytest.approx(expected(scores))
    assert result.as_numpy("decision").tolist() == [0, 0, 0]
    assert result.get_response().id == "x"


@pytest.mark.parametrize("module", [triton_http, triton_grpc])
def test_triton_sends_a_matrix_in_half_precision_and_in_bfloat(module: Any) -> None:
    address = address_of(module)
    matrix = np.array([[0.25, 0, 0], [0.5, 0, 1]])
    with module.InferenceServerClient(address) as client:
        for dtype in ("f2", "f4", "f8"):
            result = client.infer("echo", [filled(module, "features", matrix.astype(dtype))])
            assert result.as_numpy("probability").tolist() == pytest.approx([0.25, 0.6])
        bfloat = module.InferInput("features", [2, 3], "BF16")
        bfloat.set_data_from_numpy(matrix.astype(ml_dtypes.bfloat16))
        result = client.infer("echo", [bfloat])
        assert result.as_numpy("probability").tolist() == pytest.approx([0.25, 0.6])


@pytest.mark.parametrize("module", [triton_http, triton_grpc])
def test_triton_sends_records_as_strings(module: Any) -> None:
    address = address_of(module)
    rows = ['{"score": 0.25, "work": 0, "colour": "red"}', '{"score": 0.5, "work": null, "colour": "green"}']
    with module.InferenceServerClient(address) as client:
        result = client.infer("echo", [filled(module, "records", np.array(rows, dtype=np.object_))])

    assert result.as_numpy("probability").tolist() == pytest.approx([0.25, 0.6])


@pytest.mark.parametrize("module", [triton_http, triton_grpc])
def test_triton_reads_health_metadata_and_errors(module: Any) -> None:
    address = address_of(module)
    as_json = {} if module is triton_http else {"as_json": True}
    with module.InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("echo")
        assert client.is_model_ready("echo", "r1")
        assert not ready_or_none(client, "other")
        assert "binary_tensor_data" in client.get_server_metadata(**as_json)["extensions"]
        metadata = client.get_model_metadata("echo", **as_json)
        assert metadata["versions"] == ["r1"]
        assert [tensor["name"] for tensor in metadata["inputs"]] == ["score", "work", "colour"]
        index = client.get_model_repository_index(**as_json)
        rows = index if module is triton_http else index["models"]
        assert [(row["name"], row["version"], row["state"]) for row in rows] == [("echo", "r1", "READY")]
        with pytest.raises(InferenceServerException, match="model-control"):
            client.unload_model("echo")
        with pytest.raises(InferenceServerException, match="no input named 'speed'"):
            client.infer("echo", [filled(module, "speed", SCORES.astype("f4"))])
        with pytest.raises(InferenceServerException, match="no such model"):
            client.infer("other", [filled(module, "score", SCORES.astype("f4"))])


def test_triton_asks_without_waiting() -> None:
    async def ask(module: Any, inputs: Any, address: str) -> list[float]:
        async with module.InferenceServerClient(address) as client:
            asked = [client.infer("echo", [inputs]) for _ in range(8)]
            return [float(answer.as_numpy("probability")[0]) for answer in await asyncio.gather(*asked)]

    matrix = np.array([[0.25, 0, 0]], "f4")
    http = filled(triton_http, "features", matrix)
    rpc = filled(triton_grpc, "features", matrix)

    assert asyncio.run(ask(triton_http_aio, http, address_of(triton_http))) == [0.25] * 8
    assert asyncio.run(ask(triton_grpc_aio, rpc, address_of(triton_grpc))) == [0.25] * 8


@pytest.mark.parametrize("module", [triton_http, triton_grpc])
def test_triton_loads_and_unloads(module: Any) -> None:
    matrix = [filled(module, "features", np.array([[0.25, 0, 0]], "f4"))]
    with module.InferenceServerClient(address_of(module)) as client:
        client.unload_model("echo")
        assert not client.is_model_ready("echo")
        assert not client.is_server_ready()
        with pytest.raises(InferenceServerException, match="not loaded"):
            client.infer("echo", matrix)
        client.load_model("echo")
        assert client.is_model_ready("echo", "2")
        assert client.infer("echo", matrix).as_numpy("probability").tolist() == [0.25]
        assert client.infer("echo", matrix, model_version="1").as_numpy("decision").tolist() == [0]
        with pytest.raises(InferenceServerException, match="has no model 'other'"):
            client.load_model("other")
