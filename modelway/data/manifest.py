"""What a snapshot is, and how its id follows from that."""

import json
from collections.abc import Mapping

from modelway.contract import DataContract, Frozen, Verdict


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
    promised: DataContract | None = None
    """The contract that the rows were held against; None in snapshots of before it was kept."""

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
