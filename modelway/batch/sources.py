"""The files of one batch: found, checked as a whole, known by their content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modelway.batch.encode import check_schema
from modelway.bundle.signature import Signature
from modelway.errors import SourceError

NAME_DIGITS = 16
"""Hex digits of a hash in an output's name: 64 bits keep a folder's files apart."""
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One input file. Whoever holds one knows that its columns fit the model."""

    path: Path
    name: str
    """Relative to the source folder, with forward slashes."""
    rows: int
    changed_ns: tuple[int, int]
    """Size and time of change when it was checked."""

    def sha256(self) -> str:
        """Hash of the file's bytes."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def require_unchanged(self) -> None:
        """Say so when somebody wrote to the file while it was scored.

        Raises:
            SourceError: Size or time of change differ.
        """
        if _stamp(self.path) != self.changed_ns:
            raise SourceError(
                f"{self.name} was changed while it was being scored",
                expected="input files that nobody writes to",
                remedy="let the writer finish, then run again: what is done is not done twice",
            )


def find_sources(folder: Path, signature: Signature) -> tuple[Source, ...]:
    """Every Parquet file below `folder`, by name; files and folders that start with `.` or `_` are not input.

    Raises:
        SourceError: The folder is missing or holds no Parquet file, or a file is none.
        ContractError: A file's columns do not fit the model.
    """
    if not folder.is_dir():
        raise SourceError(
            f"no folder {folder}",
            expected="a folder of Parquet files",
            remedy="name the folder that holds the rows to score",
        )
    paths = sorted(path for path in folder.rglob("*.parquet") if _is_input(path.relative_to(folder)))
    if not paths:
        raise SourceError(
            f"no Parquet file in {folder}",
            expected="at least one file that ends in .parquet",
            remedy="write the rows to score there first",
        )
    return tuple(_checked(path, path.relative_to(folder).as_posix(), signature) for path in paths)


def _is_input(path: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.parts)


def _checked(path: Path, name: str, signature: Signature) -> Source:
    stamp = _stamp(path)
    try:
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{name} cannot be read as Parquet: {error}",
            expected="a whole Parquet file",
            remedy="write it again, or take it out of the folder; nothing was scored",
        ) from error
    check_schema(schema, signature, name)
    return Source(path=path, name=name, rows=metadata.num_rows, changed_ns=stamp)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
