"""What was asked and what was answered, kept for monitoring without making a client wait.

The request path appends to a bounded queue; a thread writes. When the disk is slower than the
traffic, rows are dropped and counted.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from modelway.errors import ConfigError, StorageError
from serving.runtime.journal import journal
from serving.runtime.parsed import Matrix, Parsed

MAX_PENDING_ROWS = 65_536
ROWS_PER_FILE = 16_384
MAX_AGE_S = 3.0
_POLL_S = 0.25


class Entry(msgspec.Struct, gc=False):
    """One answered request."""

    request: Parsed
    received_us: int
    probabilities: np.float32 | Matrix
    features: bytes | Matrix
    """What the graph saw: float32, row-major."""
    serial: int = 0
    """Which request of this process; names it in the log when the client did not."""
    purpose: str | None = None
    """Why it was asked, where no user asked."""


Writer = Callable[[Path, list[Entry]], None]


class PredictionLog:
    """A bounded queue and the thread that empties it into files that appear whole."""

    def __init__(  # noqa: PLR0913 - three limits, each with its default
        self,
        folder: Path,
        prefix: str,
        make_writer: Callable[[], Writer],
        *,
        max_pending_rows: int = MAX_PENDING_ROWS,
        rows_per_file: int = ROWS_PER_FILE,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            folder: Where files appear; created when missing.
            prefix: Of every file name, `<revision>-<pid>`.
            make_writer: Called once, in the thread: it may import what it needs.
            max_pending_rows: More than this waiting for the disk are dropped.
            rows_per_file: A file is closed at this many rows …
            max_age_s: … or when its oldest row has waited this long.

        Raises:
            StorageError: The folder cannot be written.
        """
        self._folder, self._prefix, self._make_writer = folder, prefix, make_writer
        self._max_pending, self._rows_per_file, self._max_age_s = max_pending_rows, rows_per_file, max_age_s
        self._entries: deque[Entry] = deque()
        self._pending_rows = 0
        self._lock = threading.Lock()
        self._stop, self._usable = threading.Event(), threading.Event()
        self._unusable: Exception | None = None
        self._oldest_at = 0.0
        self._serial = 0
        self._next_file = int(time.time() * 1000) * 1000  # a restarted container may get the same process id
        self.dropped_rows = 0
        self.written_rows = 0
        _check_writable(folder)
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start the thread and wait until it has imported what it needs.

        Raises:
            ConfigError: It could not.
        """
        self._thread.start()
        self._usable.wait()
        if self._unusable is not None:
            raise ConfigError(
                f"the prediction log cannot be written: {self._unusable}",
                expected="pyarrow",
                remedy="pip install 'modelway[serving]', or serve without --log-dir",
            ) from self._unusable

    def append(self, entry: Entry) -> None:
        """Remember an answer, or count it as dropped when too many wait. Never blocks."""
        rows = entry.request.rows
        with self._lock:
            self._serial += 1
            if self._pending_rows + rows > self._max_pending:
                self.dropped_rows += rows
                return
            if not self._pending_rows:
                self._oldest_at = time.monotonic()
            entry.serial = self._serial
            self._pending_rows += rows
            self._entries.append(entry)

    def close(self, wait_s: float = 30.0) -> None:
        """Write what waits and stop."""
        self._stop.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            write = self._make_writer()
        except Exception as error:  # noqa: BLE001 - raised again by `start`, in the thread that can stop
            self._unusable = error
            return
        finally:
            self._usable.set()
        while not self._stop.wait(_POLL_S):
            while self._due():
                self._write_file(write)
        while self._entries:
            self._write_file(write)

    def _due(self) -> bool:
        if not self._entries:
            return False
        return (
            self._pending_rows >= self._rows_per_file or time.monotonic() - self._oldest_at >= self._max_age_s
        )

    def _write_file(self, write: Writer) -> None:
        entries, rows = self._taken()
        final = self._folder / f"{self._prefix}-{self._next_file}.parquet"
        self._next_file += 1
        try:
            _write_whole(final, entries, write)
        except Exception as error:  # noqa: BLE001 - losing the log must not lose the service; the loss is counted
            with self._lock:
                self.dropped_rows += rows
            journal("prediction_log_failed", rows=rows, error=str(error))
        else:
            self.written_rows += rows
        finally:
            with self._lock:
                self._pending_rows -= rows

    def _taken(self) -> tuple[list[Entry], int]:
        """The next file's entries. Their rows count as pending until they are on the disk."""
        taken, rows = [], 0
        while self._entries and rows < self._rows_per_file:
            entry = self._entries.popleft()
            rows += entry.request.rows
            taken.append(entry)
        self._oldest_at = time.monotonic()
        return taken, rows


def _write_whole(final: Path, entries: list[Entry], write: Writer) -> None:
    temporary = final.with_suffix(".tmp")
    try:
        write(temporary, entries)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"the prediction log cannot be written to {folder}: {error.strerror}",
            expected="a writable folder",
            remedy="name another one with --log-dir",
        ) from error
