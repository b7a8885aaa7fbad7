"""Saying yes or no to a version before it may serve, and holding a promotion against the stack's rules."""

from collections.abc import Mapping
from typing import Any

from modelway.contract import Outcome, Verdict
from modelway.errors import ApprovalError, TransitionError
from modelway.people import account
from modelway.registry.books import Books
from modelway.registry.governance import ROLLOUT, GovernancePolicy
from modelway.registry.ledger import Decision, Ledger
from modelway.registry.model_version import check_verdict
from modelway.registry.opinions import APPROVED, REJECTED, rejection
from modelway.registry.stages import Stage

_OPEN_TO = {APPROVED: frozenset({Stage.STAGING}), REJECTED: frozenset({Stage.DEVELOPMENT, Stage.STAGING})}


class Approvals:
    """Approvals and rejections of one registry, under the policy of its stack."""

    def __init__(self, books: Books, policy: GovernancePolicy) -> None:
        """Remember whose decisions these are, and the rules."""
        self.policy = policy
        self._books = books

    def approve(self, name: str, reference: int | str, *, who: str, why: str) -> int:
        """Note that a person wants this version in production. The approval rests on its newest evaluation.

        Returns:
            The version's number.

        Raises:
            NotFoundError: There is no such version.
            ApprovalError: The policy does not count this person's approval, or the version was rejected.
            GateError: Its newest verdict is not PASS.
            TransitionError: It is not in Staging, or someone decided otherwise meanwhile.
        """
        ledger, version = self._asked(name, reference, APPROVED)
        record = ledger.records[version]
        check_verdict(name, record)
        allowed = Verdict.of([self.policy.may_approve(who, record)])
        _require(allowed, f"{name}@{version}: the approval of {who} does not count")
        if rejection(ledger.said(version)):
            _require(self.verdict(ledger, version, who=who), f"{name}@{version} was rejected")
        facts = {"account": account(), "evaluation_sha256": record.evaluation_sha256}
        return self._note(ledger, Decision(APPROVED, version, who, why, facts))

    def reject(self, name: str, reference: int | str, *, who: str, why: str) -> int:
        """Keep a version out of production for good.

        Returns:
            The version's number.

        Raises:
            NotFoundError: There is no such version.
            TransitionError: It serves, served or is archived, or someone decided otherwise meanwhile.
        """
        ledger, version = self._asked(name, reference, REJECTED)
        return self._note(ledger, Decision(REJECTED, version, who, why, {"account": account()}))

    def check(self, name: str, reference: int | str, *, who: str) -> None:
        """Refuse a version that a rollout could not promote at its end; its own verdict is still to come.

        Raises:
            NotFoundError: There is no such version.
            ApprovalError: The stack's rules for production are not kept.
        """
        ledger = self._books.seen(name)
        version = ledger.resolve(reference)
        verdict = self.verdict(ledger, version, who=who)
        known = Verdict.of(reason for reason in verdict.reasons if reason.metric != ROLLOUT)
        _require(known, f"{name}@{version} may not go into production")

    def verdict(
        self, ledger: Ledger, version: int, *, who: str, evidence: Mapping[str, Any] | None = None
    ) -> Verdict:
        """What the policy says about promoting a version now, rule by rule."""
        record, first = ledger.records[version], ledger.champion is None
        return self.policy.judge(record, ledger.said(version), who=who, evidence=evidence, first=first)

    def weighed(self, ledger: Ledger, decision: Decision) -> Decision:
        """A promotion with the policy's verdict among its evidence.

        Raises:
            ApprovalError: The verdict is anything but PASS.
        """
        verdict = self.verdict(ledger, decision.version, who=decision.who, evidence=decision.evidence)
        _require(verdict, f"{ledger.name}@{decision.version} may not go into production")
        if self.policy == GovernancePolicy():
            return decision
        rules = {reason.metric: reason.message for reason in verdict.reasons}
        return decision._replace(evidence={**(decision.evidence or {}), "governance": rules})

    def _asked(self, name: str, reference: int | str, event: str) -> tuple[Ledger, int]:
        ledger = self._books.known(name)
        version = ledger.resolve(reference)
        stage, expected = ledger.shelf.stages[version], _OPEN_TO[event]
        if stage not in expected:
            raise TransitionError(
                f"{name}@{version} is in {stage}: it cannot be {event.removeprefix('model.')}",
                expected=f"a version in {' or '.join(sorted(expected))}",
                remedy="`modelway models rollback` takes back a version that serves"
                if stage is Stage.PRODUCTION
                else f"`modelway models list {name}` shows where each version stands",
            )
        return ledger, version

    def _note(self, ledger: Ledger, decision: Decision) -> int:
        self._books.decide(ledger, decision)
        return decision.version


def _require(verdict: Verdict, what: str) -> None:
    if verdict.outcome is not Outcome.PASS:
        raise ApprovalError(
            f"{what}: {verdict.summary()}",
            expected="what the section `governance` of the stack file asks for",
            remedy="`modelway models approve` adds an approval; a rejected version may be retired and its "
            "bundle registered anew",
        )
