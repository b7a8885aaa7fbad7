"""How rows become a snapshot: chunks as they come, the manifest last."""

import json
from collections.abc import Mapping, Sequence

import polars as pl

from modelway.contract import DataContract, Verdict
from modelway.data.frames import encode
from modelway.data.manifest import Chunk, Manifest, Snapshot
from modelway.data.storage import Folder, sha256_of
from modelway.errors import ConflictError, InputError

CHUNK_ROWS = 250_000
"""Rows a chunk holds; appended rows leave the earlier chunks, and their files, as they are."""


class SnapshotWriter:
    """Collects rows into chunks of `CHUNK_ROWS`; nothing is a snapshot before `commit`."""

    def __init__(
        self, folder: Folder, use_case: str, contract: DataContract, *, source: str, parents: tuple[str, ...]
    ) -> None:
        """Remember what the manifest will say, and clear away what killed writers left."""
        folder.sweep()
        self._folder = folder
        self._use_case, self._contract = use_case, contract
        self._source, self._parents = source, parents
        self._shared: Snapshot | None = None
        self._rows = _Chunks(folder)
        self._aside = _Chunks(folder)

    def share(self, snapshot: Snapshot, files: Sequence[Chunk], quarantine_files: Sequence[Chunk]) -> None:
        """Begin with chunks of another snapshot, as they are stored."""
        self._shared = snapshot
        self._rows.share(files, snapshot.columns)
        self._aside.share(quarantine_files, {})

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
            ConflictError: The snapshot whose chunks are shared was collected meanwhile. No snapshot appears.
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
            promised=self._contract,
        )
        content = manifest.to_bytes()
        snapshot_id = sha256_of(content)
        self._folder.write(f"manifests/{snapshot_id}.json", content)
        self._require_shared(snapshot_id)
        return Snapshot(id=snapshot_id, **json.loads(content))

    def _require_shared(self, snapshot_id: str) -> None:
        """A collection takes manifests first: where one is, its chunks are, and ours keeps them now."""
        if self._shared is None or self._folder.exists(f"manifests/{self._shared.id}.json"):
            return
        self._folder.remove(f"manifests/{snapshot_id}.json")
        raise ConflictError(
            f"snapshot {self._shared.short_id} was collected while rows came onto it",
            expected="a parent that stays",
            remedy="ingest again, onto the newest or without --onto",
        )


class _Chunks:
    """Rows of any batch size, stored in chunks of one size: the same rows always fall alike."""

    def __init__(self, folder: Folder) -> None:
        """Begin with none, in that folder."""
        self._folder = folder
        self._waiting: list[pl.DataFrame] = []
        self._stored: list[Chunk] = []
        self.columns: Mapping[str, str] = {}

    def share(self, chunks: Sequence[Chunk], columns: Mapping[str, str]) -> None:
        """Take chunks that are stored already, before all others."""
        self._stored[:0] = chunks
        self.columns = columns

    def add(self, frame: pl.DataFrame) -> None:
        """Take rows; whole chunks are written at once, the rest waits."""
        if frame.height:
            self.columns = self.columns or {name: str(kind) for name, kind in frame.schema.items()}
            self._waiting.append(frame)
        while sum(f.height for f in self._waiting) >= CHUNK_ROWS:
            rows = pl.concat(self._waiting)
            self._store(rows.head(CHUNK_ROWS))
            self._waiting = [rows.slice(CHUNK_ROWS)]

    def finish(self) -> tuple[Chunk, ...]:
        """Write what waits; all chunks, in order."""
        rest = [f for f in self._waiting if f.height]
        if rest:
            self._store(pl.concat(rest))
        self._waiting = []
        return tuple(self._stored)

    def _store(self, rows: pl.DataFrame) -> None:
        content = encode(rows)
        digest = self._folder.put("objects", ".parquet", content)
        self._stored.append(Chunk(sha256=digest, rows=rows.height, size_bytes=len(content)))
