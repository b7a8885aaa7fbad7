"""Requests become numbers, or an error that says what was found and what was expected."""

import json
from math import isnan, nan
from typing import Any

import numpy as np
import pytest

from serving.runtime.columns import Columns
from serving.runtime.parsed import Parsed
from serving.runtime.problems import RequestError
from serving.runtime.v1 import V1Decoder
from serving.runtime.v2 import V2Decoder


def body(*inputs: dict[str, Any], **rest: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **rest}).encode()


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "shape": [len(data)] if shape is None else shape,
        "datatype": datatype,
        "data": data,
    }


def matrix(data: list[Any], rows: int, **changed: Any) -> dict[str, Any]:
    return {**tensor("features", "FP32", data, [rows, 3]), **changed}


def named(rows: int = 1, **changed: Any) -> list[dict[str, Any]]:
    columns = {
        "amount": tensor("amount", "FP32", [1.5] * rows),
        "months": tensor("months", "INT64", [12] * rows),
        "colour": tensor("colour", "BYTES", ["green"] * rows),
        **changed,
    }
    return [column for column in columns.values() if column is not None]


def rows_of(parsed: Parsed) -> list[list[float]]:
    return np.array(parsed.values, dtype=np.float64).reshape(parsed.rows, -1).tolist()


@pytest.fixture
def v2(columns: Columns) -> V2Decoder:
    return V2Decoder(columns)


@pytest.fixture
def v1(columns: Columns) -> V1Decoder:
    return V1Decoder(columns)


def test_a_matrix_of_one_row_is_taken_as_it_is(v2: V2Decoder) -> None:
    assert rows_of(v2.decode(body(matrix([1, 2.5, 0], 1)))) == [[1.0, 2.5, 0.0]]


def test_a_matrix_is_row_major_flat_or_nested(v2: V2Decoder) -> None:
    flat = v2.decode(body(matrix([1, 2, 0, 3, 4, 1], 2)))
    nested = v2.decode(body(matrix([[1, 2, 0], [3, 4, 1]], 2)))

    assert rows_of(flat) == rows_of(nested) == [[1, 2, 0], [3, 4, 1]]


def test_named_columns_come_in_any_order_and_categories_become_codes(v2: V2Decoder) -> None:
    parsed = v2.decode(body(*reversed(named())))

    assert rows_of(parsed) == [[1.5, 12.0, 1.0]]


def test_named_columns_of_several_rows_stand_in_their_rows(v2: V2Decoder) -> None:
    parsed = v2.decode(
        body(
            tensor("colour", "BYTES", ["red", "blue"], [2, 1]),
            tensor("amount", "FP64", [1, 2], [2, 1]),
            tensor("months", "BOOL", [True, False], [2, 1]),
        )
    )

    assert rows_of(parsed) == [[1, 1, 0], [2, 0, 2]]


@pytest.mark.parametrize("rows", [1, 3])
def test_null_and_nan_mean_missing_everywhere(v2: V2Decoder, rows: int) -> None:
    given = named(
        rows, amount=tensor("amount", "FP32", [nan] * rows), colour=tensor("colour", "BYTES", [None] * rows)
    )
    for row in rows_of(v2.decode(body(*given))):
        assert isnan(row[0])
        assert row[1] == 12.0
        assert isnan(row[2])
    for row in rows_of(v2.decode(body(matrix([None, 1.0, nan] * rows, rows)))):
        assert isnan(row[0])
        assert row[1] == 1.0
        assert isnan(row[2])


@pytest.mark.parametrize("rows", [1, 3])
def test_an_unknown_category_is_missing_and_counted(v2: V2Decoder, columns: Columns, rows: int) -> None:
    parsed = v2.decode(body(*named(rows, colour=tensor("colour", "BYTES", ["mauve"] * rows))))

    assert all(isnan(row[2]) for row in rows_of(parsed))
    assert columns.unknown_counts == {"colour": rows}


def test_key_and_time_are_remembered_and_not_scored(v2: V2Decoder) -> None:
    extras = [tensor("paint_id", "BYTES", ["p1"]), tensor("event_time", "INT64", [1_000_000])]
    for request in (body(*named(), *extras), body(matrix([1, 2, 0], 1), *extras)):
        parsed = v2.decode(request)

        assert len(rows_of(parsed)[0]) == 3
        assert (parsed.entity_ids, parsed.event_times_us) == (["p1"], [1_000_000])


def test_a_whole_number_may_be_a_key(v2: V2Decoder) -> None:
    assert v2.decode(body(*named(), tensor("paint_id", "INT64", [77]))).entity_ids == ["77"]


def test_the_id_is_kept_and_may_be_absent(v2: V2Decoder) -> None:
    assert v2.decode(body(*named(), id="a-1")).request_id == "a-1"
    assert v2.decode(body(*named())).request_id is None


def test_only_known_outputs_can_be_asked_for(v2: V2Decoder) -> None:
    assert v2.decode(body(*named(), outputs=[{"name": "decision"}])).outputs == ("decision",)
    with pytest.raises(RequestError, match="no output named 'score'"):
        v2.decode(body(*named(), outputs=[{"name": "score"}]))


@pytest.mark.parametrize(
    ("request_body", "says"),
    [
        pytest.param(b"", "malformed JSON", id="empty"),
        pytest.param(b"{", "malformed JSON", id="truncated"),
        pytest.param(b"\xff\xfe", "malformed JSON", id="no-text"),
        pytest.param(b"[" * 100_000, "malformed JSON", id="deep"),
        pytest.param(b"[]", "a list `inputs`", id="no-object"),
        pytest.param(b"{}", "a list `inputs`", id="no-inputs"),
        pytest.param(b'{"inputs": []}', "`inputs` is empty", id="empty-inputs"),
        pytest.param(b'{"inputs": [3]}', r"inputs\[0\] must be an object", id="input-is-no-object"),
        pytest.param(body({"name": 3}), "needs a string `name`", id="name-is-no-string"),
        pytest.param(body(tensor("amount", "FP8", [1])), "needs a `datatype`", id="unknown-datatype"),
        pytest.param(
            body({**tensor("amount", "FP32", [1]), "datatype": []}), "`datatype`", id="datatype-is-a-list"
        ),
        pytest.param(
            body({**tensor("amount", "FP32", [1]), "shape": "1"}), "needs a `shape`", id="shape-is-text"
        ),
        pytest.param(
            body({**tensor("amount", "FP32", [1]), "shape": [True]}), "needs a `shape`", id="shape-is-bool"
        ),
        pytest.param(
            body({"name": "amount", "shape": [1], "datatype": "FP32"}), "a list `data`", id="no-data"
        ),
        pytest.param(body(*named(colour=None)), "missing input columns: colour", id="column-missing"),
        pytest.param(
            body(*named(x=tensor("size", "FP32", [1]))), "no input named 'size'", id="column-unknown"
        ),
        pytest.param(body(*named(), *named()), "same name", id="column-twice"),
        pytest.param(
            body(*named(amount=tensor("amount", "FP32", ["1"]))), "FP32 but holds a str", id="text-as-number"
        ),
        pytest.param(
            body(*named(amount=tensor("amount", "BYTES", ["1"]))), "'amount' is a number", id="bytes-number"
        ),
        pytest.param(
            body(*named(colour=tensor("colour", "INT64", [1]))), "'colour' is a category", id="code-given"
        ),
        pytest.param(
            body(*named(months=tensor("months", "INT64", [1.5]))), "INT64 but holds a float", id="half-int"
        ),
        pytest.param(
            body(*named(months=tensor("months", "INT64", [2**63]))), "beyond 64 bits", id="int-too-big"
        ),
        pytest.param(
            body(*named(months=tensor("months", "INT64", [1, 2]))), "must hold 1 values", id="lengths-differ"
        ),
        pytest.param(
            body(*named(amount=tensor("amount", "FP32", [1], [2]))), "must hold 2 values", id="shape-lies"
        ),
        pytest.param(body(*named(amount=tensor("amount", "FP32", [], [0]))), "rows >= 1", id="no-rows"),
        pytest.param(body(*named(amount=tensor("amount", "FP32", [1], []))), "rows >= 1", id="no-shape"),
        pytest.param(
            body(*named(amount=tensor("amount", "FP32", [float("inf")]))), "infinite", id="inf-literal"
        ),
        pytest.param(body(matrix([1, 2, 3, 4], 1)), "takes 3 values, found 4", id="matrix-too-long"),
        pytest.param(body(matrix([1, 2], 1, shape=[1, 2])), r"shape \[rows, 3\]", id="matrix-too-narrow"),
        pytest.param(body(matrix([1, 2, 3], 1, shape=[3])), r"shape \[rows, 3\]", id="matrix-is-a-vector"),
        pytest.param(body(matrix([], 0)), r"rows >= 1", id="matrix-empty"),
        pytest.param(body(matrix([1, 2, 3], -1)), r"rows >= 1", id="matrix-negative"),
        pytest.param(body(matrix([1, 2, 3], 1, datatype="INT64")), "must be FP32", id="matrix-of-integers"),
        pytest.param(body(matrix([1, 2, 3, 1, 2, 1e39], 2)), "infinite", id="matrix-beyond-fp32"),
        pytest.param(body(matrix([1, 2, float("-inf")], 1)), "infinite", id="matrix-with-inf"),
        pytest.param(body(matrix([1, 2, 3], 1), *named()), "not both", id="matrix-and-columns"),
        pytest.param(body(*named(), id=7), "`id` must be a string", id="id-is-a-number"),
        pytest.param(body(*named(), id="x" * 257), "at most 256", id="id-too-long"),
        pytest.param(body(*named(), tensor("paint_id", "FP32", [1.5])), "key tensor", id="key-is-a-fraction"),
        pytest.param(body(*named(), id="\ud800"), "malformed JSON", id="id-is-no-text"),
        pytest.param(body(*named(), id="\ud800", x=nan), "`id` must be", id="id-is-no-text-beside-nan"),
        pytest.param(
            body(*named(amount=tensor("amount", "FP32", [nan])), tensor("paint_id", "BYTES", ["\ud800"])),
            "a key must be text",
            id="key-is-no-text-beside-nan",
        ),
        pytest.param(
            body(*named(), tensor("paint_id", "BYTES", ["x" * 257])), "at most 256", id="key-too-long"
        ),
        pytest.param(
            body(*named(), tensor("event_time", "BYTES", ["now"])), "INT64 micro", id="time-is-text"
        ),
        pytest.param(
            body(*named(), tensor("event_time", "INT64", [2**62])), "INT64 micro", id="time-beyond-9999"
        ),
        pytest.param(
            body(*named(), tensor("event_time", "INT64", [1, 2])), "must hold 1", id="two-times-one-row"
        ),
        pytest.param(body(*named(), outputs=[3]), "`outputs` needs", id="outputs-are-numbers"),
        pytest.param(body(*named(), outputs="p"), "must be a list", id="outputs-are-text"),
    ],
)
def test_a_bad_v2_request_says_what_is_wrong(v2: V2Decoder, request_body: bytes, says: str) -> None:
    with pytest.raises(RequestError, match=says) as caught:
        v2.decode(request_body)

    assert 400 <= caught.value.status < 500


def test_what_was_sent_before_changes_nothing(v2: V2Decoder) -> None:
    """The decoder tries first what fitted last: the answer must not depend on it."""
    requests = [body(matrix([1, 2, 0], 1)), body(*named()), body(matrix([[1, 2, 0]], 1)), body(*named(2))]
    first = [rows_of(v2.decode(request)) for request in requests]
    for order in (requests[::-1], requests * 3):
        for request in order:
            assert rows_of(v2.decode(request)) == first[requests.index(request)]


def test_v1_rows_are_lists_or_objects(v1: V1Decoder) -> None:
    as_list = v1.decode(json.dumps({"instances": [[1.5, 12, "green"], [2, None, "mauve"]]}).encode())
    as_object = v1.decode(
        json.dumps(
            {
                "instances": [
                    {"colour": "green", "amount": 1.5, "months": 12, "paint_id": "p1", "event_time": 5},
                    {"colour": "mauve", "amount": 2, "months": None},
                ]
            }
        ).encode()
    )

    for parsed in (as_list, as_object):
        np.testing.assert_array_equal(rows_of(parsed), [[1.5, 12, 1], [2, nan, nan]])
    assert as_object.entity_ids == ["p1", None]
    assert as_object.event_times_us == [5, None]


@pytest.mark.parametrize(
    ("request_body", "says"),
    [
        pytest.param(b"{", "malformed", id="truncated"),
        pytest.param(b"{}", "`instances`", id="nothing"),
        pytest.param(b'{"instances": []}', "one row or more", id="no-rows"),
        pytest.param(b'{"instances": [1]}', "must be a list or an object", id="row-is-a-number"),
        pytest.param(b'{"instances": [[1, 2]]}', "must hold 3 values, found 2", id="row-too-short"),
        pytest.param(b'{"instances": [[1, [], "red"]]}', "numbers, strings", id="cell-is-a-list"),
        pytest.param(b'{"instances": [["1", 2, "red"]]}', "'amount' is a number", id="text-as-number"),
        pytest.param(b'{"instances": [[1, 2, 3]]}', "'colour' is a category", id="number-as-category"),
        pytest.param(b'{"instances": [[1e39, 2, "red"], [1, 2, "red"]]}', "infinite", id="beyond-fp32"),
        pytest.param(b'{"instances": [[Infinity, 2, "red"]]}', "infinite", id="inf"),
        pytest.param(
            b'{"instances": [{"amount": 1, "months": 2}]}', "missing input columns: colour", id="missing"
        ),
        pytest.param(
            b'{"instances": [{"amount": 1, "months": 2, "colour": null, "x": 1}]}', "'x'", id="unknown"
        ),
    ],
)
def test_a_bad_v1_request_says_what_is_wrong(v1: V1Decoder, request_body: bytes, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        v1.decode(request_body)
