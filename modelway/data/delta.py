"""Delta tables as a landing zone: one version is read, and named, so that it can be read again."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl

from modelway.data.reading import CHUNK_ROWS, require_columns
from modelway.errors import ConfigError, SourceError


def read_delta(address: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """One version of a Delta table.

    Args:
        address: `delta:///folder?version=3` or `delta://s3://bucket/table?version=3`; the newest version
            without a number.
        columns: Columns to read; none means all.

    Raises:
        SourceError: No such table or version.
        ContractError: A column is missing.
        ConfigError: The package `deltalake` is not installed, or the version is no number.
    """
    place, version = located(address)
    table = _table(place, version)
    try:
        frame = pl.scan_delta(table)
        present = frame.collect_schema().names()
        require_columns(address, columns, present)
        wanted = frame.select(columns or present)
        yield from wanted.collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(place, version, error) from error


def located(address: str) -> tuple[str, int | None]:
    """Place and version of an address.

    Raises:
        ConfigError: The version is no whole number.
    """
    inner = address.removeprefix("delta://")
    place, _, query = inner.partition("?")
    number = parse_qs(query).get("version", [""])[0]
    if number and not number.isdecimal():
        raise ConfigError(f"{address}: version {number!r}", expected="a whole number", remedy="?version=3")
    return (place if urlsplit(place).scheme else f"/{place.lstrip('/')}"), int(number) if number else None


def newest_version(place: str) -> int:
    """Number of the newest version.

    Raises:
        SourceError: No such table.
        ConfigError: The package `deltalake` is not installed.
    """
    return int(_table(place, None).version())


def _table(place: str, version: int | None) -> Any:
    try:
        import deltalake  # noqa: PLC0415 - only Delta tables need it
    except ImportError as error:
        raise ConfigError(
            f"{place} is a Delta table and the package `deltalake` is not installed",
            expected="the extra `delta`",
            remedy="pip install 'modelway[delta]'",
        ) from error
    try:
        return deltalake.DeltaTable(place, version=version)
    except (deltalake.exceptions.DeltaError, OSError) as error:
        raise _unreadable(place, version, error) from error


def _unreadable(place: str, version: int | None, error: Exception) -> SourceError:
    return SourceError(
        f"{place} cannot be read at version {'newest' if version is None else version}: {error}",
        expected="a Delta table that has that version, with all its files, in a store that answers",
        remedy="look at its history",
    )
