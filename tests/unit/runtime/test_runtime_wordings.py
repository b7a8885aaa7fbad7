"""Requests that say what one before them said are read by a shorter way, and mean the same."""

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.bundle.signature import Input, Signature
from serving.runtime.columns import Columns
from serving.runtime.metrics import Meter
from serving.runtime.problems import RequestError
from serving.runtime.v2 import V2Decoder
from serving.runtime.v2_wordings import Wordings

PAINT = Signature(
    model_name="paint",
    key="paint_id",
    label="sold",
    inputs=tuple(Input(name=name, kind="numeric") for name in ("amount", "months", "weight")),
    threshold=0.5,
)
ROW = [1.5, -2.0, 0.25]


def body(data: str = "[1.5,-2.0,0.25]", before: str = '{"id":"7",', after: str = "}]}") -> bytes:
    return (
        f'{before}"inputs":[{{"name":"features","shape":[1,3],"datatype":"FP32","data":{data}{after}'.encode()
    )


def meaning(decode: Callable[[bytes], Any], raw: bytes) -> Any:
    """What a request comes to: its rows and id, or why it is refused."""
    try:
        parsed = decode(raw)
    except RequestError as error:
        return str(error)
    values = np.asarray(parsed.values, np.float64).tobytes()
    return parsed.rows, values, parsed.request_id, parsed.outputs, parsed.binary


@pytest.fixture
def decoder(columns: Columns) -> V2Decoder:
    return V2Decoder(columns)


def test_the_numbers_and_the_id_of_a_known_wording_may_be_others(decoder: V2Decoder) -> None:
    decoder.decode(body())
    read = decoder.wordings.read

    same, other = read(body("[1.5,-2.0,0.25]")), read(body("[3,4.5e0,-0.0]", '{"id":"another", '))
    assert same is not None
    assert other is not None
    assert (same.values, same.request_id, same.packed) == (ROW, "7", struct.pack("=3f", *ROW))
    assert (other.values, other.request_id) == ([3.0, 4.5, 0.0], "another")
    missing = read(body("[1.5, null,0.25]"))
    assert missing is not None
    assert missing.packed == struct.pack("=3f", 1.5, float("nan"), 0.25)
    unnamed = read(body(before="{"))
    assert unnamed is not None
    assert unnamed.request_id is None
    assert len(decoder.wordings) == 1


@pytest.mark.parametrize(
    "raw",
    [
        body("[1,null,3]"),
        body("[1,2]"),
        body("[1,2,3,4]"),
        body("[1e39,0,0]"),
        body("[1e999,0,0]"),
        body("[1,true,3]"),
        body("[[1,2,3]]"),
        body('["1",2,3]'),
        body("[1,2,3"),
        body("[1,2,]"),
        body("[NaN,2,3]"),
        body(before='{"id":"7",,'),
        body(before='{"id":"7" '),
        body(before='{"id":7,'),
        body(before='{"id":"' + "7" * 300 + '",'),
        body(before='{"id":"\\ud800",'),
        body(before='{"id":"data",'),
        body(before='{"data":[9,9,9],'),
        body(before='{"id":"7","outputs":[],'),
        body(after="}]"),
        body(after="}]}}"),
        body(after='}],"id":"8"}'),
        body(before="{", after='}],"id":"8"}'),
        body(before="{", after='}],"id":"8","id":9}'),
        body(before="{", after='}],"id":"8"'),
        body(before="{", after='}],"id":"8"}}'),
        body(before="{", after='}] "id":"8"}'),
        body(before="{", after='}]}"id":"8"}'),
        body(after='}],"outputs":[{"name":"decision"}]}'),
    ],
)
def test_what_only_looks_alike_means_what_it_meant_before(columns: Columns, raw: bytes) -> None:
    knowing = V2Decoder(columns)
    for known in (body(), body(before="{"), body(before="{", after='}],"id":"7"}')):
        knowing.decode(known)

    def first_known(asked: bytes) -> Any:
        return knowing.wordings.read(asked) or knowing.decode(asked)

    assert meaning(first_known, raw) == meaning(V2Decoder(columns).decode, raw)


def test_a_decoy_is_never_taken_for_the_numbers(columns: Columns) -> None:
    """Whoever names other fields `data`, spells them with escapes or repeats them is read with care."""
    numbers = "[1.5,-2.0,0.25]"
    tensor = '{"name":"features","shape":[1,3],"datatype":"FP32",'
    forms = [
        '{"data":%s,"inputs":[' + tensor + f'"data":{numbers}}}]}}',
        '{"inputs":[' + tensor + '"other":{"data":%s},' + f'"data":{numbers}}}]}}',
        '{"inputs":[' + tensor + '"data":%s,' + f'"d\\u0061ta":{numbers}}}]}}',
        '{"inputs":[' + tensor + f'"data":{numbers}}}],"more":{{"data":%s}}}}',
        '{"id":"\\"data\\":[","inputs":[' + tensor + '"data":%s}]}',
    ]
    for form in forms:
        knowing = V2Decoder(columns)
        for data in (numbers, "[9,9,9]"):
            raw = (form % data).encode()
            known = knowing.wordings.read(raw)
            found = known or knowing.decode(raw)
            assert found.values == V2Decoder(columns).decode(raw).values


@pytest.mark.parametrize("before", ['{"id":"7",,', '{"id":"7" ', "{,", '{"id":"7","id":8,'])
def test_no_comma_too_many_or_too_few_passes_before_known_bytes(decoder: V2Decoder, before: str) -> None:
    tensor = '{"name":"features","shape":[1,3],"datatype":"FP32","parameters":{"binary_data_size":12}}'
    rest, values = f'"inputs":[{tensor}]}}', struct.pack("<3f", *ROW)
    known, broken = (f"{start}{rest}".encode() for start in ('{"id":"7",', before))
    assert decoder.decode_binary(known + values, len(known)).packed is None
    assert decoder.decode_binary(known + values, len(known)).packed == values

    with pytest.raises(RequestError):
        decoder.decode_binary(broken + values, len(broken))


def test_a_client_whose_requests_cannot_be_learnt_is_not_looked_at_for_ever(decoder: V2Decoder) -> None:
    for _ in range(1001):
        decoder.decode(body(before='{"model_name":"paint",'))
    decoder.decode(body())

    assert len(decoder.wordings) == 0


def test_only_so_many_wordings_are_kept(decoder: V2Decoder) -> None:
    for at in range(200):
        decoder.decode(body(after=f'}}],"note{at}":0}}'))
    decoder.decode(body(after=f'}}],"note":"{"x" * 5000}"}}'))

    assert 0 < len(decoder.wordings) <= 64


numbers = st.lists(
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70), max_size=5
)
spaces = st.sampled_from([(",", ":"), (", ", ": ")])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(max_size=9), numbers, spaces, st.booleans()), max_size=6))
def test_in_any_order_each_request_means_what_it_means_alone(
    asked: list[tuple[str | None, list[float | None], tuple[str, str], bool]],
) -> None:
    columns = Columns(PAINT)
    knowing = V2Decoder(columns)
    for request_id, row, separators, last in [(None, [1.0, 2.0, 3.0], (",", ":"), False), *asked]:
        tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": row}
        named = {} if request_id is None else {"id": request_id}
        document = {"inputs": [tensor], **named} if last else {**named, "inputs": [tensor]}
        raw = json.dumps(document, separators=separators).encode()
        known = meaning(lambda asked: knowing.wordings.read(asked) or knowing.decode(asked), raw)
        assert known == meaning(V2Decoder(columns).decode, raw)


def test_wordings_of_nobody_are_none() -> None:
    assert Wordings(3).read(body()) is None


@given(st.lists(st.integers(0, 4_000_000), min_size=1, max_size=16))
def test_requests_counted_together_count_as_they_do_alone(took_ns: list[int]) -> None:
    edges = (250_000, 500_000, 1_000_000)
    together, alone = Meter(edges), Meter(edges)
    now_ns = 10**12
    together.answered([now_ns - one for one in took_ns], now_ns)
    for one in took_ns:
        alone.scored(200, one, 1)

    assert together.latency_ns.counts == alone.latency_ns.counts
    assert together.latency_ns.total == alone.latency_ns.total
    assert (together.rows, together.statuses) == (alone.rows, alone.statuses)
