"""Feast's Redis online store, written a batch a call, where an older event never replaces a newer one.

Keys and hashes are Feast's own, byte for byte: its stock `redis` store, in any language, reads them. One
field more says how new a hash is, to the microsecond and on both clocks. Valkey speaks the same protocol.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgpack
import numpy as np
import polars as pl
from feast.infra.key_encoding_utils import serialize_entity_key_prefix
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.protos.feast.types.Value_pb2 import Value, ValueType
from google.protobuf.timestamp_pb2 import Timestamp

from modelway.features.packed import CLOCKS, Write, frame_of

_CHUNK_ROWS = 500
"""Rows a call: the server does nothing else meanwhile, which is a few milliseconds."""
_SHIFT_US = 2**62
"""Makes every time a number of 19 digits, so that comparing them as text compares them."""
_FLOAT_TAG = 6 << 3 | 5
"""`float_val` of Feast's Value: field 6, four bytes."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SET_NEWER = """
local rows, set = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])
for _, row in ipairs(rows) do
  local stored = redis.call('HMGET', row[1], set[1], set[3])
  if not stored[1] or not stored[2] or row[2] >= stored[2] then
    set[2], set[4] = row[3], row[2]
    for at = 4, #row do set[2 * at - 2] = row[at] end
    redis.call('HSET', row[1], unpack(set))
  end
end
return #rows
"""
"""`set` names the fields, with room for a value after each: Feast's time, our stamp, the features."""


class NewestWinsRedisOnlineStoreConfig(RedisOnlineStoreConfig):  # type: ignore[misc]  # Feast is untyped
    """`online_store:` section of feature_store.yaml."""

    type: Literal["modelway.features.online_redis.NewestWinsRedisOnlineStore"] = (
        "modelway.features.online_redis.NewestWinsRedisOnlineStore"
    )


class NewestWinsRedisOnlineStore(RedisOnlineStore):  # type: ignore[misc]  # Feast is untyped
    """One Redis or Valkey server. The look and the write are one script: no writer comes between."""

    def write_rows(self, config: Any, table: Any, rows: pl.DataFrame) -> None:
        """Write those rows that are at least as new as what is stored; pass over the others.

        Newer means a later event time, or the same one known later.

        Args:
            config: Feast's.
            table: Feast's feature view.
            rows: Its entity, `event_time`, `known_at` and its features.
        """
        script = self._get_client(config.online_store).register_script(_SET_NEWER)
        fields = _pack(_fields(table))
        for chunk in rows.iter_slices(_CHUNK_ROWS):
            script(args=[_pack(_packed(config.project, table, chunk)), fields])

    def online_write_batch(
        self, config: Any, table: Any, data: Sequence[Write], progress: Callable[[int], Any] | None
    ) -> None:
        """What Feast's own `materialize` and `push` call; the same rule, the same hashes."""
        self.write_rows(config, table, frame_of(table, data))
        if progress:
            progress(len(data))

    def known_times(self, config: Any, table: Any, entities: Sequence[str]) -> dict[str, datetime]:
        """When each stored value became known; hashes that Feast's stock store wrote do not say it."""
        reads = self._get_client(config.online_store).pipeline(transaction=False)
        for key in _keys(config.project, table.join_keys[0], pl.Series(entities, dtype=pl.String)):
            reads.hget(key, _stamp_field(table))
        stamps = zip(entities, reads.execute(), strict=True)
        return {entity: _known_time(stamp) for entity, stamp in stamps if stamp}


def _stamp_field(table: Any) -> bytes:
    return f"_newest:{table.name}".encode()


def _known_time(stamp: bytes) -> datetime:
    """The second of a stamp's two times."""
    return _EPOCH + timedelta(microseconds=int(stamp[len(stamp) // 2 :]) - _SHIFT_US)


def _pack(parts: list[Any]) -> bytes:
    """In the older format, which is all that Redis's Lua reads: it knows no type of bytes, only of text."""
    return bytes(msgpack.packb(parts, use_bin_type=False))


def _fields(table: Any) -> list[bytes]:
    """Names of a hash's fields, each before an empty place for its value."""
    features = (_mmh3(f"{table.name}:{field.name}") for field in table.features)
    names = [f"_ts:{table.name}".encode(), _stamp_field(table), *features]
    return [part for name in names for part in (name, b"")]


def _packed(project: str, table: Any, rows: pl.DataFrame) -> list[tuple[bytes, ...]]:
    """Key, stamp, Feast's time, then a value a feature: one tuple a row."""
    entity = table.join_keys[0]
    values = (_values(rows[field.name]) for field in table.features)
    columns = (_keys(project, entity, rows[entity]), _stamps(rows), _times(rows["event_time"]), *values)
    return list(zip(*columns, strict=True))


def _keys(project: str, entity: str, values: pl.Series) -> Iterator[bytes]:
    head, tail = serialize_entity_key_prefix([entity]) + struct.pack("<I", ValueType.STRING), project.encode()
    for value in values:
        text = value.encode()
        yield b"".join((head, struct.pack("<I", len(text)), text, tail))


def _stamps(rows: pl.DataFrame) -> list[bytes]:
    digits = [(pl.col(clock).dt.epoch("us") + _SHIFT_US).cast(pl.String) for clock in CLOCKS]
    return rows.select(pl.concat_str(digits).cast(pl.Binary)).to_series().to_list()


def _times(moments: pl.Series) -> Iterator[bytes]:
    each = {us: _timestamp(us) for us in moments.dt.epoch("us").unique()}
    return (each[us] for us in moments.dt.epoch("us"))


def _timestamp(us: int) -> bytes:
    stamp = Timestamp()
    stamp.FromDatetime(_EPOCH + timedelta(microseconds=us))
    return bytes(stamp.SerializeToString())


def _values(values: pl.Series) -> list[bytes]:
    """Protobufs of Feast's `Value`; a missing one is empty."""
    if values.dtype == pl.String:
        each = {text: Value(string_val=text).SerializeToString() for text in values.drop_nulls().unique()}
        return [each.get(text, b"") for text in values]
    raw = np.empty((len(values), 5), np.uint8)
    raw[:, 0] = _FLOAT_TAG
    raw[:, 1:] = values.fill_null(0).to_numpy().astype("<f4").view(np.uint8).reshape(-1, 4)
    packed = raw.view("V5").ravel().tolist()
    for at in values.is_null().arg_true():
        packed[at] = b""
    return packed
