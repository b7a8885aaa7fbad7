"""Small JSON files that several processes share: replaced whole, never half-written."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from modelway.errors import StorageError

_Model = TypeVar("_Model", bound=BaseModel)
_BETWEEN_ATTEMPTS_S = 0.025


def put(path: Path, text: str) -> None:
    """Replace a file's content at once; who reads meanwhile sees the old or the new.

    Raises:
        StorageError: The folder cannot be written; the old file is as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}",
            expected="free space and a writable folder",
            remedy="free some space or check the path, then run it again",
        ) from error


def get(path: Path, kind: type[_Model]) -> _Model | None:
    """What a file says; None when it is not there.

    Raises:
        StorageError: It is there and cannot be understood.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StorageError(
            f"{path} cannot be read: {error}",
            expected=f"a {kind.__name__} as this version writes it",
            remedy="restore it, or remove it to begin anew",
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock while inside; waits for whoever holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Holder:
    """An exclusive lock for as long as a process lives. The kernel lets go when it dies."""

    def __init__(self, path: Path) -> None:
        """Name the lock; takes nothing yet."""
        self._path = path
        self._file: int | None = None

    def inherit(self, handle: int) -> bool:
        """Whether the lock is ours by a file descriptor that this process had before an exec."""
        try:
            same = os.path.samestat(os.fstat(handle), self._path.stat())
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        os.set_inheritable(handle, False)
        self._file = handle if same else None
        return same

    @contextmanager
    def shared(self) -> Iterator[int]:
        """The lock's file descriptor, for an exec inside to keep it."""
        assert self._file is not None  # noqa: S101 - only who holds it can pass it on
        os.set_inheritable(self._file, True)
        try:
            yield self._file
        finally:
            os.set_inheritable(self._file, False)

    def take(self, *, attempts: int = 20) -> bool:
        """Whether the lock is ours now. Tries more than once: `is_held` holds it for a blink."""
        for _ in range(attempts - 1):
            if self._try():
                return True
            time.sleep(_BETWEEN_ATTEMPTS_S)
        return self._try()

    def _try(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._file = handle
        return True

    def release(self) -> None:
        """Let go; harmless when not held."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now. Two that ask at once do not take each other for a holder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
