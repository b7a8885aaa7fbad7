"""A long request's parts are counted before it is parsed, as many as the parser would find."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.runtime.grpc.messages import message
from serving.runtime.grpc.parts import COUNTED_BYTES, MOST_PARTS, _Count, check_parts
from serving.runtime.problems import RequestError

EMPTY = (b"\x2a\x00", b"\x32\x00", b"\x3a\x00", b"\x22\x00")
"""An input, an output, raw contents and a parameter without anything in them."""


def within(kind: bytes, parts: bytes) -> bytes:
    """Parts of a tensor or an output."""
    size, length = len(parts), b""
    while size > 0x7F:
        length, size = length + bytes((size & 0x7F | 0x80,)), size >> 7
    return kind + length + bytes((size,)) + parts


MANY = MOST_PARTS + 1
FLOODS = [
    *(part * MANY for part in EMPTY),
    within(b"\x2a", b"\x22\x00" * MANY),
    within(b"\x32", b"\x12\x00" * MANY),
    within(b"\x2a", b"\x18\x01" * MANY),
    b"\x0b\x0c" + b"\x2a\x00" * MANY,  # behind a group that nobody knows
    b"\x48\x01" * MANY,
]


@pytest.mark.parametrize("flood", FLOODS)
def test_too_many_parts_are_refused(flood: bytes) -> None:
    message("ModelInferRequest").FromString(flood)  # it is one
    with pytest.raises(RequestError, match="may have 16384"):
        check_parts(flood)


def test_values_are_no_parts() -> None:
    request = message("ModelInferRequest")(model_name="m", raw_input_contents=[b"\x2a\x00" * COUNTED_BYTES])
    tensor = request.inputs.add(name="x", datatype="BYTES", shape=[MANY])
    tensor.contents.bytes_contents.extend([b""] * MANY)
    tensor.contents.int64_contents.extend([1] * MANY)
    check_parts(request.SerializeToString())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([*EMPTY, b"\x2a\x04\x22\x00\x18\x01", b"\x2a\x03\x1a\x01\x01", b"\x0a\x01a"]),
        max_size=20,
    )
)
def test_as_many_are_counted_as_there_are(parts: list[bytes]) -> None:
    body = b"".join(parts)
    count = _Count(body)
    count.within(0, len(body), deep=True)
    nested = {b"\x2a\x04\x22\x00\x18\x01": 2, b"\x2a\x03\x1a\x01\x01": 1}

    assert count.parts == len(parts) + sum(nested.get(part, 0) for part in parts)


@given(st.binary(max_size=200))
def test_noise_is_left_to_the_parser(noise: bytes) -> None:
    count: Any = _Count(noise)
    count.within(0, len(noise), deep=True)
