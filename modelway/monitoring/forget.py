"""Takes one subject out of prediction logs."""

import os
from functools import reduce
from pathlib import Path
from typing import Any

from modelway.bundle.masking import hashed
from modelway.contract import Frozen
from modelway.errors import EmptyWindowError, SourceError, StorageError
from modelway.monitoring.predictions import ENTITY, KEY


class Forgotten(Frozen):
    """What was taken out."""

    rows: int
    files: int
    """Files that held such rows: rewritten, or removed when nothing else was in them."""


def forget(folder: Path, subject: str, *, salt: str | None = None) -> Forgotten:
    """Remove every row about one subject from the closed files of a prediction log.

    Each file is replaced as a whole, so that a reader sees the old one or the new one. A server holds
    rows back for some seconds before it closes a file: what it has not written yet is not found.

    Args:
        folder: Of the log; folders below it are not looked at.
        subject: The key as clients send it, or another id by which they name rows of the online store.
        salt: Of a log that hashes its key: rows under the subject's hash go too.

    Raises:
        EmptyWindowError: There is no log.
        SourceError: A file is no prediction log.
        StorageError: A file cannot be rewritten; those before it are.
    """
    names = [subject] if salt is None else [subject, hashed(subject, salt)]
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    if not files:
        raise EmptyWindowError(
            f"no prediction log in {folder}",
            expected="Parquet files written by serving.runtime --log-dir",
            remedy="name the folder of the log",
        )
    removed = [_without(path, names) for path in files]
    return Forgotten(rows=sum(removed), files=sum(rows > 0 for rows in removed))


def _without(path: Path, names: list[str]) -> int:
    """Rewrite one file without the rows of these subjects; how many there were."""
    import pyarrow as pa  # noqa: PLC0415 - --help does without
    import pyarrow.compute as pc  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        table = pq.read_table(path)
        ids = [ENTITY, *(name for name in table.column_names if name.startswith(KEY))]
        found = [
            pc.fill_null(pc.is_in(table[name], value_set=pa.array(names)), fill_value=False) for name in ids
        ]
        theirs = reduce(pc.or_, found)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise SourceError(
            f"{path} is no readable prediction log: {error}",
            expected=f"Parquet with a column {ENTITY}",
            remedy="move the file away, and look into it: it may hold rows about the subject",
        ) from error
    rows = int(pc.sum(theirs).as_py() or 0)
    if rows:
        _replace(path, table.filter(pc.invert(theirs)))
    return rows


def _replace(path: Path, kept: Any) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    beside = path.with_suffix(".forgetting")
    try:
        if not kept.num_rows:
            path.unlink()
            return
        pq.write_table(kept, beside, compression="zstd")
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be rewritten: {error.strerror or error}",
            expected="a writable folder with room for one more file",
            remedy="free some space and run it again",
        ) from error
    finally:
        beside.unlink(missing_ok=True)
