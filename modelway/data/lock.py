"""Who may write to a local store and who may clear it out: many writers, or one collection alone.

A remote store has no such lock. There its age protects a file, and who shares another snapshot's files looks
whether that one is still there (`writer.py`).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from modelway.data.storage import Folder, storage_errors
from modelway.errors import TransitionError


@contextmanager
def committing(folder: Folder) -> Iterator[None]:
    """Rows are being committed, or a bundle is being made of some: no collection may begin.

    Waits for one that is under way.

    Raises:
        StorageError: The store is read-only.
    """
    with _lock(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def collecting(folder: Folder) -> Iterator[None]:
    """A collection is under way: commits wait.

    Raises:
        TransitionError: Rows are being committed, a bundle is being made of some, or another one collects.
        StorageError: The store is read-only.
    """
    try:
        with _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield
    except BlockingIOError as error:
        raise TransitionError(
            f"{folder.root} is in use: rows are being committed, a bundle is made, or one collects already",
            expected="a collection while nobody else works on the store",
            remedy="try again when the ingest, the training or the other collection has ended",
        ) from error


@contextmanager
def _lock(folder: Folder, kind: int) -> Iterator[None]:
    if not folder.is_local:
        yield
        return
    place = Path(folder.path(".lock"))
    is_new = not place.parent.exists()
    try:
        with _locked(place, kind):
            yield
    finally:
        if is_new:
            _forget_if_empty(place)


def _locked(place: Path, kind: int) -> IO[str]:
    """The lock file, open and locked; one that was taken away meanwhile would protect nothing."""
    while True:
        with storage_errors(str(place)):
            place.parent.mkdir(parents=True, exist_ok=True)
            file = place.open("a")
        try:
            fcntl.flock(file, kind)
            if place.exists() and os.path.samestat(place.stat(), os.fstat(file.fileno())):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _forget_if_empty(place: Path) -> None:
    """A store that was made for a commit that never came is taken away again, unless somebody is in it."""
    if not place.exists():
        return
    with suppress(OSError), _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
        if [path.name for path in place.parent.iterdir()] == [place.name]:
            place.unlink()
            place.parent.rmdir()
