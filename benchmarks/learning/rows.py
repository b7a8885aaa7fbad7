"""The same rows for everybody: what was known on the day of training, and what was lent afterwards."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore, Snapshot
from modelway.features.training_set import build_training_set
from modelway.stats.ranking import FloatArray
from modelway.training.splits import Splits, split_by_time
from modelway.usecase import UseCase

LAST = datetime(2014, 1, 1, tzinfo=UTC)
"""By then every label of the loans is known; test labels are read as of this day, training labels never."""


@dataclass(frozen=True)
class Task:
    """One day of training and the rows to be scored."""

    as_of: datetime
    splits: Splits
    tests: dict[str, pl.DataFrame]
    """By name: rows with `label`, all of them later than any row that was trained on."""


@dataclass(frozen=True)
class Source:
    """A snapshot of the use case's table."""

    use_case: UseCase
    store: FolderSnapshotStore
    snapshot: Snapshot
    folder: str

    @classmethod
    def ingested(cls, use_case: UseCase, source: str, folder: Path) -> "Source":
        """Read and clean the table once."""
        store = FolderSnapshotStore(f"{folder}/snapshots")
        return cls(use_case, store, ingest(use_case, source, store), str(folder))

    def task(self, as_of: datetime, test_months: int) -> Task:
        """Train rows matured by `as_of`; tests: the pipeline's own newest fifth, and what was lent later."""
        known = self.store.scan(self.snapshot.id, as_of=as_of)
        splits = split_by_time(build_training_set(self.use_case, known, as_of=as_of), f"{self.folder}/frames")
        later = build_training_set(
            self.use_case, self.store.scan(self.snapshot.id, as_of=LAST), as_of=LAST, window_months=1_000
        )
        until = pl.lit(as_of).dt.offset_by(f"{test_months}mo")
        after = later.filter(pl.col("event_time").is_between(as_of, until, closed="left"))
        tests = {
            f"lent in the {test_months} months after": after,
            "the pipeline's test rows": splits.test.load(),
        }
        return Task(as_of, splits, tests)


def truth(frame: pl.DataFrame) -> FloatArray:
    """Labels, shape (n,)."""
    return np.asarray(frame["label"].to_numpy(), dtype=np.float64)
