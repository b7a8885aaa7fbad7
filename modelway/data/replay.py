"""Look at quarantined rows by reason, and try them again once a rule or `clean` was mended."""

from collections.abc import Iterator

import polars as pl

from modelway.contract import DataContract, Frozen
from modelway.data.growth import Growth
from modelway.data.increments import LATEST, finish, grow
from modelway.data.ingest import named
from modelway.data.lock import committing
from modelway.data.snapshot import FolderSnapshotStore, Snapshot
from modelway.usecase import UseCase

_REASONS = ("_reason", "_reasons")


class Group(Frozen):
    """Rows that were set aside for one reason first."""

    reason: str
    message: str
    """The rule in words; empty for a check of a column or key, which its name says."""
    rows: int
    examples: tuple[str, ...]
    """Keys of the first few."""


def quarantine_groups(
    store: FolderSnapshotStore, snapshot: Snapshot, *, examples: int = 3
) -> tuple[Group, ...]:
    """The snapshot's quarantined rows by reason, the largest group first.

    Raises:
        SnapshotCorruptError: A chunk is altered or gone.
    """
    rows = store.quarantine(snapshot.id)
    if rows.is_empty():
        return ()
    grouped = rows.group_by("_reason").agg(
        pl.len().alias("rows"), pl.col(snapshot.key).cast(pl.String).fill_null("(no key)").head(examples)
    )
    messages = _messages(snapshot.promised)
    return tuple(
        Group(reason=reason, message=messages.get(reason, ""), rows=count, examples=tuple(keys))
        for reason, count, keys in grouped.sort(["rows", "_reason"], descending=[True, False]).rows()
    )


def replay(
    use_case: UseCase,
    store: FolderSnapshotStore,
    *,
    onto: str = LATEST,
    source: str | None = None,
    trust_parent: bool = False,
) -> Snapshot:
    """Try a snapshot's quarantined rows again, and commit those that now pass as its child.

    Rows under a key that the snapshot keeps stay where they are, so do rows without a key.

    Args:
        use_case: As it is now, with what was mended.
        store: Where the snapshot is and the child goes.
        onto: Id of the snapshot, or `latest`.
        source: None takes the rows as they were stored: cleaned then, with repairs done. A source is read
            and cleaned anew, and only rows of quarantined keys are taken of it: for a mended `clean`.
        trust_parent: See `increments.ingest_onto`.

    Returns:
        The child; the snapshot itself where nothing changes.

    Raises:
        NotFoundError, InputError, SourceError, ContractError, ConflictError, StorageError: As
            `increments.ingest_onto` does.
    """
    with committing(store.folder):
        where = f"quarantine of {onto}" if source is None else named(use_case, source)
        growth, parent = grow(use_case, store, onto, source=where, trust_parent=trust_parent)
        rows = store.quarantine(parent.id)
        if rows.is_empty():
            return parent
        stored = iter([rows.drop(_REASONS)])
        cleaned = stored if source is None else map(use_case.clean, use_case.load(source))
        for batch in _wanted(cleaned, growth, rows[parent.key], parent.key):
            growth.take(batch)
        return finish(use_case, store, growth, parent, moving=onto == LATEST)


def _wanted(
    cleaned: Iterator[pl.DataFrame], growth: Growth, quarantined: pl.Series, key: str
) -> Iterator[pl.DataFrame]:
    waiting = quarantined.drop_nulls().unique()
    waiting = waiting.filter(~growth.stored.has(waiting))
    for rows in cleaned:
        yield rows.filter(pl.col(key).is_in(waiting.implode()).fill_null(value=False))


def _messages(promised: DataContract | None) -> dict[str, str]:
    rules = promised.rules if promised else ()
    return {**{rule.name: rule.message for rule in rules}, "duplicate_key": "the key was met before"}
