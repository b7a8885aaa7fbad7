"""Feast's SQLite online store, kept as one row an entity, where an older event never replaces a newer one.

Feast loads this class by the name that stands in the generated feature_store.yaml, so both hold for its own
`materialize`, `push`, `get_online_features` and command line too. Imports Feast: never import it at start-up.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import polars as pl
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.Value_pb2 import Value

from modelway.features.packed import CLOCKS, Write, frame_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS = """CREATE TABLE IF NOT EXISTS modelway_rows (
    view TEXT, entity TEXT, event_us INTEGER, known_us INTEGER, row TEXT, PRIMARY KEY (view, entity)
) WITHOUT ROWID"""
"""One row an entity, its features as a JSON object: what a server reads as well. Feast's own layout is one
row a feature, each with a binary key and a protobuf: 14 times the work to write (docs/adr/0024)."""
_SET_NEWER = """INSERT INTO modelway_rows VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET event_us = excluded.event_us, known_us = excluded.known_us, row = excluded.row
    WHERE (excluded.event_us, excluded.known_us) >= (event_us, known_us)"""
_READ = """SELECT entity, event_us, row FROM modelway_rows
    WHERE view = ? AND entity IN (SELECT value FROM json_each(?))"""
_KNOWN = _READ.replace("event_us, row", "known_us")


class NewestWinsSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):  # type: ignore[misc]  # Feast is untyped
    """`online_store:` section of feature_store.yaml."""

    type: Literal["modelway.features.online.NewestWinsSqliteOnlineStore"] = (
        "modelway.features.online.NewestWinsSqliteOnlineStore"
    )


class NewestWinsSqliteOnlineStore(SqliteOnlineStore):  # type: ignore[misc]  # Feast is untyped
    """SQLite, one row an entity, with times in microseconds (Feast keeps seconds)."""

    def write_rows(self, config: Any, table: Any, rows: pl.DataFrame) -> None:
        """Write those rows that are at least as new as what is stored; pass over the others.

        Newer means a later event time, or the same one known later. All in one transaction.

        Args:
            config: Feast's.
            table: Feast's feature view.
            rows: Its entity, `event_time`, `known_at` and its features.
        """
        with _transaction(self._get_conn(config)) as conn:
            conn.executemany(_SET_NEWER, _packed(_view(config, table), table, rows))

    def online_write_batch(
        self, config: Any, table: Any, data: Sequence[Write], progress: Callable[[int], Any] | None
    ) -> None:
        """What Feast's own `materialize` and `push` call; the same rule, the same rows."""
        self.write_rows(config, table, frame_of(table, data))
        if progress:
            progress(len(data))

    def online_read(
        self, config: Any, table: Any, entity_keys: list[Any], requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """What Feast's `get_online_features` calls: event time and values of each key, None where unknown."""
        asked = [key.entity_values[0].string_val for key in entity_keys]
        found = self._get_conn(config).execute(_READ, (_view(config, table), json.dumps(asked)))
        stored = {entity: (event_us, row) for entity, event_us, row in found}
        return [_as_feast_reads(stored.get(entity), requested_features) for entity in asked]

    def known_times(self, config: Any, table: Any, entities: Sequence[str]) -> dict[str, datetime]:
        """When each stored value became known: the second clock, which Feast's own read does not give."""
        asked = (_view(config, table), json.dumps(list(entities)))
        found = self._get_conn(config).execute(_KNOWN, asked)
        return {entity: _EPOCH + timedelta(microseconds=known_us) for entity, known_us in found}

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        *args: Any,
        **kw: Any,
    ) -> None:
        """Make the table; drop what belongs to views that went."""
        del args, kw
        conn = self._get_conn(config)
        conn.execute("PRAGMA journal_mode = WAL")  # a server goes on reading while a batch is written
        with _transaction(conn):
            _drop_older_layout(conn, [_view(config, table) for table in (*tables_to_delete, *tables_to_keep)])
            conn.execute(_ROWS)
            for table in tables_to_delete:
                conn.execute("DELETE FROM modelway_rows WHERE view = ?", (_view(config, table),))

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Forget every value. Feast would delete the file, under a server that reads it."""
        del entities
        self.update(config, tables, [])


@contextmanager
def _transaction(conn: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield conn
    except BaseException:
        conn.rollback()
        raise
    conn.commit()


def _drop_older_layout(conn: sqlite3.Connection, views: Sequence[str]) -> None:
    """Tables that earlier releases wrote; materialising, which calls this, fills the new one."""
    columns = {row[1] for row in conn.execute("PRAGMA table_info(modelway_rows)")}
    if columns and "known_us" not in columns:
        for name in ("modelway_rows", "modelway_newest", *views):
            conn.execute(f'DROP TABLE IF EXISTS "{name}"')


def _packed(view: str, table: Any, rows: pl.DataFrame) -> Iterator[tuple[str, str, int, int, str]]:
    names = [field.name for field in table.features]
    exact = rows.cast({pl.Float32: pl.Float64})  # written so that reading gives the same 32 bits
    clocks = (pl.col(clock).dt.epoch("us") for clock in CLOCKS)
    packed = exact.select(table.join_keys[0], *clocks, pl.struct(names).struct.json_encode().alias("__row"))
    return ((view, *row) for row in packed.iter_rows())


def _as_feast_reads(
    stored: tuple[int, str] | None, requested: Sequence[str] | None
) -> tuple[datetime | None, dict[str, Any] | None]:
    if stored is None:
        return None, None
    row: Mapping[str, Any] = json.loads(stored[1])
    values = {name: _value(row.get(name)) for name in requested or row}
    return _EPOCH + timedelta(microseconds=stored[0]), values


def _value(plain: float | str | None) -> Any:
    if plain is None:
        return Value()
    return Value(string_val=plain) if isinstance(plain, str) else Value(float_val=plain)


def _view(config: Any, table: Any) -> str:
    return str(compute_table_id(config.project, table, enable_versioning=False))
