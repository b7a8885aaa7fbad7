"""The audit log: append-only, chained, and honest about what was done to it."""

import hashlib
import json
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest

from modelway.contract import Outcome
from modelway.errors import AuditBrokenError, InputError, StorageError, TransitionError
from modelway.registry import audit
from modelway.registry.audit import AuditLog

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    log = AuditLog(tmp_path / "deep" / "audit.db")
    for i in range(1, 5):
        log.append(
            "model.promoted", f"model:{i % 2}", who="ada", why=f"reason {i}", evidence={"n": i}, at=NOON
        )
    return log


def outcomes(verdict):
    return {reason.metric: reason.outcome for reason in verdict.reasons}


def behind_its_back(log, *statements, drop=()):
    """Do to the file what a person with a SQLite shell can do."""
    with closing(sqlite3.connect(log.path)) as database:
        for trigger in drop:
            database.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_entries_come_back_as_they_were_written_oldest_first(log):
    found = log.entries()

    assert [entry.id for entry in found] == [1, 2, 3, 4]
    first = found[0]
    assert (first.event, first.subject, first.who, first.why) == (
        "model.promoted",
        "model:1",
        "ada",
        "reason 1",
    )
    assert first.evidence == {"n": 1}
    assert first.at == NOON
    assert [entry.id for entry in log.entries("model:1")] == [1, 3]


def test_each_hash_covers_the_fields_and_the_hash_before_by_hand(log):
    first, second = log.entries()[:2]

    fields = ["2026-01-01T12:00:00.000000+00:00", "model.promoted", "model:1", "ada", "reason 1", '{"n":1}']
    text = json.dumps([*fields, "0" * 64], separators=(",", ":"))
    assert first.hash == hashlib.sha256(text.encode()).hexdigest()
    assert first.previous_hash == "0" * 64
    assert second.previous_hash == first.hash


def test_an_untouched_log_verifies(log):
    verdict = log.verify()

    assert verdict.passed
    assert verdict.evidence == {"entries": 4, "head": log.entries()[-1].hash}
    log.check()


def test_a_log_without_entries_is_no_pass(tmp_path):
    log = AuditLog(tmp_path / "audit.db")

    assert log.verify().outcome is Outcome.INCONCLUSIVE
    assert log.entries() == ()
    assert not log.path.exists()  # looking writes nothing
    log.check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET who = 'mallory' WHERE id = 2",
        "DELETE FROM entries WHERE id = 4",
        "INSERT OR REPLACE INTO entries SELECT 2, at, event, 'm', who, why, evidence, hash, 'h' FROM entries",
        "INSERT INTO entries VALUES (99, 'x', 'x', 'x', 'x', 'x', '{}', 'not the last hash', 'h')",
    ],
    ids=["update", "delete", "replace", "insert-aside"],
)
def test_the_triggers_refuse_everything_but_the_next_entry(log, statement):
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        behind_its_back(log, statement)
    assert log.verify().passed


@pytest.mark.parametrize(
    "column", ["at", "event", "subject", "who", "why", "evidence", "previous_hash", "hash"]
)
def test_a_changed_cell_is_found_and_its_entry_named(log, column):
    behind_its_back(
        log,
        f"UPDATE entries SET {column} = replace({column}, substr({column}, 1, 1), '~') WHERE id = 2",  # noqa: S608 - our own columns
        drop=["entries_no_update"],
    )

    verdict = log.verify()

    assert outcomes(verdict)["audit.chain"] is Outcome.FAIL
    assert "entry 2 is not what was written" in verdict.summary()
    with pytest.raises(AuditBrokenError, match="entry 2"):
        log.check()


def test_removed_triggers_are_found_even_when_nothing_else_was_changed(log):
    behind_its_back(log, drop=["entries_no_delete"])

    assert outcomes(log.verify()) == {
        "audit.chain": Outcome.PASS,
        "audit.complete": Outcome.PASS,
        "audit.triggers": Outcome.FAIL,
    }


def test_a_trigger_replaced_by_one_that_does_nothing_is_found(log):
    behind_its_back(
        log,
        "CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT 1; END",
        drop=["entries_no_delete"],
    )

    assert outcomes(log.verify())["audit.triggers"] is Outcome.FAIL


@pytest.mark.parametrize("gone", [1, 2, 4], ids=["first", "middle", "last"])
def test_a_deleted_entry_is_found_also_at_the_end_where_the_chain_still_holds(log, gone):
    statement = f"DELETE FROM entries WHERE id = {gone}"  # noqa: S608 - our own numbers
    behind_its_back(log, statement, drop=["entries_no_delete"])

    found = outcomes(log.verify())

    assert found["audit.complete"] is Outcome.FAIL
    assert (found["audit.chain"] is Outcome.PASS) == (gone == 4)


def test_a_log_emptied_by_hand_is_not_mistaken_for_a_new_one(log):
    behind_its_back(log, "DELETE FROM entries", drop=["entries_no_delete"])

    assert log.verify().outcome is Outcome.FAIL


def test_two_entries_swapped_are_found(log):
    behind_its_back(
        log,
        "UPDATE entries SET id = 100 WHERE id = 2",
        "UPDATE entries SET id = 2 WHERE id = 3",
        "UPDATE entries SET id = 3 WHERE id = 100",
        drop=["entries_no_update"],
    )

    assert outcomes(log.verify())["audit.chain"] is Outcome.FAIL


@pytest.mark.parametrize(("who", "why"), [("", "x"), ("ada", "  ")])
def test_a_decision_without_who_or_why_is_refused(log, who, why):
    with pytest.raises(InputError, match="came without"):
        log.append("e", "s", who=who, why=why)
    assert len(log.entries()) == 4


@pytest.mark.parametrize("evidence", [{"x": float("nan")}, {"x": object()}], ids=["nan", "object"])
def test_evidence_that_is_no_json_is_refused(log, evidence):
    with pytest.raises(InputError, match="cannot be written as JSON"):
        log.append("e", "s", who="ada", why="x", evidence=evidence)


def test_a_decision_on_a_state_that_has_moved_on_is_refused(log):
    log.append("e", "model:1", who="ada", why="x", after=3)

    with pytest.raises(TransitionError, match=r"changed by someone else meanwhile \(entry 5, not 3\)"):
        log.append("e", "model:1", who="bob", why="x", after=3)
    log.append("e", "model:new", who="bob", why="x", after=0)


def test_times_are_kept_in_utc(log):
    entry = log.append("e", "s", who="ada", why="x", at=NOON.astimezone(timezone(timedelta(hours=9))))

    assert entry.at == NOON
    assert entry.at.utcoffset() == timedelta(0)


def test_a_refused_entry_leaves_no_gap(log):
    with pytest.raises(TransitionError):
        log.append("e", "model:1", who="ada", why="x", after=77)
    log.append("e", "model:1", who="ada", why="x")

    assert [entry.id for entry in log.entries()] == [1, 2, 3, 4, 5]
    assert log.verify().passed


def test_a_file_that_is_no_log_is_a_storage_error(tmp_path):
    path = tmp_path / "audit.db"
    path.write_bytes(b"certainly not SQLite" * 100)

    for act in (AuditLog(path).verify, lambda: AuditLog(path).append("e", "s", who="a", why="b")):
        with pytest.raises(StorageError, match=r"audit\.db: file is not a database"):
            act()


def test_an_entry_that_cannot_be_read_any_more_is_an_error_of_ours(log):
    behind_its_back(log, "UPDATE entries SET evidence = '{' WHERE id = 2", drop=["entries_no_update"])

    with pytest.raises(AuditBrokenError, match="cannot be read"):
        log.entries()
    assert log.verify().outcome is Outcome.FAIL


def test_an_entry_that_is_written_meanwhile_is_no_tampering(log, monkeypatch):
    """Whatever is read after the entries belongs to the same moment as they do."""
    connect = log._connect

    class Eager:
        """A connection; once its entries were read, somebody else tries to append."""

        def __init__(self):
            self._connection = connect()

        def execute(self, statement, *arguments):
            found = self._connection.execute(statement, *arguments)
            if "FROM entries ORDER" not in statement:
                return found
            rows = found.fetchall()
            monkeypatch.undo()
            monkeypatch.setattr(audit, "_WAIT_FOR_WRITERS_S", 0.0)  # the reader goes on after it
            with suppress(StorageError):
                log.append("model.approved", "model:9", who="bob", why="meanwhile")
            return Rows(rows)

        def close(self):
            self._connection.close()

    class Rows(list):
        fetchall = list.copy

    monkeypatch.setattr(log, "_connect", Eager)

    assert log.verify().outcome is Outcome.PASS
    assert log.verify().outcome is Outcome.PASS
