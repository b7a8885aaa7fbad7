"""Read tables people have: CSV (plain, gzip, zstd) or Parquet, one file or a folder, in chunks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from modelway.errors import ContractError, SourceError

CHUNK_ROWS = 250_000
SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".parquet")


def read_table(source: str, columns: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
    """Yield the source in chunks; CSV cells stay the text they are.

    Args:
        source: A file ending in one of `SUFFIXES`, or a folder of such files (read in name order).
        columns: Columns to read, in this order; none means all of the first file's.

    Yields:
        Frames of at most `CHUNK_ROWS` rows, at least one row in all.

    Raises:
        SourceError: Missing, empty or unreadable.
        ContractError: A column is missing.
    """
    rows = 0
    for path in table_files(source):
        for chunk in _read_file(path, columns):
            rows += chunk.height
            if chunk.height:
                yield chunk
    if not rows:
        raise SourceError(
            f"{source} has no rows", expected="a header and at least one row", remedy="name another source"
        )


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


def _read_file(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    try:
        table = _scan(path)
        present = table.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as cause:
        raise _unreadable(path, cause) from cause
    missing = [name for name in columns if name not in present]
    if missing:
        raise ContractError(
            f"{path.name} lacks the columns {', '.join(missing)}; it has {', '.join(present)}",
            expected=f"columns {', '.join(columns)}",
            remedy="name the right file, or change the use case's contract",
        )
    try:
        wanted = table.select(columns or present)
        yield from wanted.collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True)
    except (pl.exceptions.PolarsError, OSError) as cause:
        raise _unreadable(path, cause) from cause


def _scan(path: Path) -> pl.LazyFrame:
    if path.suffix == ".parquet":
        return pl.scan_parquet(path)
    return pl.scan_csv(path, infer_schema=False)


def _unreadable(path: Path, cause: Exception) -> SourceError:
    return SourceError(
        f"{path} cannot be read: {str(cause).splitlines()[0]}",
        expected="UTF-8 CSV with one header line, or Parquet",
        remedy="repair or replace the file",
    )
