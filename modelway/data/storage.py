"""One folder of immutable files behind an fsspec URL or a local path.

A file appears whole or not at all: it is written beside its place and renamed. A content address never
changes its content, so writers need no lock.
All foreign storage errors are mapped here.
"""

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from modelway.errors import ConfigError, ModelwayError, NotFoundError, StorageError

_REMEDIES = {
    errno.ENOSPC: "free disk space, or choose another artifact store",
    errno.EDQUOT: "raise the quota, or choose another artifact store",
    errno.EROFS: "mount the store writable, or choose another artifact store",
    errno.EACCES: "give this user write permission, or choose another artifact store",
    errno.EFBIG: "raise the file size limit (ulimit -f)",
}


ABANDONED_AFTER_S = 3_600
"""No single file takes longer to write: an unfinished one older than this has lost its writer."""


def sha256_of(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


@contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Map what a file system can say to `StorageError`; clients of object stores have errors of their own.

    Raises:
        ConfigError: The place's scheme needs a package that is not installed.
    """
    try:
        yield
    except ModelwayError:
        raise
    except OSError as cause:
        raise _storage_error(place, cause.strerror or str(cause), cause.errno) from cause
    except Exception as cause:
        if "://" not in place:
            raise
        if isinstance(cause, ImportError):
            raise ConfigError(
                f"{place} needs a package that is not installed: {cause}",
                expected="s3fs for s3://, gcsfs for gs://, adlfs for abfs://",
                remedy="pip install it into this environment",
            ) from cause
        raise _storage_error(place, f"{type(cause).__name__}: {cause}") from cause


def _storage_error(place: str, said: str, number: int | None = None) -> StorageError:
    return StorageError(
        f"{place}: {said}",
        expected="a reachable, writable store with free space",
        remedy=_REMEDIES.get(number or 0, "check the store's path and credentials"),
    )


class Folder:
    """Immutable files below one root."""

    def __init__(self, root: str) -> None:
        """Name a root: a path or any fsspec URL (`s3://…`, `gs://…`, `memory://…`). Creates nothing."""
        self.root = root.rstrip("/")
        self.is_local = "://" not in root or root.startswith("file://")
        self._base = self.root.removeprefix("file://") if self.is_local else self.root

    def path(self, name: str) -> str:
        """Address of one file: a path locally, else a URL."""
        return f"{self._base}/{name}"

    def read(self, name: str) -> bytes:
        """The file's bytes.

        Raises:
            NotFoundError: No such file.
            StorageError: The store does not answer.
        """
        place = self.path(name)
        with storage_errors(place):
            try:
                return Path(place).read_bytes() if self.is_local else bytes(self._remote().cat_file(place))
            except FileNotFoundError as cause:
                raise NotFoundError(f"no file {place}") from cause

    def exists(self, name: str) -> bool:
        """Whether there is such a file now.

        Raises:
            StorageError: The store does not answer.
        """
        place = self.path(name)
        with storage_errors(place):
            return Path(place).exists() if self.is_local else bool(self._remote().exists(place))

    def sha256(self, name: str) -> str:
        """Hex digest of the file, read in pieces.

        Raises:
            NotFoundError: No such file.
            StorageError: The store does not answer.
        """
        if not self.is_local:
            return sha256_of(self.read(name))
        place = self.path(name)
        with storage_errors(place):
            try:
                with Path(place).open("rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError as cause:
                raise NotFoundError(f"no file {place}") from cause

    def names(self, prefix: str) -> list[str]:
        """Names of the files right below `prefix`, oldest first, then by name; none is no error."""
        with storage_errors(self.path(prefix)):
            return self._local_names(prefix) if self.is_local else self._remote_names(prefix)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Name below the root -> bytes, of every file right below `prefix`."""
        place = self.path(prefix)
        with storage_errors(place):
            if self.is_local:
                return {f"{prefix}/{n}": Path(f"{place}/{n}").stat().st_size for n in self.names(prefix)}
            entries = self._remote().ls(place, detail=True) if self._remote().isdir(place) else []
        return {f"{prefix}/{entry['name'].rsplit('/', 1)[-1]}": int(entry["size"]) for entry in entries}

    def put(self, folder: str, suffix: str, content: bytes) -> str:
        """Store bytes under their own hash. Bytes that are there already are left; altered ones are healed.

        They count as written now: `remove(younger_than_s=…)` leaves them.

        Args:
            folder: Below the root; empty for the root itself.
            suffix: How the name ends, e.g. `.parquet`.
            content: What to store.

        Returns:
            The sha256, which is the name.

        Raises:
            StorageError: Disk full, read-only, unreachable. Nothing half-written is left.
        """
        digest = sha256_of(content)
        name = f"{folder}/{digest}{suffix}".lstrip("/")
        if self._digest(name) != digest:
            self.write(name, content)
        elif self.is_local:
            self._touch(name)  # in use again: a collection goes by its age
        elif self._age_s(self.path(name)) > ABANDONED_AFTER_S / 2:
            self.write(name, content)  # an object store has no other way to make it young
        return digest

    def write(self, name: str, content: bytes) -> None:
        """Put a whole file there, or nothing.

        Raises:
            StorageError: Disk full, read-only, unreachable. Nothing half-written is left.
        """
        place = self.path(name)
        with storage_errors(place):
            if self.is_local:
                _write_atomically(Path(place), content)
            else:
                self._remote().pipe_file(place, content)  # object stores show an object whole or not at all

    def remove(self, name: str, *, younger_than_s: float = 0.0) -> bool:
        """Remove a file; one that is not there is no error.

        Args:
            name: Which.
            younger_than_s: Leave it when it was written or used again less than so many seconds ago.

        Returns:
            Whether it is gone.

        Raises:
            StorageError: Read-only or unreachable.
        """
        place = self.path(name)
        with storage_errors(place), suppress(FileNotFoundError):
            if self._age_s(place) < younger_than_s:
                return False
            if self.is_local:
                Path(place).unlink()
            else:
                self._remote().rm_file(place)
        return True

    def _age_s(self, place: str) -> float:
        """Seconds since it was written; 0 where the store does not say, which protects it."""
        if self.is_local:
            return time.time() - Path(place).stat().st_mtime
        try:
            return time.time() - float(self._remote().modified(place).timestamp())
        except NotImplementedError:
            return 0.0

    def _touch(self, name: str) -> None:
        with suppress(FileNotFoundError, PermissionError):
            os.utime(self.path(name))

    def sweep(self) -> None:
        """Remove what writers that were killed left beside their files, once it is surely nobody's."""
        if not self.is_local:
            return
        with storage_errors(self.root):
            for beside in Path(self._base).glob("*/.*.tmp"):
                _remove_if_old(beside)

    def _digest(self, name: str) -> str | None:
        try:
            return self.sha256(name)
        except NotFoundError:
            return None

    def _remote(self) -> Any:
        import fsspec  # noqa: PLC0415 - a local store does without

        files = fsspec.core.url_to_fs(self.root)[0]
        files.invalidate_cache()  # others write there as well: what was listed before says nothing now
        return files

    def _local_names(self, prefix: str) -> list[str]:
        folder = Path(self.path(prefix))
        found = [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.is_dir() else []
        return [p.name for p in sorted(found, key=lambda p: (p.stat().st_mtime_ns, p.name))]

    def _remote_names(self, prefix: str) -> list[str]:
        files, place = self._remote(), self.path(prefix)
        if not files.isdir(place):
            return []
        entries = files.ls(place, detail=True)
        dated = [(str(e.get("created") or e.get("LastModified") or ""), e["name"]) for e in entries]
        return [name.rsplit("/", 1)[-1] for _, name in sorted(dated)]


def _write_atomically(place: Path, content: bytes) -> None:
    """Write beside, sync, rename, sync the folder: a reader sees the whole file or none, come what may."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.{uuid4().hex[:8]}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_if_old(beside: Path) -> None:
    with suppress(FileNotFoundError):  # its writer, or another sweep, was faster
        if time.time() - beside.stat().st_mtime > ABANDONED_AFTER_S:
            beside.unlink()
