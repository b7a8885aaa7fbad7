"""What becomes of a snapshot's quarantined rows when more rows come."""

import polars as pl

from modelway.data.manifest import Chunk, Snapshot
from modelway.data.snapshot import FolderSnapshotStore


class SetAside:
    """A snapshot's quarantined rows: which come again as they were, and which are settled by others.

    A row is settled when another version of its key comes, sound or broken. It stays when it comes again
    itself, or when only the row that is kept under its key comes again.
    """

    def __init__(self, store: FolderSnapshotStore, snapshot: Snapshot) -> None:
        """Read them all: a contract lets few rows be set aside.

        Raises:
            SnapshotCorruptError: A chunk is altered or gone.
        """
        self._files, self._key = snapshot.quarantine_files, snapshot.key
        self._rows = store.quarantine(snapshot.id)
        self._again = pl.repeat(value=False, n=self._rows.height, dtype=pl.Boolean, eager=True)
        self._touched = self._again

    def meet(self, rows: pl.DataFrame, *, unchanged: pl.Series) -> pl.Series:
        """Look at one chunk of incoming rows.

        Args:
            rows: All of them, with `_reason` and `_reasons`.
            unchanged: Keys of sound rows that the snapshot keeps as they are.

        Returns:
            Mask: which of the rows are set aside in the snapshot already, for the same reasons.
        """
        if self._rows.is_empty():
            return pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True)
        same = rows.filter(~_is_kept(rows, self._key, unchanged))
        self._touched |= (
            self._rows[self._key].is_in(same[self._key].drop_nulls().implode()).fill_null(value=False)
        )
        self._again |= _among(self._rows, rows)
        return _among(rows, self._rows)

    @property
    def settled(self) -> pl.DataFrame:
        """Those that are not set aside any more."""
        return self._rows.filter(self._is_settled)

    @property
    def shared_files(self) -> list[Chunk]:
        """Stored chunks none of whose rows is settled."""
        return [chunk for chunk, rows, left in self._by_file() if left.height == rows.height]

    @property
    def remaining(self) -> pl.DataFrame:
        """The other rows of chunks that lose some."""
        left = [left for _, rows, left in self._by_file() if left.height < rows.height]
        return pl.concat([self._rows.clear(), *left])

    @property
    def _is_settled(self) -> pl.Series:
        return self._touched & ~self._again

    def _by_file(self) -> list[tuple[Chunk, pl.DataFrame, pl.DataFrame]]:
        """Each chunk, its rows, and those of them that stay."""
        found, start = [], 0
        for chunk in self._files:
            rows = self._rows.slice(start, chunk.rows)
            found.append((chunk, rows, rows.filter(~self._is_settled.slice(start, chunk.rows))))
            start += chunk.rows
        return found


def _is_kept(rows: pl.DataFrame, key: str, unchanged: pl.Series) -> pl.Series:
    return rows["_reason"].is_null() & rows[key].is_in(unchanged.implode())


def _among(rows: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    """Mask: which rows stand among others with every value the same, null equal to null."""
    if rows.schema != others.schema:
        return pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True)
    found = rows.with_row_index("_n").join(others, on=rows.columns, how="semi", nulls_equal=True)
    return pl.int_range(rows.height, eager=True, dtype=pl.UInt32).is_in(found["_n"].implode())
