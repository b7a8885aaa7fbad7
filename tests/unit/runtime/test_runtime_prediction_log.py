"""The log holds what was asked and answered, drops what it must, says so, and never makes anyone wait."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from modelway.bundle.bundle import Bundle
from modelway.errors import ConfigError, StorageError
from serving.runtime.parsed import Parsed
from serving.runtime.prediction_log import Entry, PredictionLog, Writer
from serving.runtime.prediction_table import parquet_writer

RECEIVED_US = 1_700_000_000_123_456


def entry(rows: int = 1, **known: object) -> Entry:
    if rows == 1:
        packed = np.array([1.5, np.nan, 2.0], np.float32).tobytes()
        return Entry(Parsed(1, [1.5, np.nan, 2.0], **known), RECEIVED_US, np.float32(0.25), packed)
    matrix = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    return Entry(
        Parsed(rows, matrix, **known), RECEIVED_US, np.linspace(0, 1, rows, dtype=np.float32), matrix
    )


class FakeDisk:
    """A writer that can be held up, or fail, and keeps what it was given."""

    def __init__(self) -> None:
        self.files: list[list[Entry]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None

    def make(self) -> Writer:
        def write(path: Path, entries: list[Entry]) -> None:
            self.may_go_on.wait(60)
            path.touch()
            if self.error is not None:
                raise self.error
            self.files.append(entries)

        return write


def micros(column: Any) -> list[int]:
    """Whole numbers, for a timestamp as Python object imports pandas."""
    return column.cast("int64").to_pylist()


def eventually(what: Callable[[], bool], within_s: float = 60.0) -> bool:
    deadline = time.monotonic() + within_s
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    return what()


def test_every_column_is_what_was_sent_and_answered(tmp_path: Path, bundled: Callable[[str], Bundle]) -> None:
    bundle = bundled("logistic")
    log = PredictionLog(tmp_path / "log", "r1-7", parquet_writer(bundle, "r1"))
    log.start()
    log.append(entry(request_id="a", entity_ids=["pé1"], event_times_us=[1_000_000]))
    log.append(entry(rows=2, entity_ids=["p2", None], event_times_us=[None, 2_000_000]))
    log.append(entry())
    log.close()

    (path,) = (tmp_path / "log").iterdir()
    table = pq.ParquetFile(path).read()
    assert path.name.startswith("r1-7-")
    assert path.suffix == ".parquet"
    assert table["_request_id"].to_pylist()[0] == "a"
    assert len(set(table["_request_id"].to_pylist())) == 3
    assert table["_row"].to_pylist() == [0, 0, 1, 0]
    assert table["_entity_id"].to_pylist() == ["pé1", "p2", None, None]
    assert micros(table["_event_time"]) == [1_000_000, RECEIVED_US, 2_000_000, RECEIVED_US]
    assert micros(table["_received_at"]) == [RECEIVED_US] * 4
    assert set(table["_model"].to_pylist()) == {"paint"}
    assert set(table["_revision"].to_pylist()) == {"r1"}
    assert set(table["_bundle"].to_pylist()) == {bundle.digest}
    np.testing.assert_array_equal(table["_probability"].to_pylist(), np.float32([0.25, 0, 1, 0.25]))
    np.testing.assert_array_equal(table["amount"].to_pylist(), np.float32([1.5, 0, 3, 1.5]))
    np.testing.assert_array_equal(table["months"].to_pylist(), np.float32([np.nan, 1, 4, np.nan]))
    np.testing.assert_array_equal(table["colour"].to_pylist(), np.float32([2, 2, 5, 2]))


def test_the_types_are_those_that_monitoring_reads(tmp_path: Path, bundled: Callable[[str], Bundle]) -> None:
    log = PredictionLog(tmp_path, "r1-7", parquet_writer(bundled("logistic"), "r1"))
    log.start()
    log.append(entry())
    log.close()

    schema = pq.read_schema(next(tmp_path.glob("*.parquet")))
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "_request_id": "string",
        "_row": "int32",
        "_entity_id": "string",
        "_event_time": "timestamp[us, tz=UTC]",
        "_received_at": "timestamp[us, tz=UTC]",
        "_model": "string",
        "_revision": "string",
        "_bundle": "string",
        "_purpose": "string",
        "_probability": "float",
        "amount": "float",
        "months": "float",
        "colour": "float",
    }


def test_writing_imports_no_pandas_though_it_is_installed(tmp_path: Path) -> None:
    code = """
import sys
from types import SimpleNamespace
from modelway.bundle.policy import ServingPolicy
from serving.runtime.prediction_table import parquet_writer
bundle = SimpleNamespace(signature=SimpleNamespace(names=("a",), model_name="m"), digest="d",
    policy=ServingPolicy())
parquet_writer(bundle, "r")()
print("pyarrow" in sys.modules, "pandas" in sys.modules)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    )

    assert said.stdout == "True False\n"


def test_a_file_closes_when_it_has_its_rows(tmp_path: Path) -> None:
    disk = FakeDisk()
    log = PredictionLog(tmp_path, "r1-7", disk.make, rows_per_file=4, max_age_s=60)
    log.start()
    for _ in range(8):
        log.append(entry())

    assert eventually(lambda: len(disk.files) == 2)
    log.close()
    assert [len(file) for file in disk.files] == [4, 4]
    assert log.written_rows == 8


def test_a_file_closes_when_its_oldest_row_has_waited_long_enough(tmp_path: Path) -> None:
    disk = FakeDisk()
    log = PredictionLog(tmp_path, "r1-7", disk.make, max_age_s=0.05)
    log.start()
    log.append(entry())

    assert eventually(lambda: log.written_rows == 1)
    log.close()


def test_a_slow_disk_costs_rows_that_are_counted_and_no_time(tmp_path: Path) -> None:
    disk = FakeDisk()
    disk.may_go_on.clear()
    log = PredictionLog(tmp_path, "r1-7", disk.make, max_pending_rows=10, rows_per_file=4, max_age_s=0.01)
    log.start()
    for _ in range(50):
        log.append(entry())  # returns although the disk does not
    disk.may_go_on.set()
    log.close()

    assert (log.dropped_rows, log.written_rows) == (40, 10)
    assert sum(len(file) for file in disk.files) == 10


def test_a_full_disk_costs_rows_that_are_counted_and_leaves_no_half_file(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    disk = FakeDisk()
    disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    log = PredictionLog(tmp_path, "r1-7", disk.make, max_pending_rows=3, max_age_s=0.01)
    log.start()
    log.append(entry(rows=3))
    assert eventually(lambda: log.dropped_rows == 3)
    disk.error = None
    log.append(entry(rows=2))
    log.close()

    assert (log.dropped_rows, log.written_rows) == (3, 2)
    assert b"prediction_log_failed" in capfdbinary.readouterr().out
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]


def test_two_processes_of_one_id_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for _ in range(2):
        log = PredictionLog(tmp_path, "r1-1", FakeDisk().make)
        log.start()
        log.append(entry())
        log.close()
        time.sleep(0.002)

    assert len(list(tmp_path.glob("r1-1-*.parquet"))) == 2


def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="prediction log"):
        PredictionLog(tmp_path / "file" / "log", "r1-7", FakeDisk().make)


def test_a_log_without_its_library_is_said_at_the_start(tmp_path: Path) -> None:
    def make() -> Writer:
        raise ModuleNotFoundError("No module named 'pyarrow'")

    with pytest.raises(ConfigError, match="pyarrow"):
        PredictionLog(tmp_path, "r1-7", make).start()
