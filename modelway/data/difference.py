"""What changed between two snapshots, by key."""

from collections.abc import Mapping

import polars as pl

from modelway.contract import Frozen
from modelway.data.manifest import Snapshot


class Difference(Frozen):
    """From snapshot `old` to snapshot `new`."""

    old: str
    new: str
    rows_old: int
    rows_new: int
    added: int
    """Rows whose key only `new` has."""
    removed: int
    """Rows whose key only `old` has."""
    changed: int
    """Rows in both with at least one other value."""
    changed_by_column: Mapping[str, int]
    """Column -> rows whose value differs; only columns that both have."""
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_retyped: tuple[str, ...]
    shared_files: int
    """Chunks that both consist of: stored once, equal without being read."""


def difference(old: Snapshot, new: Snapshot, old_rows: pl.LazyFrame, new_rows: pl.LazyFrame) -> Difference:
    """Compare two snapshots' rows by their key; null equals null."""
    shared = [name for name in old.columns if name in new.columns and name != old.key]
    comparable = [name for name in shared if old.columns[name] == new.columns[name]]
    both = _matched(old_rows, new_rows, old.key, comparable)
    differs = {name: pl.col(name).ne_missing(pl.col(_other(name))) for name in comparable}
    counts = both.select(
        pl.len().alias("_matched"),
        pl.any_horizontal([*differs.values(), pl.lit(value=False)]).sum().alias("_changed"),
        *(expression.sum().alias(name) for name, expression in differs.items()),
    )
    found = counts.collect().row(0, named=True)
    matched, changed = found.pop("_matched"), found.pop("_changed")
    return Difference(
        old=old.id,
        new=new.id,
        rows_old=old.rows,
        rows_new=new.rows,
        added=new.rows - matched,
        removed=old.rows - matched,
        changed=changed,
        changed_by_column={name: count for name, count in found.items() if count},
        columns_added=tuple(name for name in new.columns if name not in old.columns),
        columns_removed=tuple(name for name in old.columns if name not in new.columns),
        columns_retyped=tuple(name for name in shared if name not in comparable),
        shared_files=len({c.sha256 for c in old.files} & {c.sha256 for c in new.files}),
    )


def _other(name: str) -> str:
    return f"{name}__new"


def _matched(old: pl.LazyFrame, new: pl.LazyFrame, key: str, columns: list[str]) -> pl.LazyFrame:
    """Rows whose key both have. A snapshot's key is unique: ingest sets the second of a kind aside."""
    renamed = new.select(key, *(pl.col(name).alias(_other(name)) for name in columns))
    return old.select(key, *columns).join(renamed, on=key, how="inner")
