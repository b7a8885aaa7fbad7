"""Looks are remembered across processes, also across a kill."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelway.errors import StorageError
from modelway.monitoring.history import CycleLog
from modelway.monitoring.triggers import Cause, Cycle

FIRST = Cycle(as_of=datetime(2006, 1, 1, tzinfo=UTC), asked=(Cause.DRIFT,), retrained=True)
SECOND = Cycle(as_of=datetime(2006, 2, 1, tzinfo=UTC))


def test_looks_come_back_in_order(tmp_path: Path) -> None:
    log = CycleLog(tmp_path / "deep" / "cycles.jsonl")

    assert log.read() == ()
    log.append(FIRST)
    log.append(SECOND)

    assert CycleLog(tmp_path / "deep" / "cycles.jsonl").read() == (FIRST, SECOND)


def test_a_line_cut_off_by_a_kill_counts_as_not_written(tmp_path: Path) -> None:
    path = tmp_path / "cycles.jsonl"
    log = CycleLog(path)
    log.append(FIRST)
    path.write_text(path.read_text() + '{"as_of": "2006-0')

    assert log.read() == (FIRST,)
    log.append(SECOND)
    assert log.read() == (FIRST, SECOND)


def test_a_foreign_line_is_an_error_not_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "cycles.jsonl"
    path.write_text("hello\n")

    with pytest.raises(StorageError, match="hello"):
        CycleLog(path).read()


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot write"):
        CycleLog(tmp_path / "file" / "cycles.jsonl").append(FIRST)
