"""Tensors as bytes, in and out: the same answers as JSON, and a reason for what does not add up."""

import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime_asking import INFER, Asked, ask, matrix

from serving.runtime.app import App

LENGTH = "inference-header-content-length"
CODES = {"red": 0, "green": 1, "blue": 2}


def strings(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def sized(name: str, datatype: str, shape: Sequence[int], raw: bytes, size: Any = None) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": datatype,
        "shape": list(shape),
        "parameters": {"binary_data_size": len(raw) if size is None else size},
    }


def post(
    app: App, header: Mapping[str, Any], raw: bytes = b"", length: str | None = ""
) -> tuple[int, Any, Any]:
    """Ask as the extension says; give status, JSON and each output's values."""
    text = json.dumps(header).encode()
    answers: list[Any] = []
    headers = {} if length is None else {LENGTH: length or str(len(text))}
    app.heavy_body_bytes = 1 << 30
    app.answer(Asked(INFER, headers=headers), text + raw, lambda *answer: answers.append(answer), 0)
    ((status, reply_headers, body),) = answers
    cut = int(dict(reply_headers).get(LENGTH, len(body)))
    document = json.loads(body[:cut])
    return status, document, _values(document, body[cut:])


def _values(document: Mapping[str, Any], raw: bytes) -> dict[str, list[Any]]:
    values, at = {}, 0
    for output in document.get("outputs", []):
        if "data" in output:
            values[output["name"]] = output["data"]
            continue
        size = output["parameters"]["binary_data_size"]
        dtype = {"FP32": "<f4", "INT64": "<i8"}[output["datatype"]]
        values[output["name"]] = np.frombuffer(raw[at : at + size], dtype).tolist()
        at += size
    assert at == len(raw)
    return values


def rows_of_bytes(rows: Sequence[Sequence[float]], datatype: str = "FP32") -> tuple[dict[str, Any], bytes]:
    raw = np.array(rows, {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}[datatype]).tobytes()
    return sized("features", datatype, [len(rows), 3], raw), raw


def test_one_row_by_hand(app: App) -> None:
    raw = bytes.fromhex("00000040 00000041 0000803f")  # 2.0, 8.0, 1.0
    header = {"inputs": [sized("features", "FP32", [1, 3], raw)], "parameters": {"binary_data_output": True}}
    for _ in range(3):  # the second time its JSON is recognised
        status, document, values = post(app, header, raw)

        assert status == 200
        assert [output["parameters"] for output in document["outputs"]] == [
            {"binary_data_size": 4},
            {"binary_data_size": 8},
        ]
        assert values == {"probability": [0.5], "decision": [1]}


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_a_matrix_of_bytes_is_answered_like_the_same_in_json(app: App, datatype: str, rows: int) -> None:
    values = [[0.5 * at, -1.0 + at, float("nan") if at == 1 else 2.0] for at in range(rows)]
    tensor, raw = rows_of_bytes(values, datatype)
    expected = ask(app, INFER, matrix(*values))[1]
    for _ in range(2):
        status, _, outputs = post(app, {"inputs": [tensor], "parameters": {"binary_data_output": True}}, raw)

        assert status == 200
        assert np.float32(expected["outputs"][0]["data"]).tolist() == outputs["probability"]
        assert expected["outputs"][1]["data"] == outputs["decision"]


def test_bf16_is_the_upper_half_of_fp32(app: App) -> None:
    raw = b"".join(struct.pack("<f", value)[2:] for value in (2.0, 8.0, 1.0))
    status, _, values = post(app, {"inputs": [sized("features", "BF16", [1, 3], raw)]}, raw)

    assert (status, values["probability"]) == (200, [0.5])


NUMBERS = {
    "BOOL": "?",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_datatype_of_a_column_means_the_same_as_bytes_and_as_json(
    app: App, datatype: str, rows: int
) -> None:
    numbers = np.array([1, 0, 1][:rows], NUMBERS[datatype])
    colours = ["green", "blue", "red"][:rows]
    raws = {
        "amount": (datatype, numbers.tobytes(), numbers.tolist()),
        "colour": ("BYTES", strings(*colours), colours),
        "months": ("FP32", np.arange(rows, dtype="<f4").tobytes(), list(range(rows))),
        "paint_id": ("BYTES", strings(*"abc"[:rows]), list("abc"[:rows])),
    }
    as_bytes = [sized(name, kind, [rows], raw) for name, (kind, raw, _) in raws.items()]
    as_json = [
        {"name": name, "datatype": kind, "shape": [rows], "data": data}
        for name, (kind, _, data) in raws.items()
    ]
    status, reply, _ = post(app, {"inputs": as_bytes}, b"".join(raw for _, raw, _ in raws.values()))

    assert status == 200
    assert reply["outputs"] == ask(app, INFER, {"inputs": as_json})[1]["outputs"]


def test_bytes_and_json_may_stand_side_by_side(app: App) -> None:
    raw = np.array([2.0], "<f4").tobytes()
    inputs = [
        {"name": "colour", "datatype": "BYTES", "shape": [1], "data": ["green"]},
        sized("amount", "FP32", [1], raw),
        {"name": "months", "datatype": "INT8", "shape": [1], "data": [8]},
    ]
    status, _, values = post(app, {"inputs": inputs, "id": "x"}, raw)

    assert (status, values["probability"]) == (200, [0.5])


@pytest.mark.parametrize(
    ("outputs", "parameters", "as_bytes"),
    [
        (None, {}, set()),
        (None, {"binary_data_output": True}, {"probability", "decision"}),
        ([{"name": "decision"}], {"binary_data_output": True}, {"decision"}),
        (
            [{"name": "decision", "parameters": {"binary_data": True}}, {"name": "probability"}],
            {},
            {"decision"},
        ),
        (
            [{"name": "probability", "parameters": {"binary_data": False}}, {"name": "decision"}],
            {"binary_data_output": True},
            {"decision"},
        ),
    ],
)
@pytest.mark.parametrize("rows", [1, 2])
def test_each_output_comes_as_it_was_asked_for(
    app: App, outputs: Any, parameters: dict[str, Any], as_bytes: set[str], rows: int
) -> None:
    request = matrix(*[[2.0, 8.0, 1.0]] * rows, parameters={**parameters, "unheard_of": {"a": 1}})
    if outputs is not None:
        request["outputs"] = outputs
    status, document, values = post(app, request, length=None)

    assert status == 200
    assert {output["name"] for output in document["outputs"] if "data" not in output} == as_bytes
    wanted = [output["name"] for output in outputs or [{"name": "probability"}, {"name": "decision"}]]
    assert list(values) == wanted
    everything = {"probability": [0.5] * rows, "decision": [1] * rows}
    assert values == {name: everything[name] for name in wanted}


ROW, ROW_RAW = rows_of_bytes([[2.0, 8.0, 1.0]])


@pytest.mark.parametrize(
    ("inputs", "raw", "length", "says"),
    [
        pytest.param([ROW], ROW_RAW[:-1], "", "12 bytes of binary data, 11 are left", id="cut-off"),
        pytest.param([ROW], b"", "", "12 bytes of binary data, 0 are left", id="no-bytes"),
        pytest.param([ROW], ROW_RAW + b"x", "", "1 bytes of binary data belong to no input", id="too-many"),
        pytest.param([ROW], ROW_RAW, None, "malformed JSON", id="no-header"),
        pytest.param([ROW], ROW_RAW, "-1", "Inference-Header-Content-Length must be", id="negative-header"),
        pytest.param([ROW], ROW_RAW, "9999", "found '9999'", id="header-beyond-the-body"),
        pytest.param([ROW], ROW_RAW, "1e2", "found '1e2'", id="header-is-no-number"),
        pytest.param([ROW], ROW_RAW, "9" * 5000, "found '9999", id="header-beyond-what-python-reads"),
        pytest.param([ROW], ROW_RAW, "7", "malformed JSON", id="header-too-short"),
        pytest.param([{**ROW, "parameters": {"binary_data_size": -4}}], b"", "", "found -4", id="negative"),
        pytest.param(
            [{**ROW, "parameters": {"binary_data_size": 1 << 70}}], b"", "", "size in bytes|left", id="huge"
        ),
        pytest.param(
            [{**ROW, "parameters": {"binary_data_size": "12"}}], ROW_RAW, "", "found '12'", id="text"
        ),
        pytest.param([{**ROW, "shape": [2, 3]}], ROW_RAW, "", "takes 6 values, found 3", id="shape"),
        pytest.param([{**ROW, "datatype": "FP64"}], ROW_RAW, "", "not whole values", id="half-a-value"),
        pytest.param([{**ROW, "datatype": "INT32"}], ROW_RAW, "", "must be FP32", id="whole-numbers"),
        pytest.param([{**ROW, "datatype": "FP8"}], ROW_RAW, "", "datatype.* out of", id="unknown-datatype"),
        pytest.param(
            [{**ROW, "parameters": {"binary_data_size": 12, "shared_memory_region": "r"}}],
            ROW_RAW,
            "",
            "not offered",
            id="shared-memory",
        ),
        pytest.param(
            [sized("colour", "BYTES", [1], b"\x09\0\0\0red")],
            b"\x09\0\0\0red",
            "",
            "9 bytes, 3 are left",
            id="string-cut-off",
        ),
        pytest.param(
            [sized("colour", "BYTES", [1], b"\x09\0")],
            b"\x09\0",
            "",
            "ends within the length",
            id="length-cut-off",
        ),
        pytest.param(
            [sized("colour", "BYTES", [1], b"\1\0\0\0\xff")], b"\1\0\0\0\xff", "", "no UTF-8", id="no-text"
        ),
    ],
)
def test_what_does_not_add_up_is_said(
    app: App, inputs: list[Any], raw: bytes, length: str | None, says: str
) -> None:
    status, reply, _ = post(app, {"inputs": inputs}, raw, length)

    assert status == 400
    assert re.search(says, reply["error"]), reply


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), 1e39])
def test_an_infinite_value_is_the_clients_error(app: App, bad: float, rows: int) -> None:
    tensor, raw = rows_of_bytes([[bad, 0.0, 0.0]] * rows, "FP64")
    for _ in range(2):
        assert post(app, {"inputs": [tensor]}, raw)[0] == 400
    if np.isinf(bad):
        tensor, raw = rows_of_bytes([[bad, 0.0, 0.0]] * rows)
        for _ in range(2):
            assert post(app, {"inputs": [tensor]}, raw)[0] == 400


def test_a_body_of_bytes_that_ends_like_json_is_still_read_as_bytes(app: App) -> None:
    raw = ROW_RAW[:-1] + b"}"
    (third,) = struct.unpack("<f", raw[-4:])
    status, _, values = post(app, {"inputs": [ROW]}, raw)

    assert status == 200
    assert values["probability"] == ask(app, INFER, matrix([2.0, 8.0, third]))[1]["outputs"][0]["data"]


def test_a_compressed_body_is_refused_as_such(app: App) -> None:
    answers: list[Any] = []
    head = Asked(INFER, headers={"content-encoding": "gzip"})
    app.answer(head, b"\x1f\x8b\x08", lambda *answer: answers.append(answer), 0)

    assert answers[0][0] == 415
    assert b"gzip" in answers[0][2]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_records_are_rows_by_name(app: App, binary: bool, as_text: bool) -> None:
    rows = [
        {"amount": 2, "months": 8, "colour": "green", "paint_id": "p1"},
        {"colour": None, "months": 0, "amount": 0},
    ]
    texts = [json.dumps(row) for row in rows]
    tensor = {"name": "records", "datatype": "BYTES", "shape": [2]}
    if binary:
        raw = strings(*texts)
        status, _, values = post(app, {"inputs": [sized("records", "BYTES", [2], raw)]}, raw)
    else:
        status, _, values = post(
            app, {"inputs": [{**tensor, "data": texts if as_text else rows}]}, length=None
        )

    assert (status, values["probability"]) == (200, [0.5, 0.5])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (["{"], "malformed JSON"),
        (["[1]"], "must be a JSON object"),
        ([{"amount": 1}], "missing input columns: months, colour"),
        ([{"amount": 1, "months": 1, "colour": "red", "x": 1}], "no input named 'x'"),
        ([{"amount": {}, "months": 1, "colour": "red"}], "numbers, strings"),
        ([], "rows >= 1"),
    ],
)
def test_a_record_that_is_none_is_refused(app: App, data: list[Any], says: str) -> None:
    tensor = {"name": "records", "datatype": "BYTES", "shape": [len(data)], "data": data}
    status, reply, _ = post(app, {"inputs": [tensor]}, length=None)

    assert status == 400
    assert says in reply["error"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120, deadline=None)
@given(data=st.data())
def test_no_bytes_behind_a_header_are_our_error(app: App, data: st.DataObject) -> None:
    kinds = st.sampled_from([*NUMBERS, "BF16", "BYTES"])
    names = st.sampled_from(["features", "amount", "months", "colour", "records", "paint_id", "event_time"])
    parts = data.draw(st.lists(st.tuples(names, kinds, st.binary(max_size=24)), min_size=1, max_size=4))
    shapes = st.sampled_from([[1], [1, 3], [2], [2, 3], [0], [-1, 3], []])
    inputs = [sized(name, kind, data.draw(shapes), raw) for name, kind, raw in parts]
    if data.draw(st.booleans()):
        inputs[0]["parameters"]["binary_data_size"] = data.draw(
            st.integers(-2, 1 << 65) | st.text(max_size=2)
        )
    length = data.draw(st.just("") | st.integers(-1, 600).map(str) | st.text(max_size=3).filter(bool))
    status, reply, _ = post(app, {"inputs": inputs}, b"".join(raw for _, _, raw in parts), length)

    assert status == 200 or (status == 400 and isinstance(reply["error"], str))


def test_an_id_before_the_inputs_comes_back_each_time_though_the_rest_is_recognised(app: App) -> None:
    for number in range(3):
        header = {"id": f"request {number}", "inputs": [ROW], "parameters": {"binary_data_output": True}}
        status, reply, raw = post(app, header, ROW_RAW)

        assert (status, reply["id"]) == (200, f"request {number}")
        assert raw == post(app, {k: v for k, v in header.items() if k != "id"}, ROW_RAW)[2]
    assert len(app.models[0].v2._decode_binary.__self__._forms) == 1


@pytest.mark.parametrize("name", ['"inputs"', "\\", "é", "", "x" * 256, 'a","b":"c'])
def test_no_id_is_taken_for_anything_else(app: App, name: str) -> None:
    header = {"id": name, "inputs": [ROW], "parameters": {"binary_data_output": True}}

    answers = [post(app, header, ROW_RAW) for _ in range(3)]

    assert [(status, reply["id"]) for status, reply, _ in answers] == [(200, name)] * 3


def test_what_stands_before_the_inputs_is_not_passed_over(app: App) -> None:
    usual = {"inputs": [ROW], "parameters": {"binary_data_output": True}}
    post(app, usual, ROW_RAW)
    chosen = {"outputs": [{"name": "decision"}], **usual}

    assert [each["name"] for each in post(app, chosen, ROW_RAW)[1]["outputs"]] == ["decision"]
    assert post(app, {"id": "x" * 257, **usual}, ROW_RAW)[0] == 400


def test_an_id_said_twice_is_read_alike_each_time(app: App) -> None:
    def ask(first: str) -> Any:
        head = json.dumps({"id": first, "inputs": [ROW], "parameters": {"binary_data_output": False}})
        text = (head[:-1] + ', "id": "last"}').encode()
        answers: list[Any] = []
        asked = Asked(INFER, headers={LENGTH: str(len(text))})
        app.answer(asked, text + ROW_RAW, lambda *answer: answers.append(answer), 0)
        return json.loads(answers[0][2])["id"]

    assert [ask("last"), ask("last"), ask("other")] == ["last"] * 3


@pytest.mark.parametrize("before", [0, 1])
def test_bytes_without_json_before_them_are_refused_also_as_the_first_request(app: App, before: int) -> None:
    for _ in range(before):
        assert post(app, {"inputs": [ROW]}, ROW_RAW)[0] == 200
    answers: list[Any] = []

    app.answer(Asked(INFER, headers={LENGTH: "0"}), ROW_RAW, lambda *answer: answers.append(answer), 0)

    assert answers[0][0] == 400


def test_what_is_remembered_of_headers_is_bounded(app: App) -> None:
    for at in range(200):
        header = {"inputs": [ROW], "parameters": {f"p{at}": 1}}
        assert post(app, header, ROW_RAW)[0] == 200

    assert len(app.models[0].v2._decode_binary.__self__._forms) <= 64


def test_a_log_sees_the_rows_that_came_as_bytes(served: Callable[..., App]) -> None:
    app = served("logistic")
    raw = np.array([[1, 2, 0], [3, 4, 1]], "<f4").tobytes() + strings("a", "b")
    inputs = [sized("features", "FP32", [2, 3], raw[:24]), sized("paint_id", "BYTES", [2], raw[24:])]
    parsed = app.models[0].v2.decode(
        Asked(INFER, headers={LENGTH: str(len(json.dumps({"inputs": inputs})))}),
        json.dumps({"inputs": inputs}).encode() + raw,
    )

    assert parsed.entity_ids == ["a", "b"]
    assert np.asarray(parsed.values).tolist() == [[1, 2, 0], [3, 4, 1]]
