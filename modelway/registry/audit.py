"""Who decided what, when, why, and on what evidence: a log that can be appended to and nothing else.

Each entry carries the hash of the one before, so that changing, dropping or reordering any of them
breaks every hash after it. Triggers refuse UPDATE and DELETE; whoever removes the triggers leaves
that to be seen, and the hashes besides. SQLite serialises writers of any number of processes.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime

from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.errors import AuditBrokenError, InputError, StorageError, TransitionError
from modelway.registry.chain import GENESIS, Row, canonical, chained, complete, link

_WAIT_FOR_WRITERS_S = 30.0

_TABLE = """
CREATE TABLE entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL, event TEXT NOT NULL, subject TEXT NOT NULL,
  who TEXT NOT NULL, why TEXT NOT NULL, evidence TEXT NOT NULL,
  previous_hash TEXT NOT NULL, hash TEXT NOT NULL UNIQUE
)
"""
_INDEX = "CREATE INDEX entries_by_subject ON entries (subject, id)"
_TRIGGERS = {
    "entries_no_update": """
        CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    "entries_no_delete": """
        CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    # INSERT OR REPLACE deletes without a DELETE trigger, and a stray insert could fork the chain
    "entries_only_at_the_end": """
        CREATE TRIGGER entries_only_at_the_end BEFORE INSERT ON entries
        WHEN NEW.previous_hash IS NOT
             coalesce((SELECT hash FROM entries ORDER BY id DESC LIMIT 1), printf('%064d', 0))
          OR EXISTS (SELECT 1 FROM entries WHERE id >= NEW.id AND NEW.id > 0)
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
}
_COLUMNS = "id, at, event, subject, who, why, evidence, previous_hash, hash"


class AuditEntry(Frozen):
    """One decision."""

    id: int
    at: AwareDatetime
    event: str
    """What was decided, e.g. `model.promoted`."""
    subject: str
    """About what, e.g. `model:credit`."""
    who: str
    why: str
    evidence: Mapping[str, Any]
    previous_hash: str
    hash: str


def utc_now() -> datetime:
    """The clock that entries are dated by."""
    return datetime.now(UTC)


def _evidence(event: str, evidence: Mapping[str, Any]) -> str:
    try:
        return canonical(evidence)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the evidence of {event} cannot be written as JSON: {error}",
            expected="numbers that are finite, text, lists and mappings",
            remedy="pass `json.loads(model.model_dump_json())` for a model",
        ) from error


class AuditLog:
    """The log in one SQLite file, made on first use. Opening one touches nothing."""

    def __init__(self, path: Path) -> None:
        """Remember where the log is.

        Args:
            path: SQLite file; its folder is made on the first append.
        """
        self.path = Path(path)

    def append(  # noqa: PLR0913 - who, when, why, and on what evidence
        self,
        event: str,
        subject: str,
        *,
        who: str,
        why: str,
        evidence: Mapping[str, Any] | None = None,
        at: datetime | None = None,
        after: int | None = None,
    ) -> AuditEntry:
        """Write one decision down; it is on the disk when this returns.

        Args:
            event: What was decided.
            subject: About what.
            who: Person or program.
            why: In their words; a decision without a reason is refused.
            evidence: JSON-able facts.
            at: When; now, when left out. Aware.
            after: Id of the last entry on this subject that the decision rests on, 0 for none.
                When someone has written another since, nothing is written.

        Raises:
            TransitionError: The subject has newer entries than `after`.
            InputError: `who` or `why` is empty, or the evidence is no JSON.
            StorageError: The file cannot be written.
        """
        _check_named(event, subject, who, why)
        moment = (at or utc_now()).astimezone(UTC).isoformat(timespec="microseconds")
        fields = (moment, event, subject, who, why, _evidence(event, evidence or {}))
        with self._writing() as log:
            _check_newest(log, subject, after)
            return _entry(_insert(log, fields))

    def entries(self, subject: str | None = None) -> tuple[AuditEntry, ...]:
        """Entries on one subject, or all, oldest first.

        Raises:
            AuditBrokenError: An entry was changed so that it cannot be read any more.
            StorageError: The file is no audit log or cannot be read.
        """
        where, arguments = ("WHERE subject = ?", (subject,)) if subject is not None else ("", ())
        query = f"SELECT {_COLUMNS} FROM entries {where} ORDER BY id"  # noqa: S608 - constants only
        rows = self._read(query, arguments)
        try:
            return tuple(_entry(row) for row in rows)
        except ValueError as error:
            raise AuditBrokenError(
                f"audit log {self.path} holds an entry that cannot be read: {error}",
                expected="only what this log has written",
                remedy="`modelway models audit verify` finds what was changed",
            ) from error

    def verify(self) -> Verdict:
        """Recompute the whole chain. It does not raise because the log was tampered with.

        PASS when every hash holds, no entry is missing and the triggers are in place; INCONCLUSIVE
        when there is no entry to check.

        Raises:
            StorageError: The file is no audit log or cannot be read.
        """
        rows, appended, triggers = self._everything()
        if not rows and not appended:
            message = "the log holds no entry yet"
            return Verdict.of([Reason(metric="audit.chain", outcome=Outcome.INCONCLUSIVE, message=message)])
        return Verdict.of(
            [chained(rows), complete(rows, appended), _guarded(triggers)],
            {"entries": len(rows), "head": rows[-1][-1] if rows else None},
        )

    def check(self) -> None:
        """Refuse to go on with a log that was tampered with.

        Raises:
            AuditBrokenError: It was.
        """
        verdict = self.verify()
        if verdict.outcome is Outcome.FAIL:
            raise AuditBrokenError(
                f"audit log {self.path}: {verdict.summary()}",
                expected="every entry as it was written",
                remedy="restore the log from a backup; keep this one to find out who changed it",
            )

    def _everything(self) -> tuple[list[Row], int, frozenset[str]]:
        """Entries, how many were ever appended as SQLite itself counts, and the triggers; at one moment.

        An entry written between two looks would look like one that was taken away.
        """
        if not self.path.exists():
            return [], 0, frozenset()
        with self._mapped(), closing(self._connect()) as log:
            log.execute("BEGIN")  # from the first SELECT on the reads see one state
            if not _has_table(log):
                return [], 0, frozenset()
            rows = log.execute(f"SELECT {_COLUMNS} FROM entries ORDER BY id").fetchall()  # noqa: S608 - constants only
            counted = log.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
            found = log.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        return rows, int(counted[0]) if counted else 0, _whole_triggers(found)

    def _read(self, query: str, arguments: tuple[Any, ...] = ()) -> list[Row]:
        if not self.path.exists():
            return []
        with self._mapped(), closing(self._connect()) as log:
            return log.execute(query, arguments).fetchall() if _has_table(log) else []

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other writer can interleave with."""
        with self._mapped():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as log:
                log.execute("BEGIN IMMEDIATE")
                try:
                    _create(log)
                    yield log
                except BaseException:
                    log.execute("ROLLBACK")
                    raise
                log.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        log = sqlite3.connect(self.path, timeout=_WAIT_FOR_WRITERS_S, isolation_level=None)
        log.execute("PRAGMA synchronous = FULL")
        return log

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"audit log {self.path}: {error}",
                expected="a SQLite file that can be read and written",
                remedy="free some space, check who owns it, or restore it from a backup",
            ) from error


def _whole_triggers(found: list[Row]) -> frozenset[str]:
    return frozenset(name for name, sql in found if _TRIGGERS.get(name, "").strip() == sql.strip())


def _has_table(log: sqlite3.Connection) -> bool:
    return bool(log.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone())


def _create(log: sqlite3.Connection) -> None:
    if not _has_table(log):
        for statement in (_TABLE, _INDEX, *(sql.strip() for sql in _TRIGGERS.values())):
            log.execute(statement)


def _insert(log: sqlite3.Connection, fields: tuple[str, ...]) -> Row:
    """Link one entry to the newest one, inside the caller's transaction."""
    newest = log.execute("SELECT hash FROM entries ORDER BY id DESC LIMIT 1").fetchone()
    previous = newest[0] if newest else GENESIS
    linked = (*fields, previous, link(fields, previous))
    entry_id = log.execute(
        "INSERT INTO entries (at, event, subject, who, why, evidence, previous_hash, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        linked,
    ).lastrowid
    return (entry_id, *linked)


def _check_named(event: str, subject: str, who: str, why: str) -> None:
    if not who.strip() or not why.strip():
        raise InputError(
            f"{event} of {subject} came without {'why' if who.strip() else 'who'}",
            expected="a name and a reason for every decision",
            remedy="say who decided, and why",
        )


def _check_newest(log: sqlite3.Connection, subject: str, after: int | None) -> None:
    if after is None:
        return
    newest = log.execute("SELECT max(id) FROM entries WHERE subject = ?", (subject,)).fetchone()[0] or 0
    if newest != after:
        raise TransitionError(
            f"{subject} was changed by someone else meanwhile (entry {newest}, not {after})",
            expected="the state that the decision rests on",
            remedy="look again and decide again",
        )


def _entry(row: Row) -> AuditEntry:
    values = dict(zip(AuditEntry.model_fields, row, strict=True))
    return AuditEntry(**{**values, "at": datetime.fromisoformat(row[1]), "evidence": json.loads(row[6])})


def _guarded(names: frozenset[str]) -> Reason:
    missing = sorted(frozenset(_TRIGGERS) - names)
    return Reason(
        metric="audit.triggers",
        outcome=Outcome.FAIL if missing else Outcome.PASS,
        message=f"triggers were removed or changed: {', '.join(missing)}"
        if missing
        else "triggers are in place",
        found=len(missing),
        limit=0,
    )
