"""What was live on a day, and why: random histories against a plain replay of the log."""

import sqlite3
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.contract import Outcome, Reason, Verdict
from modelway.errors import AuditBrokenError, TransitionError
from modelway.registry.audit import AuditEntry, AuditLog
from modelway.registry.ledger import Ledger
from modelway.registry.registry import Registry

START = datetime(2026, 1, 1, tzinfo=UTC)
SHIP = ("registered", "staged", "promoted")
OTHERS = ("rolled_back", "retired", "approved", "rejected", "evaluated")
moves = st.lists(
    st.tuples(st.sampled_from([*SHIP, "ship", *OTHERS]), st.integers(1, 5), st.integers(-2, 40)),
    min_size=1,
    max_size=25,
)
"""Event, version, and hours since the entry before; a clock may go back. `ship` is all of SHIP, anew."""


def verdict(number: int) -> Verdict:
    """One that can be told from any other."""
    return Verdict.of([Reason(metric="m", outcome=Outcome.PASS, message=f"measured at entry {number}")])


def entry(number: int, event: str, version: int, at: datetime) -> AuditEntry:
    facts = {"version": version, "rollout": f"rollout {number}"}
    if event in {"registered", "evaluated"}:
        seen = verdict(number).model_dump(mode="json")
        facts |= {"digest": f"d{version}", "run_id": "r", "evaluation_sha256": f"e{number}", "verdict": seen}
    return AuditEntry(
        id=number,
        at=at,
        event=f"model.{event}",
        subject="model:credit",
        who=f"person {number}",
        why=f"reason {number}",
        evidence=facts,
        previous_hash="",
        hash=f"hash {number}",
    )


def written(steps: list[tuple[str, int, int]]) -> tuple[Ledger, list[AuditEntry]]:
    """The steps that the state machine allows, as a log, and the ledger they add up to."""
    ledger, log, at = Ledger(name="credit", subject="model:credit"), [], START
    single: list[tuple[str, int, int]] = []
    for what, version, hours in steps:
        new = 1 + max((v for _, v, _ in single), default=5)
        single += [(each, new, hours) for each in SHIP] if what == "ship" else [(what, version, hours)]
    for event, version, hours in single:
        at += timedelta(hours=hours)
        candidate = entry(len(log) + 1, event, version, at)
        try:
            ledger = ledger.with_entry(candidate)
        except (TransitionError, KeyError):
            continue
        log.append(candidate)
    return ledger, log


def replayed(log: list[AuditEntry]) -> list[tuple[datetime, int, int]]:
    """From when, which version, by which entry: with a stack and nothing else."""
    stack: list[int] = []
    changes: list[tuple[datetime, int, int]] = []
    for each in log:
        if each.event == "model.promoted":
            stack.append(int(each.evidence["version"]))
        elif each.event == "model.rolled_back":
            stack.pop()
        else:
            continue
        since = max([each.at, *(at for at, _, _ in changes)])
        changes.append((since, stack[-1], each.id))
    return changes


def alive(changes: list[tuple[datetime, int, int]], day: date) -> list[tuple[int, int]]:
    """Version and entry of all that served at some moment of the day."""
    begin = datetime.combine(day, time.min, tzinfo=UTC)
    before = [(version, number) for at, version, number in changes if at <= begin][-1:]
    within = [(v, n) for at, v, n in changes if begin < at < begin + timedelta(days=1)]
    return [*before, *within]


@settings(max_examples=60, deadline=None)
@given(steps=moves)
def test_every_day_is_answered_as_a_plain_replay_answers_it(steps):
    ledger, log = written(steps)
    changes = replayed(log)

    for offset in range(-3, 50):
        day = (START + timedelta(days=offset)).date()
        found = [(t.version, t.entry) for t in ledger.history(day)]
        assert found == alive(changes, day)


@settings(max_examples=60, deadline=None)
@given(steps=moves)
def test_the_grounds_are_those_of_the_moment_of_the_decision(steps):
    ledger, log = written(steps)

    for tenure in ledger.history(None):
        decided = log[tenure.entry - 1]
        before = [e for e in log[: tenure.entry] if e.evidence["version"] == tenure.version]
        measured = [e for e in before if e.event in {"model.registered", "model.evaluated"}][-1]
        assert (tenure.who, tenure.why, tenure.entry_hash) == (decided.who, decided.why, decided.hash)
        assert tenure.evidence == {"rollout": f"rollout {decided.id}"}
        assert tenure.verdict == verdict(measured.id)
        approvals = [e.who for e in before if e.event == "model.approved" and e.id > measured.id]
        rejections = [e.who for e in before if e.event == "model.rejected"]
        assert [o.who for o in tenure.opinions if o.approved] == approvals
        assert [o.who for o in tenure.opinions if not o.approved] == rejections


@pytest.mark.parametrize("event", ["approved", "rejected", "evaluated"])
def test_nobody_judges_a_version_before_it_is_registered(event):
    with pytest.raises(AuditBrokenError, match="version 1 is not registered"):
        Ledger.read("credit", "model:credit", [entry(1, event, 1, START)])


def test_a_log_that_was_tampered_with_is_no_evidence(tmp_path):
    log = AuditLog(tmp_path / "audit.db")
    log.append("model.registered", "model:credit", who="ada", why="first")
    with sqlite3.connect(log.path) as raw:
        raw.execute("DROP TRIGGER entries_no_update")
        raw.execute("UPDATE entries SET who = 'eve'")

    with pytest.raises(AuditBrokenError):
        Registry("sqlite:///nowhere.db", tmp_path, log).history("credit")
