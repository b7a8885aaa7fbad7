"""Files in an object store or on a server, by fsspec: fetched whole, then read like any other."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from modelway.data.reading import SUFFIXES, read_file
from modelway.errors import ConfigError, SourceError


def read_remote(address: str, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """One file, or every readable file right below a folder, in name order.

    A file is fetched to a temporary one first: polars then streams it in chunks whatever its compression, and
    a connection that breaks loses no half-read table.

    Args:
        address: URL of any scheme that fsspec knows: `s3://`, `gs://`, `abfs://`, `https://`, `memory://`.
        columns: Columns to read; none means all.

    Raises:
        SourceError: No such file, no access, a connection that broke, or a scheme nobody here reads.
        ContractError: A column is missing.
        ConfigError: The scheme needs a package that is not installed.
    """
    system, place = _system(address)
    with tempfile.TemporaryDirectory() as folder:
        for name in _names(system, place, address):
            here = Path(folder) / name.rsplit("/", 1)[-1]
            _fetch(system, name, here, address)
            yield from read_file(here, columns)
            here.unlink()


def _system(address: str) -> tuple[Any, str]:
    import fsspec  # noqa: PLC0415 - only remote sources need it

    try:
        system, place = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise ConfigError(
            f"{address} needs a package that is not installed: {error}",
            expected="s3fs for s3://, gcsfs for gs://, adlfs for abfs://",
            remedy="pip install it into this environment",
        ) from error
    except ValueError as error:
        raise SourceError(
            f"nobody here reads {address}: {error}", expected="a scheme that fsspec knows, e.g. s3://"
        ) from error
    return system, str(place)


def _names(system: Any, place: str, address: str) -> list[str]:
    try:
        listed = system.ls(place, detail=False) if system.isdir(place) else [place]
    except Exception as error:  # every back end has errors of its own
        raise _unreachable(address, error) from error
    found = sorted(name for name in listed if name.endswith(SUFFIXES))
    if not found:
        raise SourceError(f"{address} is no table", expected=f"files ending in {', '.join(SUFFIXES)}")
    return found


def _fetch(system: Any, name: str, here: Path, address: str) -> None:
    try:
        system.get_file(name, str(here))
    except FileNotFoundError as error:
        raise SourceError(f"no file {address}", expected="an address that exists") from error
    except Exception as error:  # as above
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> SourceError:
    return SourceError(
        f"{address} cannot be read: {type(error).__name__}: {error}",
        expected="a reachable store and credentials in the environment",
        remedy="try the store's own command line with the same environment",
    )
