"""Write-once snapshots: content-addressed Parquet chunks and one manifest, whose hash is the id.

Below the root: `objects/<sha256>.parquet` (chunks of rows, shared between snapshots that hold the same
chunk) and `manifests/<id>.json`. The manifest is written last, so that a commit that is killed leaves
no snapshot; the chunks it left are whole, and the next commit of the same rows takes them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import polars as pl
from pydantic import ValidationError

from modelway.contract import DataContract, Frozen, Outcome, Reason, Verdict
from modelway.data.frames import decode, encode
from modelway.data.storage import Folder, sha256_of
from modelway.errors import InputError, NotFoundError, SnapshotCorruptError

CHUNK_ROWS = 250_000
"""Rows a chunk holds; appended rows leave the earlier chunks, and their files, as they are."""


class Chunk(Frozen):
    """One stored file."""

    sha256: str
    rows: int
    size_bytes: int

    @property
    def name(self) -> str:
        """Where it lies below the store's root."""
        return f"objects/{self.sha256}.parquet"


class Manifest(Frozen):
    """What a snapshot is. No clock time, host or path: the same content has the same id anywhere."""

    use_case: str
    source: str
    contract_version: str
    key: str
    clocks: Mapping[str, str]
    """Column -> the timestamp column from which on its value is known."""
    columns: Mapping[str, str]
    """Column -> polars type, in order."""
    rows: int
    files: tuple[Chunk, ...]
    quarantined: int
    quarantine_files: tuple[Chunk, ...]
    parents: tuple[str, ...]
    contract: Verdict
    """The contract report."""

    def to_bytes(self) -> bytes:
        """Canonical JSON: what the id is the hash of."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1).encode()


class Snapshot(Manifest):
    """A committed manifest with its id, the sha256 of the manifest's bytes."""

    id: str

    @property
    def short_id(self) -> str:
        """What people type."""
        return self.id[:12]


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
        frames = [self._chunk(chunk).lazy() for chunk in snapshot.files]
        return known_as_of(pl.concat(frames), snapshot.clocks, as_of)

    def quarantine(self, id_or_prefix: str) -> pl.DataFrame:
        """The rows that were set aside; `_reason` is the first rule each broke, `_reasons` all of them."""
        snapshot = self.get(id_or_prefix)
        return pl.concat([self._chunk(chunk) for chunk in snapshot.quarantine_files] or [pl.DataFrame()])

    def verify(self, id_or_prefix: str) -> Verdict:
        """Read every byte again and compare it with the manifest. FAIL names each file that differs."""
        try:
            snapshot = self.get(id_or_prefix)
        except SnapshotCorruptError as error:
            return Verdict.of([_looked("manifest", error)])
        chunks = snapshot.files + snapshot.quarantine_files
        return Verdict.of(
            [_looked("manifest", None), *(_looked(chunk.name, self._fault(chunk)) for chunk in chunks)],
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

    def _chunk(self, chunk: Chunk) -> pl.DataFrame:
        place = self.folder.path(chunk.name)
        try:
            return decode(self.folder.read(chunk.name), chunk.sha256, place)
        except NotFoundError as cause:
            raise SnapshotCorruptError(
                f"{place} is gone",
                expected=f"a chunk of {chunk.rows} rows",
                remedy="restore it from a backup, or ingest again",
            ) from cause

    def _fault(self, chunk: Chunk) -> SnapshotCorruptError | None:
        try:
            self._chunk(chunk)
        except SnapshotCorruptError as error:
            return error
        return None


class SnapshotWriter:
    """Collects rows into chunks of `CHUNK_ROWS`; nothing is a snapshot before `commit`."""

    def __init__(
        self, folder: Folder, use_case: str, contract: DataContract, *, source: str, parents: tuple[str, ...]
    ) -> None:
        """Remember what the manifest will say."""
        self._folder = folder
        self._use_case, self._contract = use_case, contract
        self._source, self._parents = source, parents
        self._rows = _Chunks(folder)
        self._aside = _Chunks(folder)

    def add(self, frame: pl.DataFrame) -> None:
        """Append rows; full chunks are stored at once."""
        self._rows.add(frame)

    def set_aside(self, frame: pl.DataFrame) -> None:
        """Append quarantined rows."""
        self._aside.add(frame)

    def commit(self, report: Verdict) -> Snapshot:
        """Store what is left and then the manifest: from here on the snapshot exists.

        Raises:
            InputError: Not one row was added.
            StorageError: Disk full, read-only, unreachable.
        """
        files, aside = self._rows.finish(), self._aside.finish()
        if not files:
            raise InputError("no row to commit", expected="at least one", remedy="look at the source")
        manifest = Manifest(
            use_case=self._use_case,
            source=self._source,
            contract_version=self._contract.version,
            key=self._contract.key,
            clocks={column.name: column.known_from for column in self._contract.columns},
            columns=self._rows.columns,
            rows=sum(chunk.rows for chunk in files),
            files=files,
            quarantined=sum(chunk.rows for chunk in aside),
            quarantine_files=aside,
            parents=self._parents,
            contract=report,
        )
        content = manifest.to_bytes()
        snapshot_id = sha256_of(content)
        self._folder.write(f"manifests/{snapshot_id}.json", content)
        return Snapshot(id=snapshot_id, **json.loads(content))


class _Chunks:
    """Rows of any batch size, stored in chunks of one size: the same rows always fall alike."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._waiting: list[pl.DataFrame] = []
        self._stored: list[Chunk] = []
        self.columns: Mapping[str, str] = {}

    def add(self, frame: pl.DataFrame) -> None:
        if frame.height:
            self.columns = self.columns or {name: str(kind) for name, kind in frame.schema.items()}
            self._waiting.append(frame)
        while sum(f.height for f in self._waiting) >= CHUNK_ROWS:
            rows = pl.concat(self._waiting)
            self._store(rows.head(CHUNK_ROWS))
            self._waiting = [rows.slice(CHUNK_ROWS)]

    def finish(self) -> tuple[Chunk, ...]:
        rest = [f for f in self._waiting if f.height]
        if rest:
            self._store(pl.concat(rest))
        self._waiting = []
        return tuple(self._stored)

    def _store(self, rows: pl.DataFrame) -> None:
        content = encode(rows)
        chunk = Chunk(sha256=sha256_of(content), rows=rows.height, size_bytes=len(content))
        self._folder.write(chunk.name, content)
        self._stored.append(chunk)


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
    now = pl.lit(as_of.astimezone(UTC)).cast(pl.Datetime("us", "UTC"))
    hidden = [
        pl.when(pl.col(clock) <= now).then(pl.col(name)).alias(name)
        for name, clock in clocks.items()
        if clock != "known_at"
    ]
    return frame.filter(pl.col("known_at") <= now).with_columns(hidden)


def _looked(name: str, fault: Exception | None) -> Reason:
    if fault is None:
        return Reason(metric=name, outcome=Outcome.PASS, message=f"{name} is as it was written")
    return Reason(metric=name, outcome=Outcome.FAIL, message=str(fault).splitlines()[0])
