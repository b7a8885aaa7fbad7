"""What the audit log adds up to: stages, aliases, and who served when."""

from datetime import UTC, date, datetime, timedelta

import pytest

from modelway.contract import Outcome, Reason, Verdict
from modelway.errors import AuditBrokenError, NotFoundError
from modelway.registry.audit import AuditEntry
from modelway.registry.ledger import Ledger
from modelway.registry.semantic import Identity
from modelway.registry.stages import Stage

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
PASSED = Verdict.of([Reason(metric="m", outcome=Outcome.PASS, message="ok")])
FAILED = Verdict.of([Reason(metric="m", outcome=Outcome.FAIL, message="bad")])


class Book:
    """Writes entries, one a day."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    def add(self, event: str, version: int, verdict: Verdict | None = None, digest: str = "") -> "Book":
        facts = {"version": version}
        if verdict is not None:
            facts |= {
                "digest": digest or f"digest {version}",
                "run_id": "r",
                "evaluation_sha256": "e",
                "verdict": verdict.model_dump(mode="json"),
            }
        n = len(self.entries)
        self.entries.append(
            AuditEntry(
                id=n + 1,
                at=START + timedelta(days=n),
                event=f"model.{event}",
                subject="model:credit",
                who="ada",
                why="because",
                evidence=facts,
                previous_hash="",
                hash="",
            )
        )
        return self

    def ship(self, version: int) -> "Book":
        return self.add("registered", version, PASSED).add("staged", version).add("promoted", version)

    @property
    def ledger(self) -> Ledger:
        return Ledger.read("credit", "model:credit", self.entries)


def test_nothing_written_is_an_empty_ledger():
    ledger = Book().ledger

    assert (ledger.last_entry, ledger.champion, ledger.challenger, ledger.aliases) == (0, None, None, {})
    assert ledger.history(None) == ()


def test_the_champion_serves_and_the_newest_staged_version_challenges():
    ledger = Book().ship(1).add("registered", 2, PASSED).add("staged", 2).add("registered", 3, FAILED).ledger

    assert ledger.aliases == {"champion": 1, "challenger": 2}
    assert ledger.shelf.stages[3] is Stage.DEVELOPMENT


def test_a_staged_version_older_than_the_champion_no_longer_challenges():
    ledger = Book().add("registered", 1, PASSED).add("staged", 1).ship(2).ledger

    assert ledger.aliases == {"champion": 2}


def test_a_staged_version_that_fails_a_newer_evaluation_no_longer_challenges():
    ledger = Book().add("registered", 1, PASSED).add("staged", 1).add("evaluated", 1, FAILED, "other").ledger

    assert ledger.challenger is None
    assert ledger.records[1].digest == "digest 1"  # an evaluation cannot swap the bundle
    assert ledger.records[1].registered_at == START


def test_tenures_end_where_the_next_begins():
    ledger = Book().ship(1).ship(2).add("rolled_back", 1).ledger
    first, second, third = ledger.history(None)

    assert [t.version for t in (first, second, third)] == [1, 2, 1]
    assert (first.end, second.end, third.end) == (second.start, third.start, None)
    assert [t.how for t in (first, second, third)] == ["promoted", "promoted", "rolled back"]


def test_a_day_is_answered_in_utc_with_its_ends():
    first = Book().ship(1).ship(2).ledger.history(None)[0]  # from the 3rd to the 6th of January, at noon

    answers = [first.covers(date(2026, 1, day)) for day in range(2, 8)]

    assert answers == [False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("reference", "version"),
    [(None, 1), (1, 1), ("2", 2), ("v2", 2), ("champion", 1), ("challenger", 2)],
)
def test_a_version_is_found_by_number_alias_or_as_the_champion(reference, version):
    ledger = Book().ship(1).add("registered", 2, PASSED).add("staged", 2).ledger

    assert ledger.resolve(reference) == version


def test_without_a_champion_the_newest_version_is_meant():
    assert Book().add("registered", 1, PASSED).add("registered", 2, FAILED).ledger.resolve(None) == 2


@pytest.mark.parametrize("reference", [7, "7", "challenger", "latest", "v", "-1", "²", ""])
def test_what_is_no_version_is_refused_with_what_there_is(reference):
    with pytest.raises(NotFoundError, match=r"(?s)credit has no version.*one of 1, champion"):
        Book().ship(1).ledger.resolve(reference)


def test_an_archived_bundle_is_not_active_so_it_may_come_anew():
    ledger = Book().ship(1).ship(2).ledger

    assert ledger.active("digest 1") is None
    assert ledger.active("digest 2").version == 2


@pytest.mark.parametrize(
    ("event", "version"),
    [("promoted", 9), ("dethroned", 1), ("registered", 1)],
    ids=["version", "event", "facts"],
)
def test_an_entry_that_we_cannot_have_written_is_named(event, version):
    book = Book().ship(1).add(event, version)

    with pytest.raises(AuditBrokenError, match=rf"entry 4 \(model.{event}\) makes no sense"):
        _ = book.ledger


def test_versions_registered_before_semantic_versions_go_without_one():
    ledger = Book().ship(1).ledger

    assert ledger.records[1].semantic is None
    assert ledger.resolve("1") == 1
    with pytest.raises(NotFoundError, match=r"no version '1\.0\.0'"):
        ledger.resolve("1.0.0")
    assert ledger.semantic(2, Identity(interface="i", origin="o")) == "1.0.0"
