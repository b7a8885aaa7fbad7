"""The registry: versions of a model, where each stands, and who decided it.

The audit log decides. MLflow numbers the versions and shows what was decided as tags and aliases.
"""

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from modelway.bundle.bundle import Bundle
from modelway.bundle.signing import VerifyKey
from modelway.contract import Outcome, Verdict
from modelway.evaluation.record import Evaluation
from modelway.registry.approvals import Approvals
from modelway.registry.audit import AuditLog, utc_now
from modelway.registry.books import Books
from modelway.registry.governance import GovernancePolicy
from modelway.registry.ledger import EVALUATED, Decision, Ledger, Tenure
from modelway.registry.model_version import (
    ModelVersion,
    RollbackPlan,
    check_kept,
    check_verdict,
    gone,
    move_to,
    unknown,
)
from modelway.registry.retention import Retention
from modelway.registry.semantic import identity_of
from modelway.registry.stages import Move, Stage
from modelway.registry.variant_facts import variant_facts
from modelway.registry.vault import REPORT_FILE, Vault, evaluation_sha256


class Registry:
    """Registered models of one MLflow store, with their bundles and the log of decisions."""

    def __init__(  # noqa: PLR0913 - three stores, and what may be chosen about them
        self,
        tracking_uri: str,
        bundles: Path,
        audit: AuditLog,
        *,
        verify_key: VerifyKey | None = None,
        policy: GovernancePolicy | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Remember the stores; nothing is opened yet.

        Args:
            tracking_uri: MLflow's store.
            bundles: Folder of the bundles, each below its digest.
            audit: Log of decisions.
            verify_key: Key that bundles must be signed with; the home's, when left out.
            policy: What a version needs before production; nothing but its gates, when left out.
            clock: Dates decisions.
        """
        self.audit = audit
        self._vault = Vault(Path(bundles), verify_key)
        self._books = Books(tracking_uri, audit, clock)
        self.retention = Retention(self._books, self._vault)
        self.approvals = Approvals(self._books, policy or GovernancePolicy())

    def register(  # noqa: PLR0913 - what was made, what was found, and by whom
        self,
        bundle: Bundle,
        *,
        evaluation: Evaluation,
        verdict: Verdict,
        run_id: str,
        who: str,
        trained_by: str | None = None,
    ) -> ModelVersion:
        """Enter a bundle, with what its evaluation found. One that passed its gates goes to Staging.

        One that is registered, and not archived, keeps its version; the newer evaluation counts.

        Args:
            bundle: Lies in this registry's bundle folder.
            evaluation: On held-out rows.
            verdict: Of all gates; anything but PASS leaves the version in Development.
            run_id: MLflow run that trained it.
            who: Person or program that registers it.
            trained_by: The person behind the training, for policies that keep them from approving it.

        Raises:
            ConfigError: The bundle lies elsewhere.
            GateError: It is another form of a version that is not here, or did not hold.
            StorageError: A store cannot be written.
        """
        self._vault.check_place(bundle)
        name = bundle.signature.model_name
        ledger = self._books.opened(name)
        described = variant_facts(ledger, bundle, verdict)
        version = self._books.number(ledger, bundle.digest, source=str(bundle.path), run_id=run_id)
        identity = identity_of(bundle.signature, bundle.lineage)
        facts = {
            "digest": bundle.digest,
            "run_id": run_id,
            "trained_by": trained_by or who,
            "semantic": ledger.semantic(version, identity),
            "identity": identity.model_dump(),
            "evaluation_sha256": evaluation_sha256(evaluation),
            "verdict": json.loads(verdict.model_dump_json()),  # NaN becomes null on this way
        } | described
        if not ledger.knows(version, facts):
            self._vault.keep(name, version, bundle=bundle, evaluation=evaluation, verdict=verdict)
            event = EVALUATED if version in ledger.records else Move.REGISTERED
            ledger = self._books.decide(ledger, Decision(event, version, who, verdict.summary(), facts))
        if verdict.passed and ledger.shelf.stages[version] is Stage.DEVELOPMENT:
            staged = Decision(Move.STAGED, version, who, f"kept all {len(verdict.reasons)} limits")
            ledger = self._books.decide(ledger, staged)
        return self._version(ledger, version)

    def list(self, name: str | None = None) -> tuple[ModelVersion, ...]:
        """Versions of one model, or of all, newest first."""
        ids = self._books.ids()
        if name is not None and name not in ids:
            raise unknown(name, ids)
        ledgers = [self._books.settled(each, ids[each]) for each in ([name] if name else ids)]
        return tuple(
            self._version(ledger, v) for ledger in ledgers for v in sorted(ledger.records, reverse=True)
        )

    def get(self, name: str, reference: int | str | None = None) -> ModelVersion:
        """One version, by number or alias; by neither, the champion, else the newest.

        Raises:
            NotFoundError: There is no such model or version.
        """
        ledger = self._books.known(name)
        return self._version(ledger, ledger.resolve(reference))

    def champion(self, name: str) -> ModelVersion | None:
        """The version in production, None for a model that is unknown or never got there."""
        ledger = self._books.known_or_none(name)
        return self._version(ledger, ledger.champion) if ledger and ledger.champion else None

    def serving_alias(self, name: str) -> str:
        """What to serve when nothing was said: the champion, else the challenger, which passed its gates."""
        return "champion" if self.champion(name) else "challenger"

    def fallbacks(self, name: str) -> tuple[ModelVersion, ...]:
        """The versions that one rollback after another would return to, the next one first. Only reads."""
        ledger = self._books.seen_or_none(name)
        served = reversed(ledger.shelf.served[:-1]) if ledger else ()
        return tuple(self._version(ledger, version) for version in served) if ledger else ()

    def rollback_plan(self, name: str) -> RollbackPlan:
        """What `rollback` would do. Writes nothing, neither to the log nor to MLflow.

        Raises:
            TransitionError: No version served before the present one.
        """
        ledger = self._books.seen(name)
        target = ledger.shelf.predecessor or 0
        after = ledger.shelf.after(Move.ROLLED_BACK, target)
        record = ledger.records[target]
        reasons = (self._vault.check_bundle(record), self._vault.check_evaluation(name, record))
        return RollbackPlan(
            now=self._version(ledger, ledger.champion or 0),
            back=self._version(ledger, target),
            verdict=Verdict.of(reasons) & self.audit.verify(),
            then=after.predecessor,
        )

    def bundle(self, name: str, reference: int | str | None = None) -> Bundle:
        """A version's bundle, verified now. Only reads.

        Raises:
            NotFoundError: There is no such version, or its bundle was pruned.
            BundleRejectedError: It is missing, altered, or not the one that was registered.
        """
        ledger = self._books.seen(name)
        version = self._version(ledger, ledger.resolve(reference))
        check_kept(version)
        return self._vault.open(version.digest)

    def evaluation(self, name: str, reference: int | str | None = None) -> Evaluation:
        """A version's newest evaluation."""
        return self._vault.evaluation(name, self.get(name, reference).version)

    def report(self, name: str, reference: int | str | None = None) -> Path:
        """Where the HTML page of that evaluation lies."""
        return self._vault.evaluation_folder(name, self.get(name, reference).version) / REPORT_FILE

    def promote(  # noqa: PLR0913 - which version goes where, by whom, why, on what evidence
        self,
        name: str,
        reference: int | str,
        *,
        who: str,
        why: str,
        to: Stage = Stage.PRODUCTION,
        evidence: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Move a version forward. In Production it replaces the present one, which is archived.

        Raises:
            NotFoundError: There is no such version.
            GateError: Its newest verdict is not PASS.
            ApprovalError: The stack's rules for production are not kept, or it was rejected.
            TransitionError: Its stage does not allow it, or someone decided otherwise meanwhile.
            BundleRejectedError: Its bundle does not verify.
        """
        ledger = self._books.known(name)
        version, move = ledger.resolve(reference), move_to(to)
        record = ledger.records[version]
        if ledger.shelf.stages[version] in {Stage.DEVELOPMENT, Stage.STAGING}:
            check_verdict(name, record)
        ledger.shelf.after(move, version)
        decision = Decision(move, version, who, why, evidence)
        if to is Stage.PRODUCTION:
            decision = self.approvals.weighed(ledger, decision)
        self._vault.open(record.digest)
        return self._version(self._books.decide(ledger, decision), version)

    def rollback(
        self, name: str, *, who: str, why: str, to: int = 0, evidence: Mapping[str, Any] | None = None
    ) -> ModelVersion:
        """Put the version that served before the present one back into production; `to`, if given, is it.

        Raises:
            NotFoundError: There is no such model.
            TransitionError: No version served before, or someone decided otherwise meanwhile.
            BundleRejectedError: That version's bundle does not verify.
        """
        ledger = self._books.known(name)
        target = to or ledger.shelf.predecessor or 0
        ledger.shelf.after(Move.ROLLED_BACK, target)
        self._vault.open(ledger.records[target].digest)
        facts = {**(evidence or {}), "from": ledger.champion}
        decided = self._books.decide(ledger, Decision(Move.ROLLED_BACK, target, who, why, facts))
        return self._version(decided, target)

    def retire(
        self,
        name: str,
        reference: int | str,
        *,
        who: str,
        why: str,
        evidence: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Archive a version that never reached production, e.g. one whose canary failed.

        Raises:
            NotFoundError: There is no such version.
            TransitionError: It is in production or archived already.
        """
        ledger = self._books.known(name)
        version = ledger.resolve(reference)
        ledger.shelf.after(Move.RETIRED, version)
        decided = self._books.decide(ledger, Decision(Move.RETIRED, version, who, why, evidence))
        return self._version(decided, version)

    def history(self, name: str, on: date | None = None) -> tuple[Tenure, ...]:
        """What was in production, oldest first; with `on`, at any time of that day, UTC.

        Raises:
            NotFoundError: Nobody registered that model.
            AuditBrokenError: The log was tampered with: it is no evidence of anything.
        """
        self.audit.check()
        return self._books.known(name).history(on)

    def verify(self, name: str, reference: int | str | None = None) -> Verdict:
        """Check a version against everything that vouches for it. It does not raise on tampering.

        Bundle, signature and evaluation as registered, MLflow's tags and aliases as decided, the log.

        Raises:
            NotFoundError: There is no such model or version.
        """
        log = self.audit.verify()
        if log.outcome is Outcome.FAIL:
            return log  # decisions that were tampered with say nothing about a version
        if (shown := self._books.lost()).outcome is Outcome.FAIL:
            return Verdict.of([shown]) & log
        ledger = self._books.seen(name)
        record = ledger.records[ledger.resolve(reference)]
        pruned = ledger.pruned.get(record.version)
        reasons = (
            self._vault.check_bundle(record) if pruned is None else gone(pruned),
            self._vault.check_evaluation(name, record),
            self._books.shown(ledger),
        )
        return Verdict.of(reasons, {"version": f"{name}@{record.version}", "digest": record.digest}) & log

    def verify_log(self) -> Verdict:
        """Check the log by itself, and that it holds what MLflow shows. It does not raise on tampering."""
        log = self.audit.verify()
        return log if log.outcome is Outcome.FAIL else Verdict.of([self._books.lost()]) & log

    def _version(self, ledger: Ledger, version: int) -> ModelVersion:
        return ModelVersion.of(ledger, version, self._vault.bundles)
