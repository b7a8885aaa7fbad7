"""The books of every model: decisions are written to the audit log first, then shown in MLflow.

A process killed in between leaves nothing to guess: the next call shows what the log says.
"""

from collections.abc import Callable
from datetime import datetime

from modelway.contract import Outcome, Reason
from modelway.errors import AuditBrokenError
from modelway.registry.audit import AuditLog
from modelway.registry.ledger import Decision, Ledger
from modelway.registry.model_version import unknown
from modelway.registry.projection import Projection
from modelway.registry.versions import DIGEST_TAG, ENTRY_TAG, VersionStore


class Books:
    """Ledgers of one MLflow store and one audit log."""

    def __init__(self, tracking_uri: str, audit: AuditLog, clock: Callable[[], datetime]) -> None:
        """Remember the stores; nothing is opened yet."""
        self.audit = audit
        self._store = VersionStore(tracking_uri)
        self._projection = Projection(self._store)
        self._clock = clock

    def ids(self) -> dict[str, str]:
        """Ledger id of each registered model, by name."""
        return self._store.ledger_ids()

    def opened(self, name: str) -> Ledger:
        """The model's ledger for a new version; the registered model is made when missing."""
        return self.settled(name, self._store.ensure(name, f"Modelway: versions of {name}"))

    def known(self, name: str) -> Ledger:
        """The ledger, after MLflow was made to show what it says.

        Raises:
            NotFoundError: Nobody registered that model.
        """
        return self.settled(name, self._ledger_id(name))

    def seen(self, name: str) -> Ledger:
        """The ledger as the log has it. Changes nothing anywhere.

        Raises:
            NotFoundError: Nobody registered that model.
            AuditBrokenError: The log lacks decisions that MLflow has shown.
        """
        return self._whole(name, self._ledger_id(name))

    def seen_or_none(self, name: str) -> Ledger | None:
        """As `seen`; None for a model that nobody registered."""
        ledger_id = self._store.ledger_id(name)
        return self._whole(name, ledger_id) if ledger_id else None

    def known_or_none(self, name: str) -> Ledger | None:
        """As `known`; None for a model that nobody registered."""
        ledger_id = self._store.ledger_id(name)
        return self.settled(name, ledger_id) if ledger_id else None

    def settled(self, name: str, ledger_id: str) -> Ledger:
        """The ledger of a known id, after MLflow was made to show what it says.

        Raises:
            AuditBrokenError: The log lacks decisions that MLflow has shown.
        """
        ledger = self._whole(name, ledger_id)
        self._projection.settle(ledger)
        return ledger

    def lost(self) -> Reason:
        """Whether the log holds every decision that MLflow shows, of all models. Changes nothing."""
        ids = self._store.ledger_ids()
        found = [text for each in ids if (text := self._seen(each, ids[each])[1])]
        outcome, message = Outcome.FAIL if found else Outcome.PASS, "; ".join(found)
        return Reason(metric="audit.shown", outcome=outcome, message=message or "all that was shown is there")

    def shown(self, ledger: Ledger) -> Reason:
        """Whether MLflow shows what was decided. Changes nothing."""
        return self._projection.check(ledger)

    def number(self, ledger: Ledger, digest: str, *, source: str, run_id: str) -> int:
        """A bundle's version: its present one, one that a killed call left behind, or a new one."""
        if active := ledger.active(digest):
            return active.version
        for stored in self._store.versions(ledger.name):
            if stored.version not in ledger.records and stored.tags.get(DIGEST_TAG) == digest:
                return stored.version
        return self._store.create(ledger.name, source=source, run_id=run_id, digest=digest).version

    def decide(self, ledger: Ledger, decision: Decision) -> Ledger:
        """Write a decision down, then show it. Between the two a kill does no harm.

        Raises:
            AuditBrokenError: The log was tampered with.
            TransitionError: Someone decided about this model meanwhile.
        """
        self.audit.check()
        entry = self.audit.append(
            decision.event,
            ledger.subject,
            who=decision.who,
            why=decision.why,
            evidence={**(decision.evidence or {}), "version": decision.version},
            at=self._clock(),
            after=ledger.last_entry,
        )
        decided = ledger.with_entry(entry)
        self._projection.settle(decided)
        return decided

    def _ledger_id(self, name: str) -> str:
        ledger_id = self._store.ledger_id(name)
        if ledger_id is None:
            raise unknown(name, self._store.ledger_ids())
        return ledger_id

    def _whole(self, name: str, ledger_id: str) -> Ledger:
        """The ledger, unless the log was removed, cut or put back: that is never `nothing decided`."""
        ledger, lost = self._seen(name, ledger_id)
        if lost:
            raise AuditBrokenError(
                lost,
                expected="the log that the decisions were written to",
                remedy="restore its newest backup; where there is none, remove the model's aliases and "
                f"its tag {ENTRY_TAG} in MLflow, and promote anew",
            )
        return ledger

    def _seen(self, name: str, ledger_id: str) -> tuple[Ledger, str]:
        """The ledger, and what it lacks in words; read twice, for somebody may decide between two looks."""
        ledger = self._ledger(name, ledger_id)
        if self._projection.lost(ledger):
            ledger = self._ledger(name, ledger_id)
        return ledger, self._projection.lost(ledger)

    def _ledger(self, name: str, ledger_id: str) -> Ledger:
        subject = f"model:{name}#{ledger_id[:8]}"
        return Ledger.read(name, subject, self.audit.entries(subject))
