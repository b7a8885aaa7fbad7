"""gRPC's messages without a socket: what was sent is what REST would have read, whatever the bytes."""

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime_asking import INFER, ask, matrix

from modelway.bundle.bundle import Bundle
from serving.runtime.app import App
from serving.runtime.grpc.codec import V2Grpc
from serving.runtime.grpc.messages import message
from serving.runtime.grpc.service import Service
from serving.runtime.model import Model
from serving.runtime.served import Served
from serving.runtime.settings import Settings

Answer = tuple[int, Any]
INFER_METHOD = b"/inference.GRPCInferenceService/ModelInfer"
FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
SIZES = {
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}


class Said:
    """What a call's fields said: nothing."""

    timeout_ns = None
    metadata: Mapping[str, str] = {}


class Nobody:
    """A client, as far as an answer needs it."""

    head, peer, start_ns = Said(), "127.0.0.1:1", 0


NOBODY: Any = Nobody()


@pytest.fixture
def service(bundled: Callable[[str], Bundle]) -> Service:
    bundle = bundled("logistic")
    app = App([Served(bundle, "r1", Model(bundle))], Settings(grpc_port=0))
    app.ready = True
    app.heavy_body_bytes = 1 << 30
    return Service(app)


def call(service: Service, body: bytes, method: bytes = INFER_METHOD) -> Answer:
    """Status and the answer's message, or the text of an error."""
    answers: list[Any] = []
    verb = service.verb(method)
    assert verb is not None
    verb(NOBODY, body, lambda *answer: answers.append(answer), 0)
    ((status, _, reply),) = answers
    return status, message("ModelInferResponse").FromString(reply) if status == 200 else json.loads(reply)[
        "error"
    ]


def request_of(*tensors: tuple[str, str, list[int]], raws: tuple[bytes, ...] = (), **rest: Any) -> Any:
    request = message("ModelInferRequest")(model_name="paint", raw_input_contents=raws, **rest)
    for name, datatype, shape in tensors:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
    return request


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("datatype", SIZES)
def test_every_datatype_means_what_it_means_in_json(
    app: App, service: Service, datatype: str, raw: bool
) -> None:
    if datatype == "FP16" and not raw:
        pytest.skip("the protocol has no typed field for FP16")
    values = [1, 0]
    request = request_of(("amount", datatype, [2]), ("months", "FP32", [2]), ("colour", "BYTES", [2]))
    if raw:
        colours = b"".join(struct.pack("<I", len(text)) + text for text in (b"green", b"blue"))
        request.raw_input_contents.extend(
            [struct.pack(f"<2{SIZES[datatype]}", *values), struct.pack("<2f", 4, 8), colours]
        )
    else:
        getattr(request.inputs[0].contents, FIELDS[datatype]).extend(values)
        request.inputs[1].contents.fp32_contents.extend([4, 8])
        request.inputs[2].contents.bytes_contents.extend([b"green", b"blue"])
    status, answer = call(service, request.SerializeToString())
    expected = ask(app, INFER, matrix([1, 4, 1], [0, 8, 2]))[1]["outputs"]

    assert status == 200, answer
    if raw:
        assert (
            np.frombuffer(answer.raw_output_contents[0], "<f4").tolist()
            == np.float32(expected[0]["data"]).tolist()
        )
        assert np.frombuffer(answer.raw_output_contents[1], "<i8").tolist() == expected[1]["data"]
    else:
        assert list(answer.outputs[0].contents.fp32_contents) == np.float32(expected[0]["data"]).tolist()
        assert list(answer.outputs[1].contents.int64_contents) == expected[1]["data"]


@pytest.mark.parametrize("outputs", [[], ["decision"], ["decision", "probability"]])
@pytest.mark.parametrize("request_id", ["", "a"])
def test_one_row_of_bytes_in_every_form_of_answer(
    service: Service, outputs: list[str], request_id: str
) -> None:
    request = request_of(("features", "FP32", [1, 3]), raws=(struct.pack("<3f", 2, 8, 1),), id=request_id)
    for name in outputs:
        request.outputs.add(name=name)
    status, answer = call(service, request.SerializeToString())
    packed = {"probability": struct.pack("<f", 0.5), "decision": struct.pack("<q", 1)}
    names = outputs or ["probability", "decision"]

    assert status == 200
    assert (answer.id, answer.model_name, answer.model_version) == (request_id, "paint", "r1")
    assert [(output.name, list(output.shape)) for output in answer.outputs] == [(name, [1]) for name in names]
    assert list(answer.raw_output_contents) == [packed[name] for name in names]


def test_a_number_beyond_its_datatype_is_the_clients_error(service: Service) -> None:
    request = request_of(("amount", "INT8", [1]), ("months", "FP32", [1]), ("colour", "BYTES", [1]))
    request.inputs[0].contents.int_contents.append(300)
    status, says = call(service, request.SerializeToString())

    assert status == 400
    assert "INT8" in says


def test_contents_of_another_type_or_beside_raw_ones_are_refused(service: Service) -> None:
    request = request_of(("features", "FP32", [1, 3]))
    request.inputs[0].contents.fp64_contents.extend([1, 2, 3])
    assert "expected fp32_contents, found fp64_contents" in call(service, request.SerializeToString())[1]
    request.raw_input_contents.append(bytes(12))
    assert "beside `raw_input_contents`" in call(service, request.SerializeToString())[1]


def test_a_note_is_part_of_the_answer(service: Service) -> None:
    served = service._app.models[0]
    codec = V2Grpc(served.bundle.signature, "r1", served.columns)
    _, body = codec.noted([], b"", {"fallback": "store", "age_s": 1.5})
    merged = message("ModelInferResponse").FromString(body)

    said = {entry.key: entry.value for entry in merged.parameters}
    assert (said["fallback"].string_param, said["age_s"].double_param) == ("store", 1.5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_no_message_that_a_client_can_send_is_our_error(service: Service, data: st.DataObject) -> None:
    names = st.sampled_from(
        ["features", "amount", "months", "colour", "records", "paint_id", "event_time", "x"]
    )
    kinds = st.sampled_from([*SIZES, "BF16", "BYTES", "", "FP8"])
    shapes = st.lists(st.integers(-1, 4) | st.just(1 << 62), max_size=3)
    parts = data.draw(st.lists(st.tuples(names, kinds, shapes), max_size=4))
    raws = data.draw(st.just([]) | st.lists(st.binary(max_size=24), max_size=4))
    request = request_of(*parts, raws=tuple(raws), id=data.draw(st.text(max_size=3)))
    for tensor in request.inputs:
        field = data.draw(st.sampled_from([None, *set(FIELDS.values()), "bytes_contents"]))
        if field is not None:
            value = b"\xff{" if field == "bytes_contents" else 1
            getattr(tensor.contents, field).extend([value] * data.draw(st.integers(0, 4)))
    status, says = call(service, request.SerializeToString())

    assert status == 200 or (400 <= status < 500 and isinstance(says, str))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_no_bytes_instead_of_a_message_are_our_error(service: Service, data: st.DataObject) -> None:
    valid = request_of(("features", "FP32", [1, 3]), raws=(bytes(12),)).SerializeToString()
    cut = data.draw(st.integers(0, len(valid)))
    body = valid[:cut] + data.draw(st.binary(max_size=12)) + valid[cut + data.draw(st.integers(0, 9)) :]
    for method in (INFER_METHOD, b"/inference.GRPCInferenceService/ServerLive"):
        answers: list[Any] = []
        verb = service.verb(method)
        assert verb is not None
        verb(NOBODY, body, lambda *answer, into=answers: into.append(answer), 0)
        assert answers[0][0] < 500
