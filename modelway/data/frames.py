"""One table as one content-addressed Parquet file: how frames travel between steps."""

import io

import polars as pl

from modelway.contract import Frozen
from modelway.data.storage import Folder, sha256_of
from modelway.errors import NotFoundError, SnapshotCorruptError


class FrameRef(Frozen):
    """Where a frame lies and what its bytes hash to."""

    uri: str
    sha256: str
    rows: int
    columns: tuple[str, ...]

    def load(self) -> pl.DataFrame:
        """The frame, its bytes checked first.

        Raises:
            SnapshotCorruptError: The bytes are not those that were written, or gone.
            StorageError: The store does not answer.
        """
        folder, _, name = self.uri.rpartition("/")
        return decode(_stored(folder, name, self.uri), self.sha256, self.uri)


def write_frame(frame: pl.DataFrame, folder: str) -> FrameRef:
    """Write `<folder>/<sha256>.parquet`, whole or not at all; the same frame again is no new file.

    Args:
        frame: Any frame.
        folder: A path or fsspec URL.

    Raises:
        StorageError: Disk full, read-only, unreachable.
    """
    store = Folder(folder)
    digest = store.put("", ".parquet", encode(frame))
    uri = store.path(f"{digest}.parquet")
    return FrameRef(uri=uri, sha256=digest, rows=frame.height, columns=tuple(frame.columns))


def encode(frame: pl.DataFrame) -> bytes:
    """Parquet bytes, the same for the same frame."""
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer, compression="zstd", statistics=True)
    return buffer.getvalue()


def decode(content: bytes, sha256: str, place: str) -> pl.DataFrame:
    """The frame in `content`, which must hash to `sha256`.

    Raises:
        SnapshotCorruptError: It does not.
    """
    check(sha256_of(content), sha256, place)
    return pl.read_parquet(io.BytesIO(content))


def check(found: str, expected: str, place: str) -> None:
    """Refuse bytes that hash to anything but what was written.

    Raises:
        SnapshotCorruptError: They do.
    """
    if found != expected:
        raise SnapshotCorruptError(
            f"{place} hashes to {found[:12]}…",
            expected=f"{expected[:12]}…",
            remedy="restore it from a backup, or ingest again: the same source gives the same bytes",
        )


def _stored(folder: str, name: str, uri: str) -> bytes:
    try:
        return Folder(folder).read(name)
    except NotFoundError as cause:
        raise SnapshotCorruptError(
            f"{uri} is gone",
            expected="the file that was written there",
            remedy="restore it from a backup, or run the step that wrote it again",
        ) from cause
