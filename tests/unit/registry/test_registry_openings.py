"""Test rows are opened once per model, and every opening is counted."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from modelway.errors import TransitionError
from modelway.registry.audit import AuditLog
from modelway.registry.openings import OPENED, open_test


@pytest.fixture
def log(tmp_path) -> AuditLog:
    return AuditLog(tmp_path / "audit.db")


def opened(log: AuditLog, model: str, rows: str = "a" * 64) -> int:
    return open_test(log, rows, model, model="credit", who="a test")


def test_each_new_model_is_counted_once(log):
    assert opened(log, "one") == 1
    assert opened(log, "two") == 2
    assert opened(log, "one") == 2
    assert opened(log, "three") == 3


def test_other_rows_have_a_count_of_their_own(log):
    opened(log, "one")

    assert opened(log, "one", rows="b" * 64) == 1


def test_an_opening_is_an_audited_decision(log):
    opened(log, "one")

    (entry,) = log.entries()
    assert entry.event == OPENED
    assert entry.subject == f"test:{'a' * 64}"
    assert entry.evidence == {"model": "credit", "model_sha256": "one"}
    assert log.verify().passed


def test_models_measured_at_the_same_moment_are_all_counted(log):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: opened(log, f"model {n}"), range(8)))

    assert max(found) == 8
    assert opened(log, "model 3") == 8
    assert len(log.entries()) == 8


def test_a_log_that_never_takes_the_entry_is_an_error_and_no_count(log, monkeypatch):
    def always_late(*_args: object, **_kwargs: object) -> None:
        raise TransitionError("changed meanwhile")

    monkeypatch.setattr(log, "append", always_late)

    with pytest.raises(TransitionError):
        opened(log, "one")
