"""Reads the online store that `modelway features materialise` fills, in process and without Feast.

The table `modelway_rows` (modelway/features/online.py) has one row an entity: features as a JSON object, and
both clocks. `materialise` writes only what was known by its day. But a stream pushes as it likes, and a
request may be for a moment in the past: a store holds rows that a request must not see yet.
"""

import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from modelway.bundle.online import OnlineView
from modelway.errors import ConfigError
from serving.runtime.columns import Value
from serving.runtime.problems import StoreError

_BUSY_MS = 100
"""How long a read waits for a writer. In WAL mode it never does; a request is not worth more."""
_ONE = "SELECT event_us, known_us, row FROM modelway_rows WHERE view = ? AND entity = ?"
_MANY = """SELECT r.entity, r.event_us, r.known_us, r.row FROM json_each(?) AS asked
    CROSS JOIN modelway_rows AS r ON r.view = ? AND r.entity = asked.value"""


class StoredRow(msgspec.Struct, gc=False):
    """One entity's features in one view."""

    event_us: int
    """When they were true, microseconds since 1970 UTC …"""
    known_us: int
    """… and when they became known, which may be later. A moment before either has not seen them."""
    values: Mapping[str, Value]


_decode = msgspec.json.Decoder(dict[str, float | str | bool | None]).decode
_encode = msgspec.json.encode


class OnlineStore:
    """One SQLite file, read by any number of threads, each on its own connection."""

    def __init__(self, path: Path) -> None:
        """Name the file and read from it once.

        Raises:
            ConfigError: It is no online store of ours.
        """
        self._path = path
        self._local = threading.local()
        try:
            self._connection().execute(_ONE, ("", "")).fetchone()
        except (StoreError, sqlite3.Error) as error:
            raise ConfigError(
                f"{path} cannot be read as an online store: {error}",
                expected="the SQLite file that `modelway features materialise` fills",
                remedy="materialise the use case's features, then correct `online_store` in the settings",
            ) from error

    @property
    def reached(self) -> bool:
        """A file is there or fails its reader at once."""
        return True

    def watch(self) -> None:
        """Nothing: as above."""

    def read(self, view: OnlineView, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """What one view holds of some entities, in one statement; those it does not know are left out.

        Raises:
            StoreError: The file cannot be read, or a row of it is none of ours.
        """
        try:
            connection = self._connection()
            if len(entities) == 1:
                row = connection.execute(_ONE, (view.table, entities[0])).fetchone()
                found = [] if row is None else [(entities[0], *row)]
            else:
                found = connection.execute(_MANY, (_encode(entities).decode(), view.table)).fetchall()
        except sqlite3.Error as error:
            self._forget()
            raise StoreError(f"view {view.name} cannot be read: {error}") from error
        return {entity: _stored(view, event_us, known_us, row) for entity, event_us, known_us, row in found}

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection to the file of that name: one that was replaced is opened again."""
        local, inode = self._local, self._inode()
        if getattr(local, "inode", None) != inode:
            self._forget()
            local.connection, local.inode = _opened(self._path), inode
        connection: sqlite3.Connection = local.connection
        return connection

    def _inode(self) -> int:
        try:
            return os.stat(self._path).st_ino  # noqa: PTH116 - a Path costs twice the time of the call
        except OSError as error:
            raise StoreError(f"the online store cannot be read: {error.strerror}") from error

    def _forget(self) -> None:
        connection = getattr(self._local, "connection", None)
        self._local.inode = self._local.connection = None
        if connection is not None:
            connection.close()


def _opened(path: Path) -> sqlite3.Connection:
    address = f"{path.resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=_BUSY_MS / 1000, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _stored(view: OnlineView, event_us: int, known_us: int, row: str) -> StoredRow:
    try:
        values = _decode(row)
    except msgspec.MsgspecError as error:
        raise StoreError(f"view {view.name} holds a row that is no JSON object: {error}") from error
    return StoredRow(event_us, known_us, values)


def whole(view: OnlineView, row: StoredRow) -> StoredRow:
    """The row, held against the view; asked only of rows that are used: nobody writes the old ones again.

    Raises:
        StoreError: It lacks a feature of the view.
    """
    if not row.values.keys() >= set(view.features):
        absent = sorted(set(view.features) - row.values.keys())
        raise StoreError(
            f"view {view.name} holds rows without {', '.join(absent)}: another definition wrote it"
        )
    return row
