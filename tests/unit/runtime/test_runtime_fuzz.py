"""Whatever a client sends is answered, and never with an error that blames us."""

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime_asking import INFER, PREDICT, ask, matrix

from serving.runtime.app import App

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["red", "FP32"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["features", "amount", "months", "colour", "paint_id", "event_time"]) | JSON,
        "datatype": st.sampled_from(["FP32", "FP64", "INT64", "INT32", "BOOL", "BYTES"]) | JSON,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | JSON,
        "data": st.lists(JSON, max_size=6) | JSON,
    },
)
REQUEST = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.lists(TENSOR | JSON, max_size=6) | JSON,
        "instances": st.lists(st.lists(JSON, min_size=3, max_size=3) | JSON, max_size=3) | JSON,
        "id": JSON,
        "outputs": JSON,
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(document=REQUEST | JSON, path=st.sampled_from([INFER, PREDICT]))
def test_no_json_that_a_client_can_write_is_our_error(app: App, document: Any, path: str) -> None:
    status, reply = ask(app, path, json.dumps(document).encode())

    assert status == 200 or (400 <= status < 500 and isinstance(reply["error"], str))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(data=st.data(), path=st.sampled_from([INFER, PREDICT]))
def test_no_bytes_that_a_client_can_send_are_our_error(app: App, data: st.DataObject, path: str) -> None:
    valid = msgspec.json.encode(matrix([1.0, None, 2.0], id="a"))
    cut = data.draw(st.integers(0, len(valid)))
    junk = data.draw(st.binary(max_size=12))
    status, reply = ask(app, path, valid[:cut] + junk + valid[cut + data.draw(st.integers(0, 9)) :])

    assert status == 200 or (400 <= status < 500 and isinstance(reply["error"], str))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(-1e6, 1e6, width=32),
            st.none() | st.integers(-1000, 1000),
            st.none() | st.sampled_from(["red", "green", "blue", "mauve"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_named_columns_a_matrix_and_v1_agree_on_every_row(app: App, rows: list[tuple[Any, Any, Any]]) -> None:
    codes = {"red": 0.0, "green": 1.0, "blue": 2.0}
    names, kinds = ("amount", "months", "colour"), ("FP32", "INT64", "BYTES")
    named = [
        {"name": name, "shape": [len(rows)], "datatype": kind, "data": [row[at] for row in rows]}
        for at, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    by_name = ask(app, INFER, {"inputs": named})[1]["outputs"][0]["data"]
    by_matrix = ask(app, INFER, matrix(*[[r[0], r[1], codes.get(r[2])] for r in rows]))[1]["outputs"][0][
        "data"
    ]

    assert by_name == by_matrix
    assert ask(app, PREDICT, {"instances": rows})[1]["predictions"] == by_matrix
