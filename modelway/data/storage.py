"""One folder of immutable files behind an fsspec URL or a local path.

A file appears whole or not at all, and never changes: it is written beside its place and renamed.
All foreign storage errors are mapped here.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from modelway.errors import NotFoundError, StorageError

_REMEDIES = {
    errno.ENOSPC: "free disk space, or choose another artifact store",
    errno.EDQUOT: "raise the quota, or choose another artifact store",
    errno.EROFS: "mount the store writable, or choose another artifact store",
    errno.EACCES: "give this user write permission, or choose another artifact store",
    errno.EFBIG: "raise the file size limit (ulimit -f)",
}


def sha256_of(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


@contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Map what a file system can say to `StorageError`."""
    try:
        yield
    except OSError as cause:
        raise StorageError(
            f"{place}: {cause.strerror or cause}",
            expected="a reachable, writable store with free space",
            remedy=_REMEDIES.get(cause.errno or 0, "check the store's path and credentials"),
        ) from cause


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
        """Whether the file is there, whole."""
        place = self.path(name)
        with storage_errors(place):
            return Path(place).is_file() if self.is_local else bool(self._remote().isfile(place))

    def names(self, prefix: str) -> list[str]:
        """Names of the files right below `prefix`, oldest first, then by name; none is no error."""
        with storage_errors(self.path(prefix)):
            return self._local_names(prefix) if self.is_local else self._remote_names(prefix)

    def write(self, name: str, content: bytes) -> None:
        """Put a file there unless one of that name is: names are content addresses.

        Raises:
            StorageError: Disk full, read-only, unreachable. Nothing is left behind.
        """
        if self.exists(name):
            return
        place = self.path(name)
        with storage_errors(place):
            if self.is_local:
                _write_atomically(Path(place), content)
            else:
                self._remote().pipe_file(place, content)  # object stores show an object whole or not at all

    def _remote(self) -> Any:
        import fsspec  # noqa: PLC0415 - a local store does without

        return fsspec.core.url_to_fs(self.root)[0]

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
    """Write beside, sync, rename. A reader sees the whole file or none, even after a power cut."""
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
