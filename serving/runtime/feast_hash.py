"""Feast's hashes in Redis, read without Feast: names of keys and fields, values, times.

One hash an entity: `_ts:VIEW` its event time, four bytes of murmur3 a feature, and `_newest:VIEW`, both
clocks to the microsecond, which modelway/features/online_redis.py adds. Formats: Feast 0.67's
`infra/key_encoding_utils.py`, `infra/online_stores/redis.py` and `protos/feast/types/Value.proto`.
"""

import struct
from collections.abc import Sequence
from math import isnan
from typing import NamedTuple, Self

from modelway.bundle.online import OnlineView
from serving.runtime.columns import Value
from serving.runtime.online_store import StoredRow
from serving.runtime.problems import StoreError

_STRING_TYPE = 2
_FLOAT_TAG, _STRING_TAG = 6 << 3 | 5, 2 << 3 | 2
"""`float_val`, four bytes; `string_val`, a length and UTF-8."""
_FLOAT = struct.Struct("<xf")
_SECONDS_TAG, _NANOS_TAG = 1 << 3, 2 << 3
_SHIFT_US, _DIGITS = 2**62, 19
"""Of a stamp: each clock is a number of 19 digits, shifted to be positive."""
_MASK = 0xFFFFFFFF


class Layout(NamedTuple):
    """How one view's rows are named."""

    head: bytes
    tail: bytes
    fields: tuple[bytes, ...]
    """Event time, stamp, then the features in the view's order."""

    @classmethod
    def of(cls, view: OnlineView) -> Self:
        """Of a view as a bundle describes it."""
        project, entity = view.table.removesuffix(f"_{view.name}"), view.entity.encode()
        head = struct.pack("<III", 1, _STRING_TYPE, len(entity)) + entity + struct.pack("<I", _STRING_TYPE)
        features = (murmur3_32(f"{view.name}:{name}".encode()) for name in view.features)
        times = (f"_ts:{view.name}".encode(), f"_newest:{view.name}".encode())
        return cls(head, project.encode(), (*times, *(struct.pack("<I", each) for each in features)))

    def key(self, entity: str) -> bytes:
        """Of an entity's hash."""
        text = entity.encode()
        return b"".join((self.head, struct.pack("<I", len(text)), text, self.tail))


def row_of(view: OnlineView, found: Sequence[bytes | None]) -> StoredRow | None:
    """A row from the values of `Layout.fields`; None where the view has none of that entity.

    Raises:
        StoreError: A value is none that a feature view of ours has.
    """
    if found[0] is None:
        return None
    try:
        event_us, known_us = _clocks(_timestamp_us(found[0]), found[1])
        pairs = zip(view.features, found[2:], strict=True)
        values = {name: _value(raw) for name, raw in pairs if raw is not None}
    except (ValueError, IndexError, struct.error) as error:
        raise StoreError(f"view {view.name} holds what no feature view of ours has: {error}") from error
    return StoredRow(event_us, known_us, values)


def _clocks(written_us: int, stamp: bytes | None) -> tuple[int, int]:
    """Event and known-at time.

    A stamp of another second is not the values' own: Feast's stock store wrote them, which knows one clock.
    """
    if stamp is None:
        return written_us, written_us
    event_us, known_us = int(stamp[:_DIGITS]) - _SHIFT_US, int(stamp[_DIGITS:]) - _SHIFT_US
    same = event_us // 1_000_000 == written_us // 1_000_000
    return (event_us, known_us) if same else (written_us, written_us)


def _value(raw: bytes) -> Value:
    if not raw:
        return None
    if raw[0] == _FLOAT_TAG:
        (number,) = _FLOAT.unpack(raw)
        return None if isnan(number) else number
    length, start = _varint(raw, 1)
    if raw[0] != _STRING_TAG or len(raw) - start != length:
        raise ValueError(f"a value that begins with {raw[:2]!r}")
    return raw[start:].decode()


def _timestamp_us(raw: bytes) -> int:
    """Of a protobuf `Timestamp`."""
    parts, at = {_SECONDS_TAG: 0, _NANOS_TAG: 0}, 0
    while at < len(raw):
        tag = raw[at]
        number, at = _varint(raw, at + 1)
        parts[tag] = number - 2**64 if number >= 2**63 else number
    if len(parts) > 2:  # noqa: PLR2004 - seconds and nanoseconds
        raise ValueError("a time with more than seconds and nanoseconds")
    return parts[_SECONDS_TAG] * 1_000_000 + parts[_NANOS_TAG] // 1000


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number of protobuf's, seven bits a byte, and where it ends."""
    number = shift = 0
    while True:
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the bit that says there is more
            return number, at


def murmur3_32(text: bytes) -> int:
    """MurmurHash3 x86_32 with seed 0 (Austin Appleby, public domain), unsigned."""
    whole = len(text) // 4 * 4
    found = 0
    for (word,) in struct.iter_unpack("<I", text[:whole]):
        found = _rotated(found ^ _mixed(word), 13) * 5 + 0xE6546B64 & _MASK
    found ^= _mixed(int.from_bytes(text[whole:], "little")) ^ len(text)
    found = (found ^ found >> 16) * 0x85EBCA6B & _MASK
    found = (found ^ found >> 13) * 0xC2B2AE35 & _MASK
    return found ^ found >> 16


def _mixed(word: int) -> int:
    return _rotated(word * 0xCC9E2D51 & _MASK, 15) * 0x1B873593 & _MASK


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & _MASK
