"""Who may write to a local store and who may clear it out: many writers, or one collection alone.

A remote store has no such lock. There the age of a file alone protects it.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
    with storage_errors(str(place)):
        place.parent.mkdir(parents=True, exist_ok=True)
        file = place.open("a")
    try:
        with file:
            fcntl.flock(file, kind)
            yield
    finally:
        if is_new:
            _forget_if_empty(place)


def _forget_if_empty(place: Path) -> None:
    """A store that was made for a commit that never came is taken away again."""
    if [path.name for path in place.parent.iterdir()] == [place.name]:
        place.unlink(missing_ok=True)
        with suppress(OSError):  # another commit has begun meanwhile
            place.parent.rmdir()
