"""Write-once snapshots: content-addressed Parquet chunks and one manifest, whose hash is the id.

Below the root: `objects/<sha256>.parquet` (chunks of rows, shared between snapshots that hold the same
chunk) and `manifests/<id>.json`. The manifest is written last, so that a commit that is killed leaves
no snapshot; the chunks it left are whole, and the next commit of the same rows takes them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import polars as pl
from pydantic import ValidationError

from modelway.contract import DataContract, Outcome, Reason, Verdict
from modelway.data.difference import Difference, difference
from modelway.data.frames import check, decode
from modelway.data.lock import committing
from modelway.data.manifest import Chunk, Snapshot
from modelway.data.storage import Folder, sha256_of
from modelway.data.writer import SnapshotWriter
from modelway.errors import InputError, NotFoundError, SnapshotCorruptError

__all__ = ["FolderSnapshotStore", "Snapshot", "known_as_of"]


class FolderSnapshotStore:
    """Snapshots below one folder or fsspec URL. Safe for many writers: names are content."""

    def __init__(self, root: str) -> None:
        """Name the root; nothing is created before the first commit."""
        self.folder = Folder(root)

    def writer(
        self, use_case: str, contract: DataContract, *, source: str, parents: Sequence[str] = ()
    ) -> "SnapshotWriter":
        """Start a snapshot that is filled chunk by chunk."""
        return SnapshotWriter(self.folder, use_case, contract, source=source, parents=tuple(parents))

    def commit(  # noqa: PLR0913 - a manifest has that many parts
        self,
        frames: Iterable[pl.DataFrame],
        *,
        use_case: str,
        contract: DataContract,
        report: Verdict,
        source: str,
        quarantined: Iterable[pl.DataFrame] = (),
        parents: Sequence[str] = (),
    ) -> Snapshot:
        """Store the frames as one snapshot. The same content twice is one snapshot.

        Raises:
            InputError: Not one row.
            StorageError: Disk full, read-only, unreachable; no snapshot appears.
        """
        with committing(self.folder):
            writer = self.writer(use_case, contract, source=source, parents=parents)
            for frame in frames:
                writer.add(frame)
            for frame in quarantined:
                writer.set_aside(frame)
            return writer.commit(report)

    def list(self) -> tuple[Snapshot, ...]:
        """Every snapshot, the oldest first."""
        names = self.folder.names("manifests")
        return tuple(self._read(name.removesuffix(".json")) for name in names)

    def get(self, id_or_prefix: str) -> Snapshot:
        """The snapshot of that id, or of the one id that starts so.

        Raises:
            NotFoundError: None starts so, or more than one.
            SnapshotCorruptError: Its manifest does not hash to its id.
        """
        return self._read(self._complete(id_or_prefix))

    def latest(self, use_case: str) -> Snapshot:
        """The snapshot of a use case that was committed last.

        Raises:
            NotFoundError: There is none.
        """
        found = [snapshot for snapshot in self.list() if snapshot.use_case == use_case]
        if not found:
            raise NotFoundError(
                f"no snapshot of {use_case}",
                expected="at least one",
                remedy=f"`modelway data ingest {use_case}`",
            )
        return found[-1]

    def scan(self, id_or_prefix: str, *, as_of: datetime | None = None) -> pl.LazyFrame:
        """The rows, every chunk's hash checked.

        Args:
            id_or_prefix: Which snapshot.
            as_of: Show only what was known then: later rows are dropped, values whose own clock
                (`Column.known_from`) stands later are null. With a time zone.

        Raises:
            NotFoundError: No such snapshot.
            SnapshotCorruptError: A chunk is altered or gone.
        """
        snapshot = self.get(id_or_prefix)
        frames = [self.chunk_rows(chunk) for chunk in snapshot.files]
        return known_as_of(pl.concat(frames), snapshot.clocks, as_of)

    def diff(self, old: str, new: str) -> Difference:
        """What changed from one snapshot to another, by key.

        Raises:
            NotFoundError: One of them does not exist.
            InputError: They have different keys.
        """
        a, b = self.get(old), self.get(new)
        if a.key != b.key:
            raise InputError(
                f"{a.short_id} is keyed by {a.key}, {b.short_id} by {b.key}",
                expected="two snapshots of one use case",
                remedy="`modelway data list` shows which is which",
            )
        return difference(a, b, self.scan(a.id), self.scan(b.id))

    def quarantine(self, id_or_prefix: str) -> pl.DataFrame:
        """The rows that were set aside; `_reason` is the first rule each broke, `_reasons` all of them."""
        snapshot = self.get(id_or_prefix)
        frames = [self._chunk(chunk) for chunk in snapshot.quarantine_files]
        return pl.concat(frames or [pl.DataFrame()], how="diagonal_relaxed")  # `clean` may give others by now

    def verify(self, id_or_prefix: str) -> Verdict:
        """Read every byte again and compare it with the manifest. FAIL names each file that differs."""
        try:
            snapshot = self.get(id_or_prefix)
        except SnapshotCorruptError as error:
            return Verdict.of([_looked("manifest", error)])
        chunks = snapshot.files + snapshot.quarantine_files
        looked = [_looked(f"chunk {chunk.sha256[:12]}", self._fault(chunk)) for chunk in chunks]
        return Verdict.of(
            [_looked("manifest", None), *looked],
            {"snapshot": snapshot.id, "files": len(chunks), "bytes": sum(c.size_bytes for c in chunks)},
        )

    def _complete(self, prefix: str) -> str:
        known = [name.removesuffix(".json") for name in self.folder.names("manifests")]
        found = [i for i in known if i.startswith(prefix)] if prefix else []
        if len(found) == 1:
            return found[0]
        raise NotFoundError(
            f"{len(found) or 'no'} snapshots start with {prefix!r} in {self.folder.root}",
            expected="the start of exactly one id",
            remedy="`modelway data list` shows them",
        )

    def _read(self, snapshot_id: str) -> Snapshot:
        content = self.folder.read(f"manifests/{snapshot_id}.json")
        found = sha256_of(content)
        if found != snapshot_id:
            raise SnapshotCorruptError(
                f"the manifest of snapshot {snapshot_id[:12]} hashes to {found[:12]}",
                expected="a manifest that hashes to its own id",
                remedy="restore it from a backup, or ingest again: the same source gives the same id",
            )
        try:
            return Snapshot(id=snapshot_id, **json.loads(content))
        except ValidationError as cause:
            raise SnapshotCorruptError(
                f"the manifest of snapshot {snapshot_id[:12]} is of another version: {cause}",
                expected="a manifest written by this version",
                remedy="ingest again",
            ) from cause

    def chunk_rows(self, chunk: Chunk) -> pl.LazyFrame:
        """One chunk: its file is hashed, then only what is asked for is read; a remote one is fetched whole.

        Raises:
            SnapshotCorruptError: It is altered or gone.
        """
        if not self.folder.is_local:
            return self._chunk(chunk).lazy()
        with self._present(chunk):
            check(self.folder.sha256(chunk.name), chunk.sha256, self.folder.path(chunk.name))
        return pl.scan_parquet(self.folder.path(chunk.name))

    def _chunk(self, chunk: Chunk) -> pl.DataFrame:
        with self._present(chunk):
            return decode(self.folder.read(chunk.name), chunk.sha256, self.folder.path(chunk.name))

    @contextmanager
    def _present(self, chunk: Chunk) -> Iterator[None]:
        try:
            yield
        except NotFoundError as cause:
            raise SnapshotCorruptError(
                f"{self.folder.path(chunk.name)} is gone",
                expected=f"a chunk of {chunk.rows} rows",
                remedy="restore it from a backup, or ingest again",
            ) from cause

    def _fault(self, chunk: Chunk) -> SnapshotCorruptError | None:
        try:
            with self._present(chunk):
                check(self.folder.sha256(chunk.name), chunk.sha256, self.folder.path(chunk.name))
        except SnapshotCorruptError as error:
            return error
        return None


def known_as_of(frame: pl.LazyFrame, clocks: Mapping[str, str], as_of: datetime | None) -> pl.LazyFrame:
    """Hide what was not known at `as_of`: later rows, and values whose own clock stands later.

    Args:
        frame: Rows with `known_at` and every clock column.
        clocks: Column -> the timestamp column from which on its value is known.
        as_of: With a time zone; None shows everything.

    Raises:
        InputError: `as_of` has no time zone.
    """
    if as_of is None:
        return frame
    if as_of.tzinfo is None:
        raise InputError(f"as_of {as_of} has no time zone", expected="UTC", remedy="add tzinfo=UTC")
    moment = pl.lit(as_of.astimezone(UTC)).cast(pl.Datetime("us", "UTC"))
    hidden = [
        pl.when(pl.col(clock) <= moment).then(pl.col(name)).alias(name)
        for name, clock in clocks.items()
        if clock != "known_at"
    ]
    return frame.filter(pl.col("known_at") <= moment).with_columns(hidden)


def _looked(name: str, fault: Exception | None) -> Reason:
    if fault is None:
        return Reason(metric=name, outcome=Outcome.PASS, message=f"{name} is as it was written")
    return Reason(metric=name, outcome=Outcome.FAIL, message=str(fault).splitlines()[0])
