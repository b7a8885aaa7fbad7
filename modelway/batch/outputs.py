"""The folder of outputs: each file appears whole under a name that its content decides, and once."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modelway.batch.sources import NAME_DIGITS
from modelway.errors import ConfigError, StorageError

_LOCK = ".modelway-batch.lock"


def output_name(source_name: str, source_sha256: str, model_digest: str) -> str:
    """Name of the output of one input under one model: same content and model, same name."""
    stem = source_name.removesuffix(".parquet")
    return f"{stem}-{source_sha256[:NAME_DIGITS]}-{model_digest[:NAME_DIGITS]}.parquet"


def require_apart(source: Path, target: Path) -> None:
    """Refuse outputs among the inputs: the next run would score scores.

    Raises:
        ConfigError: One folder is the other, or lies in it.
    """
    a, b = source.resolve(), target.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise ConfigError(
            f"{target} and {source} are one folder, or one lies in the other",
            expected="a target folder apart from the source",
            remedy="name another --target",
        )


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the target folder, made when missing. The lock goes with the process, however it ends.

    Raises:
        StorageError: The folder cannot be written, or another run holds it.
    """
    with storage_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        lock = (target / _LOCK).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(
                f"another run is scoring into {target}",
                expected="one run per target folder",
                remedy="wait for it, or name another --target",
            ) from error
        _sweep(target)
        yield


def _sweep(target: Path) -> None:
    """Remove what a killed run left half-written; under the lock nobody else is writing."""
    for left in target.rglob(".*.parquet.tmp"):
        left.unlink(missing_ok=True)


def is_done(path: Path, rows: int, sha256: str | None) -> bool:
    """Whether the output is there with all its rows, and as an earlier manifest knew it, if one did."""
    try:
        whole = int(pq.read_metadata(path).num_rows) == rows
    except (pa.ArrowException, OSError):
        return False
    return whole and sha256 in {None, sha256_of(path)}


def listed_hashes(manifest: Path) -> dict[str, str]:
    """Hash of each output that an earlier run listed; nothing when none came to its end."""
    try:
        files = json.loads(manifest.read_text())["files"]
        return {str(entry["output"]): str(entry["output_sha256"]) for entry in files}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_whole(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write beside, sync, rename: a reader sees all rows or no file.

    Raises:
        StorageError: The disk is full or cannot be written; nothing is left behind.
    """
    with (
        storage_errors(path),
        _beside(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write the list of outputs, last of all: whoever finds it finds them.

    Raises:
        StorageError: The disk is full or cannot be written; an older manifest stays.
    """
    with storage_errors(path), _beside(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def sha256_of(path: Path) -> str:
    """Hash of an output's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary name that becomes `path` if all goes well, and vanishes if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync(path: Path) -> None:
    """Survive a power cut, too: a rename is only as durable as its folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def storage_errors(place: Path) -> Iterator[None]:
    """Map what the disk can say to `StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{place}: {error.strerror or error}",
            expected="a writable folder with free space",
            remedy="free disk space or name another --target, then run again: what is done stays done",
        ) from error
