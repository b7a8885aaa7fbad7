"""Feast's SQLite online store with the guard it lacks: an older event never replaces a newer one.

Feast loads this class by the name that stands in the generated feature_store.yaml, so the guard holds
for its own `materialize`, `push` and command line too. Imports Feast: never import it at start-up.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Literal, TypeAlias

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

from modelway.errors import ContractError

Write: TypeAlias = tuple[Any, dict[str, Any], datetime, datetime | None]
"""Entity key, values by feature, event time, known-at time: as Feast hands them over."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEWEST = """CREATE TABLE IF NOT EXISTS modelway_newest (
    view TEXT, entity_key BLOB, event_us INTEGER, known_us INTEGER, PRIMARY KEY (view, entity_key))"""
_ROWS = """CREATE TABLE IF NOT EXISTS modelway_rows (
    view TEXT, entity TEXT, event_us INTEGER, row TEXT, PRIMARY KEY (view, entity)) WITHOUT ROWID"""
"""What a server reads: one row an entity, its features as a JSON object. Feast keeps one row a feature, as
protobuf, under a binary key: two to six times as long to read (benchmarks/online_reads.py)."""
_SET_ROW = "INSERT OR REPLACE INTO modelway_rows VALUES (?, ?, ?, ?)"
_STAMP_OF = "SELECT event_us, known_us FROM modelway_newest WHERE view = ? AND entity_key = ?"
_SET_STAMP = "INSERT OR REPLACE INTO modelway_newest VALUES (?, ?, ?, ?)"


class NewestWinsSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):  # type: ignore[misc]  # Feast is untyped
    """`online_store:` section of feature_store.yaml."""

    type: Literal["modelway.features.online.NewestWinsSqliteOnlineStore"] = (
        "modelway.features.online.NewestWinsSqliteOnlineStore"
    )


class NewestWinsSqliteOnlineStore(SqliteOnlineStore):  # type: ignore[misc]  # Feast is untyped
    """SQLite, one event time per entity in microseconds (Feast keeps seconds, one per value)."""

    def online_write_batch(
        self, config: Any, table: Any, data: Sequence[Write], progress: Callable[[int], Any] | None
    ) -> None:
        """Write those rows that are at least as new as what is stored; pass over the others.

        Newer means a later event time, or the same one known later. The transaction starts before the
        look, so that two writers cannot both find their row the newest.
        """
        conn, view = self._get_conn(config), compute_table_id(config.project, table, enable_versioning=False)
        conn.execute("BEGIN IMMEDIATE")
        try:
            fresh = _fresh(conn, view, data, config.entity_key_serialization_version)
            conn.executemany(_SET_ROW, _rows(view, fresh))
            super().online_write_batch(config, table, fresh, None)  # commits
        except BaseException:
            conn.rollback()
            raise
        if progress:
            progress(len(data))

    def online_read(
        self, config: Any, table: Any, entity_keys: list[Any], requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """As Feast reads, with the event time to the microsecond."""
        found = super().online_read(config, table, entity_keys, requested_features)
        conn, view = self._get_conn(config), compute_table_id(config.project, table, enable_versioning=False)
        version = config.entity_key_serialization_version
        keys = (_binary(key, version) for key in entity_keys)
        stamps = (conn.execute(_STAMP_OF, (view, key)).fetchone() for key in keys)
        return [
            (_EPOCH + timedelta(microseconds=stamp[0]) if stamp else at, values)
            for (at, values), stamp in zip(found, stamps, strict=True)
        ]

    def update(self, config: Any, tables_to_delete: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        """Create and drop tables as Feast does; a dropped view's event times go with it."""
        super().update(config, tables_to_delete, *args, **kwargs)
        conn = self._get_conn(config)
        conn.execute("PRAGMA journal_mode = WAL")  # a server goes on reading while a batch is written
        with conn:
            conn.execute(_NEWEST)
            conn.execute(_ROWS)
            for table in tables_to_delete:
                view = compute_table_id(config.project, table, enable_versioning=False)
                conn.execute("DELETE FROM modelway_newest WHERE view = ?", (view,))
                conn.execute("DELETE FROM modelway_rows WHERE view = ?", (view,))

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Forget every value. Feast would delete the file, under a server that reads it."""
        del entities
        self.update(config, tables, [], [], [], partial=False)


def _fresh(conn: sqlite3.Connection, view: str, data: Sequence[Write], version: int) -> list[Write]:
    """The rows to write, their event times noted; within the batch, too, the newest comes last."""
    fresh = []
    for write in sorted(data, key=_stamp):
        key, stamp = _binary(write[0], version), _stamp(write)
        stored = conn.execute(_STAMP_OF, (view, key)).fetchone()
        if stored is None or stamp >= stored:
            conn.execute(_SET_STAMP, (view, key, *stamp))
            fresh.append(write)
    return fresh


def _rows(view: str, writes: Sequence[Write]) -> Iterator[tuple[str, str, int, str]]:
    """Rows of `modelway_rows`. An entity of several keys, or of one that is no text, has none there."""
    for entity_key, values, event_time, _ in writes:
        parts = entity_key.entity_values
        if len(parts) == 1 and parts[0].WhichOneof("val") == "string_val":
            row = {name: _plain(value) for name, value in values.items()}
            yield view, parts[0].string_val, _microseconds(event_time), json.dumps(row)


def _plain(value: Any) -> float | str | bool | None:
    """A number, text or nothing; NaN is nothing, as everywhere in our features."""
    kind = value.WhichOneof("val")
    plain = getattr(value, kind) if kind else None
    if isinstance(plain, float) and not isfinite(plain):
        return None
    if plain is None or isinstance(plain, bool | int | float | str):
        return plain
    raise ContractError(
        f"a feature of kind {kind} was written to the online store",
        expected="numbers, text and yes-or-no values",
        remedy="define it as a `numeric` or `category` feature",
    )


def _binary(entity_key: Any, version: int) -> bytes:
    return bytes(serialize_entity_key(entity_key, entity_key_serialization_version=version))


def _stamp(write: Write) -> tuple[int, int]:
    """Event and known-at time in microseconds; naive times are UTC, an unnamed known-at is the event's."""
    event_us = _microseconds(write[2])
    return event_us, event_us if write[3] is None else _microseconds(write[3])


def _microseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
