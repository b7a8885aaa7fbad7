"""Read tables people have, in chunks: CSV or Parquet here or in an object store, a database, a Delta table.

| address                                    | read by                                        |
|--------------------------------------------|------------------------------------------------|
| `loans.csv`, `loans.csv.zst`, a folder     | polars                                         |
| `s3://bucket/loans.parquet`, `gs://…`, …   | fsspec, fetched whole to a temporary file      |
| `sqlite:///loans.db#loans`, `postgresql://…#SELECT …` | SQLAlchemy, a table or a query, streamed |
| `delta:///lake/loans?version=3`            | deltalake, one version                         |

`${NAME}` in an address is taken from the environment: a password never stands in a file or a manifest.
"""

import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Protocol

import polars as pl

from modelway.contract import Frozen
from modelway.errors import ContractError, SourceError

CHUNK_ROWS = 250_000
SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".parquet")


class Dialect(Frozen):
    """How a CSV file is written."""

    separator: str = ","
    encoding: str = "utf-8"


PLAIN = Dialect()


class Connector(Protocol):
    """One kind of place where tables lie."""

    def __call__(self, address: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the table in chunks of at most `CHUNK_ROWS` rows; no columns means all.

        Raises:
            SourceError: Missing or unreadable.
            ContractError: A column is missing.
        """


def read_table(
    source: str, columns: Sequence[str] = (), *, dialect: Dialect = PLAIN
) -> Iterator[pl.DataFrame]:
    """Yield the source in chunks; CSV cells stay the text they are.

    Args:
        source: An address as the module's table says: a file ending in one of `SUFFIXES`, a folder of such
            files (read in name order), a URL, a database, a Delta table.
        columns: Columns to read, in this order; none means all of the first file's.
        dialect: How CSV files of this machine are written; from elsewhere they come plain.

    Yields:
        Frames of at most `CHUNK_ROWS` rows, at least one row in all.

    Raises:
        SourceError: Missing, empty or unreadable.
        ContractError: A column is missing.
    """
    rows = 0
    read = connector_for(source)
    chunks = (
        read_files(expanded(source), columns, dialect)
        if read is read_files
        else read(expanded(source), columns)
    )
    for chunk in chunks:
        rows += chunk.height
        if chunk.height:
            yield chunk
    if not rows:
        raise SourceError(
            f"{source} has no rows", expected="a header and at least one row", remedy="name another source"
        )


def connector_for(source: str) -> Connector:
    """What reads an address, told by its scheme."""
    scheme = source.partition("://")[0] if "://" in source else "file"
    if scheme in {"file", ""}:
        return read_files
    if scheme == "delta":
        from modelway.data.delta import read_delta  # noqa: PLC0415 - few sources are Delta tables

        return read_delta
    if "#" in source:
        from modelway.data.database import read_database  # noqa: PLC0415 - SQLAlchemy, 200 ms

        return read_database
    from modelway.data.remote import read_remote  # noqa: PLC0415 - fsspec's back ends, up to a second

    return read_remote


def expanded(source: str) -> str:
    """The address with `${NAME}` taken from the environment.

    Raises:
        SourceError: The environment has no such name.
    """
    try:
        return Template(source).substitute(os.environ) if "${" in source else source
    except (KeyError, ValueError) as error:
        raise SourceError(
            f"{source} names {error}, which the environment does not have",
            expected="every ${NAME} of the address in the environment",
            remedy=f"export {str(error).strip(chr(39))}=…",
        ) from error


def read_files(address: str, columns: Sequence[str], dialect: Dialect = PLAIN) -> Iterator[pl.DataFrame]:
    """A file or folder of this machine; see `Connector`."""
    for path in table_files(address.removeprefix("file://")):
        yield from read_file(path, columns, dialect)


def table_files(source: str) -> list[Path]:
    """The files a source consists of, in name order.

    Raises:
        SourceError: There is no such file or folder, or nothing readable in it.
    """
    path = Path(source)
    if not path.exists():
        raise SourceError(
            f"no file or folder {source}",
            expected=f"a path to {', '.join(SUFFIXES)} or a folder of them",
            remedy="check the path; `modelway data fetch credit` gets the full default data",
        )
    found = sorted(p for p in path.iterdir() if _readable(p)) if path.is_dir() else [path]
    if not found or not all(_readable(p) for p in found):
        raise SourceError(f"{source} is no table", expected=f"files ending in {', '.join(SUFFIXES)}")
    return found


def _readable(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)


def read_file(path: Path, columns: Sequence[str], dialect: Dialect = PLAIN) -> Iterator[pl.DataFrame]:
    """One CSV or Parquet file in chunks; see `Connector`."""
    try:
        table = _scan(path, dialect)
        present = table.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError, ValueError) as cause:
        raise _unreadable(path, cause) from cause
    require_columns(path.name, columns, present)
    try:
        wanted = table.select(columns or present)
        yield from wanted.collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True)
    except (pl.exceptions.PolarsError, OSError) as cause:
        raise _unreadable(path, cause) from cause


def require_columns(name: str, columns: Sequence[str], present: Sequence[str]) -> None:
    """Refuse a table without the columns asked for.

    Raises:
        ContractError: Naming those that are missing.
    """
    missing = [column for column in columns if column not in present]
    if missing:
        raise ContractError(
            f"{name} lacks the columns {', '.join(missing)}; it has {', '.join(present)}",
            expected=f"columns {', '.join(columns)}",
            remedy="name the right source, or change the use case's contract",
        )


def _scan(path: Path, dialect: Dialect) -> pl.LazyFrame:
    if path.suffix == ".parquet":
        return pl.scan_parquet(path)
    # polars reads UTF-8 alone; anything else is turned into it first, whole
    utf8 = path if dialect.encoding == "utf-8" else BytesIO(path.read_text(dialect.encoding).encode())
    return pl.scan_csv(utf8, infer_schema=False, separator=dialect.separator)


def _unreadable(path: Path, cause: Exception) -> SourceError:
    return SourceError(
        f"{path} cannot be read: {str(cause).splitlines()[0]}",
        expected="UTF-8 CSV with one header line, or Parquet",
        remedy="repair or replace the file; `modelway usecase new` finds out other encodings and separators",
    )
