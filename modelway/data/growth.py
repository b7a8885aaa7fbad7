"""A snapshot in the making: its parent, and the rows that come onto it."""

from datetime import datetime

import polars as pl

from modelway.contract import DataContract, Frozen, Verdict
from modelway.data import writer
from modelway.data.comparing import Compared, RowsByKey
from modelway.data.report import Seen, contract_report
from modelway.data.set_aside import SetAside
from modelway.data.snapshot import FolderSnapshotStore, Snapshot
from modelway.data.validation import Inspection
from modelway.errors import InputError

MOST_SMALL_CHUNKS = 16
"""With more chunks that are not full than this, the next increment writes them together."""


class Increment(Frozen):
    """What one increment did to its parent."""

    parent: str
    parent_watermark: datetime
    """The newest `known_at` the parent and its ancestors had seen."""
    watermark: datetime
    new: int
    """Rows known after the parent's watermark, under a key it does not have."""
    late: int
    """Rows known at or before it, under a key it does not have."""
    corrected: int
    """Rows that replace the parent's row of their key."""
    unchanged: int
    """Rows the parent has as they are."""
    set_aside: int
    """Rows quarantined now."""
    settled: int
    """Rows the parent had quarantined, of which another version came."""
    same_before: datetime | None
    """As-of reads before this moment show what they showed of the parent; None: all of them do."""
    unchecked_rules: tuple[str, ...] = ()
    """Rules that are not the parent's and read columns it did not keep: its rows were taken on trust."""


class Growth:
    """Collects an increment; nothing is a snapshot before `commit`. Rows that are the same are not stored."""

    def __init__(
        self,
        store: FolderSnapshotStore,
        parent: Snapshot,
        contract: DataContract,
        *,
        source: str,
        unchecked_rules: tuple[str, ...] = (),
    ) -> None:
        """Read the parent's keys, clocks and quarantined rows, hashes checked.

        Raises:
            InputError: The parent's report holds no sums to go on from.
            SnapshotCorruptError: A chunk of the parent is altered or gone.
        """
        self._store, self._parent, self._contract = store, parent, contract
        self._unchecked_rules = unchecked_rules
        self._inspection = Inspection(contract, _sums(parent))
        self._stored, self._aside = RowsByKey(store, parent), SetAside(store, parent)
        self._writer = store.writer(parent.use_case, contract, source=source, parents=(parent.id,))
        self._before = _watermark(parent) or self._stored.newest_known
        self._after = self._before
        self._replaced = [self._stored.keys.clear()]
        self._moments: list[datetime] = []
        self._events: list[datetime] = []
        self._new = self._late = self._unchanged = self._set_aside = 0

    @property
    def stored(self) -> RowsByKey:
        """The parent's rows."""
        return self._stored

    def take(self, cleaned: pl.DataFrame) -> None:
        """Sort one chunk's rows and store those that are news.

        Raises:
            ContractError: A column is missing or of another type, or a rule cannot be evaluated.
            StorageError: The store cannot be written.
        """
        looked = self._inspection.look(cleaned)
        compared = self._stored.compare(looked.kept.select(c.name for c in self._contract.columns))
        same = looked.rows["_reason"].is_null() & looked.rows[self._parent.key].is_in(
            compared.unchanged.implode()
        )
        same |= self._aside.meet(looked.rows, unchanged=compared.unchanged)
        kept, aside = self._inspection.count(looked.only(~same))
        self._inspection.seen.forget_kept(compared.replaced)
        self._writer.add(kept)
        self._writer.set_aside(aside)
        self._note(compared, kept, aside)

    def _note(self, compared: Compared, kept: pl.DataFrame, aside: pl.DataFrame) -> None:
        late = compared.unseen.filter(pl.col("known_at") <= self._before).height
        self._late += late
        self._new += compared.unseen.height - late
        self._unchanged += compared.unchanged.len()
        self._set_aside += aside.height
        self._replaced.append(compared.replaced[self._parent.key])
        self._moments += _times(compared.since, compared.unseen["known_at"].min())
        self._events += _times(kept["event_time"].min(), kept["event_time"].max())
        self._after = max([self._after, *_times(kept["known_at"].max())])

    def increment(self) -> Increment:
        """What it does to its parent."""
        return Increment(
            parent=self._parent.id,
            parent_watermark=self._before,
            watermark=self._after,
            new=self._new,
            late=self._late,
            corrected=self._keys.len(),
            unchanged=self._unchanged,
            set_aside=self._set_aside,
            settled=self._aside.settled.height,
            same_before=min(self._moments, default=None),
            unchecked_rules=self._unchecked_rules,
        )

    def report(self, increment: Increment) -> Verdict:
        """The contract report of the whole: the parent's rows and these."""
        seen = self._inspection.seen
        seen.forget_aside(self._aside.settled)
        events = [*self._events, *(self._stored.events_without(self._keys) or ())]
        seen.oldest, seen.newest = min(events, default=None), max(events, default=None)
        report = contract_report(self._contract, seen)
        evidence = {**report.evidence, "increment": increment.model_dump(mode="json")}
        return report.model_copy(update={"evidence": evidence})

    def commit(self, report: Verdict) -> Snapshot:
        """Share the chunks that lose no row, write the rest of the others, then the manifest.

        Raises:
            StorageError: Disk full, read-only, unreachable. No snapshot appears.
        """
        files, key = self._parent.files, self._parent.key
        rewritten = self._stored.chunks_of(self._keys)
        small = {n for n, chunk in enumerate(files) if chunk.rows < writer.CHUNK_ROWS}
        if len(small) > MOST_SMALL_CHUNKS:
            rewritten |= small
        for n in sorted(rewritten):
            rows = self._store.chunk_rows(files[n]).collect()
            self._writer.add(rows.filter(~rows[key].is_in(self._keys.implode())))
        self._writer.set_aside(self._aside.remaining)
        shared = [chunk for n, chunk in enumerate(files) if n not in rewritten]
        self._writer.share(self._parent, shared, self._aside.shared_files)
        return self._writer.commit(report)

    @property
    def _keys(self) -> pl.Series:
        """Keys of the rows that are replaced."""
        return pl.concat(self._replaced)


def is_news(increment: Increment) -> bool:
    """Whether it changes anything."""
    return bool(
        increment.new + increment.late + increment.corrected + increment.set_aside + increment.settled
    )


def _sums(parent: Snapshot) -> Seen:
    try:
        return Seen.of(parent.contract.evidence)
    except KeyError as cause:
        raise InputError(
            f"the report of snapshot {parent.short_id} lacks {cause}",
            expected="a snapshot that was ingested, with the sums of its contract report",
            remedy="ingest the whole source, without --onto",
        ) from cause


def _watermark(parent: Snapshot) -> datetime | None:
    found = parent.contract.evidence.get("increment")
    return datetime.fromisoformat(found["watermark"]) if found else None


def _times(*values: object) -> list[datetime]:
    return [value for value in values if isinstance(value, datetime)]
