"""What the audit log says about one model: its versions, their stages, and who served when. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from pydantic import AwareDatetime

from modelway.bundle.variant import Variant
from modelway.contract import Frozen, Verdict
from modelway.errors import AuditBrokenError, NotFoundError, TransitionError
from modelway.registry.audit import AuditEntry
from modelway.registry.opinions import APPROVED, REJECTED, Opinion, after_evaluation, rejection
from modelway.registry.semantic import Identity, next_semantic
from modelway.registry.stages import Move, Shelf, Stage

EVALUATED = "model.evaluated"
"""A version that was registered before was evaluated again: the newer verdict counts."""
PRUNED = "model.pruned"
"""The bundle of an archived version was removed from the disk; no rollback returns to it."""
_NO_MOVE = frozenset({EVALUATED, APPROVED, REJECTED})
"""Events that leave every version in its stage."""


class Decision(NamedTuple):
    """What is about to be written down about one version."""

    event: str
    version: int
    who: str
    why: str
    evidence: Mapping[str, Any] | None = None


class Record(Frozen):
    """One version, as it was registered and last evaluated."""

    version: int
    digest: str
    run_id: str
    registered_at: AwareDatetime
    verdict: Verdict
    evaluation_sha256: str
    trained_by: str | None = None
    """Person or program; None in entries written before this was noted."""
    semantic: str | None = None
    """MAJOR.MINOR.PATCH; None for versions registered before there were any."""
    identity: Identity | None = None
    variant: Variant | None = None
    """Which version it is another form of; None: a training made it."""
    made_by: str | None = None
    """Who made that form."""


class Tenure(Frozen):
    """A time in production."""

    version: int
    semantic: str | None = None
    digest: str
    start: AwareDatetime
    end: AwareDatetime | None
    """None: still in production."""
    how: str
    """`promoted` or `rolled back`."""
    who: str
    why: str
    evidence: Mapping[str, Any] = {}
    """What the decision rested on: the rollout and its verdict, how each rule was kept."""
    entry: int = 0
    """Id of the decision in the audit log."""
    entry_hash: str = ""
    """Hash of that entry: whoever kept the head of the log can hold this against it."""
    verdict: Verdict | None = None
    """Of the version's newest evaluation when it was decided."""
    opinions: tuple[Opinion, ...] = ()
    """What people had said about it by then."""
    trained_by: str | None = None
    variant: Variant | None = None
    """Which version it is another form of; None: a training made it."""
    ended_why: str | None = None
    """How, by whom and why it ended; None: still in production."""

    def covers(self, day: date) -> bool:
        """Whether the version was in production at any time of that day, UTC."""
        begin = datetime.combine(day, time.min, tzinfo=UTC)
        return self.start < begin + timedelta(days=1) and (self.end is None or self.end > begin)


class Ledger(Frozen):
    """All decisions on one model, added up."""

    name: str
    subject: str
    last_entry: int = 0
    shelf: Shelf = Shelf()
    records: Mapping[int, Record] = {}
    tenures: tuple[Tenure, ...] = ()
    opinions: Mapping[int, tuple[Opinion, ...]] = {}
    """What was said about each version; approvals since its newest evaluation."""
    pruned: Mapping[int, str] = {}
    """Versions without a bundle: when, by whom and why it was removed."""

    @classmethod
    def read(cls, name: str, subject: str, entries: Iterable[AuditEntry]) -> "Ledger":
        """Add up the entries on `subject`, oldest first.

        Raises:
            AuditBrokenError: An entry cannot have been written by us.
        """
        ledger = cls(name=name, subject=subject)
        for entry in entries:
            try:
                ledger = ledger.with_entry(entry)
            except (KeyError, ValueError, TransitionError) as error:
                raise AuditBrokenError(
                    f"entry {entry.id} ({entry.event}) makes no sense where it stands: {error}",
                    expected="only what this registry has written",
                    remedy="`modelway models audit verify` finds what was changed",
                ) from error
        return ledger

    def with_entry(self, entry: AuditEntry) -> "Ledger":
        """The ledger one decision later."""
        version = int(entry.evidence["version"])
        records = self.records
        if entry.event in {Move.REGISTERED, EVALUATED}:
            records = {**records, version: self._recorded(version, entry)}
        shelf, pruned = self._moved(version, entry), self.pruned
        if entry.event == PRUNED:
            pruned = {**pruned, version: f"{entry.at:%Y-%m-%d} by {entry.who}: {entry.why}"}
        return self.model_copy(
            update={
                "last_entry": entry.id,
                "records": records,
                "shelf": shelf,
                "pruned": pruned,
                "tenures": self._served(shelf.production, records, entry),
                "opinions": {**self.opinions, version: self._said(version, entry)},
            }
        )

    def _moved(self, version: int, entry: AuditEntry) -> Shelf:
        if entry.event == PRUNED:
            return self.shelf.without(version)
        if entry.event not in _NO_MOVE:
            return self.shelf.after(Move(entry.event), version)
        if version not in self.records:
            raise TransitionError(f"version {version} is not registered: nobody can judge it yet")
        return self.shelf

    def _recorded(self, version: int, entry: AuditEntry) -> Record:
        known = self.records.get(version)
        return Record(
            version=version,
            digest=known.digest if known else str(entry.evidence["digest"]),
            registered_at=known.registered_at if known else entry.at,
            run_id=str(entry.evidence["run_id"]),
            verdict=Verdict.model_validate(entry.evidence["verdict"]),
            evaluation_sha256=str(entry.evidence["evaluation_sha256"]),
            trained_by=entry.evidence.get("trained_by"),
            semantic=known.semantic if known else entry.evidence.get("semantic"),
            identity=known.identity if known else _identity(entry.evidence),
            variant=known.variant if known else entry.evidence.get("variant"),
            made_by=entry.who if "variant" in entry.evidence else None,
        )

    def _said(self, version: int, entry: AuditEntry) -> tuple[Opinion, ...]:
        before = self.said(version)
        if entry.event == EVALUATED:
            return after_evaluation(before)
        if entry.event not in {APPROVED, REJECTED}:
            return before
        account, approved = entry.evidence.get("account"), entry.event == APPROVED
        word = Opinion(who=entry.who, why=entry.why, at=entry.at, approved=approved, account=account)
        return (*before, word)

    def said(self, version: int) -> tuple[Opinion, ...]:
        """Approvals and rejections of a version that count now, oldest first."""
        return self.opinions.get(version, ())

    def _served(
        self, production: int | None, records: Mapping[int, Record], entry: AuditEntry
    ) -> tuple[Tenure, ...]:
        if production is None or production == self.shelf.production:
            return self.tenures
        how = entry.event.removeprefix("model.").replace("_", " ")
        # the log's order is what happened; a clock that was set back does not make time run backwards
        since = max([entry.at, *(t.start for t in self.tenures[-1:])])
        end = {"end": since, "ended_why": f"version {production} {how} by {entry.who}: {entry.why}"}
        ended = tuple(t if t.end else t.model_copy(update=end) for t in self.tenures)
        return (*ended, _begun(records[production], self.said(production), entry, since, how))

    @property
    def champion(self) -> int | None:
        """The version in production."""
        return self.shelf.production

    @property
    def challenger(self) -> int | None:
        """The newest version in Staging, passed, rejected by nobody, younger than the champion."""
        staged = (v for v, stage in self.shelf.stages.items() if stage is Stage.STAGING)
        staged = (v for v in staged if rejection(self.said(v)) is None)
        fit = (v for v in staged if self.records[v].verdict.passed and v > (self.champion or 0))
        return max(fit, default=None)

    @property
    def aliases(self) -> dict[str, int]:
        """Alias -> version, those without a version left out."""
        named = {"champion": self.champion, "challenger": self.challenger}
        return {alias: version for alias, version in named.items() if version is not None}

    def active(self, digest: str) -> Record | None:
        """The version of this very bundle that is not archived."""
        same = (record for record in self.records.values() if record.digest == digest)
        return next((r for r in same if self.shelf.stages[r.version] is not Stage.ARCHIVED), None)

    def semantic(self, version: int, identity: Identity) -> str | None:
        """The semantic version of a version: its own, or the one that a new one gets."""
        if version in self.records:
            return self.records[version].semantic
        ordered = (self.records[number] for number in sorted(self.records))
        return next_semantic(
            ((r.semantic, r.identity) for r in ordered if r.semantic and r.identity), identity
        )

    def knows(self, version: int, facts: Mapping[str, Any]) -> bool:
        """Whether the version is registered with just this evaluation and verdict."""
        record = self.records.get(version)
        return record is not None and (
            record.evaluation_sha256 == facts["evaluation_sha256"]
            and record.verdict == Verdict.model_validate(facts["verdict"])
        )

    def resolve(self, reference: int | str | None) -> int:
        """The version meant by 3, 1.2.0, an alias, or nothing: the champion, else the newest.

        Raises:
            NotFoundError: There is no such version.
        """
        if reference is None:
            reference = self.champion or max(self.records, default=0)
        text = str(reference)
        number = text.removeprefix("v")
        spelt = number.isascii() and number.isdecimal()
        named = self.aliases | {r.semantic: r.version for r in self.records.values() if r.semantic}
        version = int(number) if spelt else named.get(text, named.get(number))
        if version is None or version not in self.records:
            raise NotFoundError(
                f"{self.name} has no version {text!r}",
                expected=f"one of {', '.join([*map(str, sorted(self.records)), *self.aliases]) or '(none)'}",
                remedy="`modelway models list` shows what is registered",
            )
        return version

    def history(self, on: date | None) -> tuple[Tenure, ...]:
        """Times in production, oldest first; with `on` those that touch that day, UTC."""
        return tuple(tenure for tenure in self.tenures if on is None or tenure.covers(on))


def _begun(record: Record, said: tuple[Opinion, ...], entry: AuditEntry, since: datetime, how: str) -> Tenure:
    return Tenure(
        version=record.version,
        semantic=record.semantic,
        digest=record.digest,
        start=since,
        end=None,
        how=how,
        who=entry.who,
        why=entry.why,
        evidence={key: value for key, value in entry.evidence.items() if key != "version"},
        entry=entry.id,
        entry_hash=entry.hash,
        verdict=record.verdict,
        opinions=said,
        trained_by=record.trained_by,
        variant=record.variant,
    )


def _identity(evidence: Mapping[str, Any]) -> Identity | None:
    return Identity.model_validate(evidence["identity"]) if "identity" in evidence else None
