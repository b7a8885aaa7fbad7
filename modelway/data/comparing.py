"""Hold incoming rows against a snapshot by key: which are new, which are the same, which correct a row."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from modelway.data.manifest import Snapshot
from modelway.data.snapshot import FolderSnapshotStore

_OLD = "__old"
_CHUNK, _MOMENT = "_chunk", "_moment"


@dataclass(frozen=True, slots=True)
class Compared:
    """What one chunk of rows is to the snapshot."""

    unseen: pl.DataFrame
    """Rows whose key the snapshot does not have."""
    corrected: pl.DataFrame
    """Rows with at least one other value than the snapshot's row of that key."""
    replaced: pl.DataFrame
    """The snapshot's rows of those keys, in the same order."""
    unchanged: pl.Series
    """Keys of rows that the snapshot has as they are."""
    since: datetime | None
    """The first moment at which an as-of read shows a corrected row differently."""


class RowsByKey:
    """A snapshot's keys and clocks in memory; its other columns are read where they are needed."""

    def __init__(self, store: FolderSnapshotStore, snapshot: Snapshot) -> None:
        """Read every chunk's key and clocks, hashes checked.

        Raises:
            SnapshotCorruptError: A chunk is altered or gone.
        """
        self._store, self._snapshot = store, snapshot
        number = pl.lit(0, dtype=pl.UInt32)
        self._clocks = pl.concat(
            store.chunk_rows(chunk).select(
                pl.col(snapshot.key).alias("key"), "event_time", "known_at", (number + n).alias(_CHUNK)
            )
            for n, chunk in enumerate(snapshot.files)
        ).collect()

    @property
    def keys(self) -> pl.Series:
        """The key of every row."""
        return self._clocks["key"]

    @property
    def newest_known(self) -> datetime:
        """When the row that became known last did so."""
        return _time(self._clocks["known_at"].max())

    def has(self, keys: pl.Series) -> pl.Series:
        """Which of the keys the snapshot has."""
        return keys.is_in(self.keys.implode())

    def events_without(self, keys: pl.Series) -> tuple[datetime, datetime] | None:
        """Oldest and newest event of the rows that do not have these keys; None when none is left."""
        left = self._clocks.filter(~pl.col("key").is_in(keys.implode()))["event_time"]
        return (_time(left.min()), _time(left.max())) if left.len() else None

    def chunks_of(self, keys: pl.Series) -> set[int]:
        """Numbers of the chunks that hold one of the keys."""
        return set(self._clocks.filter(pl.col("key").is_in(keys.implode()))[_CHUNK].to_list())

    def compare(self, rows: pl.DataFrame) -> Compared:
        """Sort rows, whose keys differ, into unseen, corrected and unchanged; null equals null."""
        key = self._snapshot.key
        places = self._clocks.select(pl.col("key").alias(key), _CHUNK)
        placed = rows.join(places, on=key, how="left", maintain_order="left")
        unseen = placed.filter(pl.col(_CHUNK).is_null()).drop(_CHUNK)
        met = placed.filter(pl.col(_CHUNK).is_not_null())
        parts = [self._beside(n, part) for (n,), part in met.group_by(_CHUNK, maintain_order=True)]
        if not parts:
            return Compared(unseen, rows.clear(), rows.clear(), rows[key].clear(), None)
        pairs = pl.concat(parts)
        changed = pairs.filter(pl.col(_MOMENT).is_not_null())
        replaced = changed.select(key, *(pl.col(n + _OLD).alias(n) for n in rows.columns if n != key))
        same = pairs.filter(pl.col(_MOMENT).is_null())[key]
        since = changed[_MOMENT].min()
        return Compared(
            unseen,
            changed.select(rows.columns),
            replaced,
            same,
            since if isinstance(since, datetime) else None,
        )

    def _beside(self, number: object, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of one chunk beside the stored ones, and the moment from which they read differently."""
        key = self._snapshot.key
        names = [name for name in self._snapshot.columns if name != key]
        stored = self._store.chunk_rows(self._snapshot.files[int(str(number))])
        old = stored.select(key, *(pl.col(name).alias(name + _OLD) for name in names))
        pairs = rows.drop(_CHUNK).lazy().join(old, on=key, how="left", maintain_order="left")
        moments = [self._moment(name) for name in names]
        changed = pl.any_horizontal(_differs(name) for name in names)
        first = pl.max_horizontal(pl.min_horizontal(moments), _earlier("known_at"))
        return pairs.with_columns(pl.when(changed).then(first).alias(_MOMENT)).collect()

    def _moment(self, name: str) -> pl.Expr:
        """From when on a read shows another value in this column; null for never."""
        clock = self._snapshot.clocks[name]
        return pl.when(_differs(name) | _differs(clock)).then(
            pl.coalesce(_earlier(clock), _earlier("known_at"))
        )


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(name + _OLD))


def _earlier(clock: str) -> pl.Expr:
    return pl.min_horizontal(clock, clock + _OLD)


def _time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"no time: {value!r}")
    return value
