"""Feast's hashes, decoded by hand: published hash values, protobuf's own times, and nonsense refused."""

import struct
from datetime import UTC, datetime, timedelta

import mmh3
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from modelway.bundle.online import OnlineView
from serving.runtime.feast_hash import Layout, murmur3_32, row_of
from serving.runtime.problems import StoreError

VIEW = OnlineView(name="v", table="shop_v", entity="state", features=("rate", "mood"), ttl_s=1.0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(-(10**15), 4 * 10**15)
"""Microseconds: 1938 to 2096."""


def written(us: int) -> bytes:
    time = Timestamp()
    time.FromDatetime(EPOCH + timedelta(microseconds=us))
    return bytes(time.SerializeToString())


def stamp(event_us: int, known_us: int) -> bytes:
    return f"{event_us + 2**62}{known_us + 2**62}".encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", 0),
        (b"test", 0xBA6BD213),
        (b"Hello, world!", 0xC0363E43),
        (b"The quick brown fox jumps over the lazy dog", 0x2E4FF723),
    ],
)
def test_murmur3_gives_the_published_values(text: bytes, expected: int) -> None:
    assert murmur3_32(text) == expected


@given(st.binary(max_size=70))
def test_murmur3_is_that_of_the_package_which_feast_uses(text: bytes) -> None:
    assert murmur3_32(text) == mmh3.hash(text, signed=False)


def test_a_key_is_laid_out_as_feast_does() -> None:
    layout = Layout.of(VIEW)

    assert layout.key("NY") == (
        b"\x01\x00\x00\x00\x02\x00\x00\x00\x05\x00\x00\x00state\x02\x00\x00\x00\x02\x00\x00\x00NYshop"
    )
    assert layout.fields[:2] == (b"_ts:v", b"_newest:v")
    assert layout.fields[2] == struct.pack("<I", murmur3_32(b"v:rate"))


@given(MOMENTS, st.integers(0, 10**14), st.floats(width=32, allow_nan=False), st.text(max_size=400))
def test_what_was_written_is_read(event_us: int, later_us: int, rate: float, mood: str) -> None:
    raw = mood.encode()
    length = bytes([len(raw)]) if len(raw) < 128 else bytes([len(raw) & 0x7F | 0x80, len(raw) >> 7])
    values = [b"\x35" + struct.pack("<f", rate), b"\x12" + length + raw]

    row = row_of(VIEW, [written(event_us), stamp(event_us, event_us + later_us), *values])

    assert row is not None
    assert (row.event_us, row.known_us) == (event_us, event_us + later_us)
    assert row.values == {"rate": rate, "mood": mood}


def test_missing_values_and_rows() -> None:
    nan = b"\x35" + struct.pack("<f", float("nan"))
    row = row_of(VIEW, [written(5), None, nan, b""])

    assert row_of(VIEW, [None, None, None, None]) is None
    assert row is not None
    assert (row.event_us, row.known_us, row.values) == (5, 5, {"rate": None, "mood": None})
    absent = row_of(VIEW, [written(5), None, nan, None])
    assert absent is not None
    assert "mood" not in absent.values  # which `whole` refuses when the row is used


@given(st.binary(min_size=1, max_size=12))
def test_nonsense_is_a_store_error_and_nothing_else(raw: bytes) -> None:
    for found in ([raw, None, b"", b""], [written(5), raw, b"", b""], [written(5), None, raw, raw]):
        try:
            row_of(VIEW, found)
        except StoreError as error:
            assert "view v" in str(error)  # noqa: PT017 - either is right, and nothing else is
