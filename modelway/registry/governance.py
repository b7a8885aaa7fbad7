"""A stack's rules for what may go into production: who, how many of them, on what evidence. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.registry.ledger import Record
from modelway.registry.opinions import Opinion, approvals, person, rejection

ROLLOUT = "governance.rollout"


class GovernancePolicy(Frozen):
    """The section `governance` of a stack file. Without one, whatever kept its gates may be promoted."""

    approvals: int = Field(default=0, ge=0, le=20)
    """How many different people must have approved."""
    approvers: tuple[str, ...] = ()
    """Who may approve; empty: anyone."""
    promoters: tuple[str, ...] = ()
    """Who may promote, people or programs such as `flow:rollout`; empty: anyone."""
    not_the_trainer: bool = False
    """Whether the approval of the one who trained the version, or this form of it, counts for nothing."""
    checks: tuple[str, ...] = ()
    """Names of checks that the newest verdict must hold and have passed, e.g. `parity`; `duplicates` also
    means `duplicates: twins`. A verdict passes without a check that nobody made: not with this."""
    rollout_verdict: bool = False
    """Whether a rollout must have passed, once there is a version in production to compare with."""

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        people = {person(name) for name in self.approvers}
        if people and len(people) < self.approvals:
            msg = f"{self.approvals} approvals cannot come from {len(people)} approvers"
            raise ValueError(msg)
        return self

    def may_approve(self, who: str, record: Record) -> Reason:
        """Whether this person's approval of the version counts."""
        named = not self.approvers or person(who) in {person(name) for name in self.approvers}
        if not named:
            return _reason("approver", f"{who} is not among {', '.join(self.approvers)}", holds=False)
        if not self.not_the_trainer:
            return _reason("approver", f"{who} may approve", holds=True)
        if record.trained_by is None:
            return _reason("approver", "nobody noted who trained this version", holds=False)
        makers = [record.trained_by, *([record.made_by] if record.made_by else [])]
        other = person(who) not in map(person, makers)
        text = f"{' and '.join(makers)} made it" if record.made_by else f"{record.trained_by} trained it"
        text += "" if other else ": someone else must approve"
        return _reason("approver", text, holds=other)

    def judge(
        self,
        record: Record,
        opinions: Sequence[Opinion],
        *,
        who: str,
        evidence: Mapping[str, Any] | None,
        first: bool,
    ) -> Verdict:
        """Whether `who` may put the version into production, rule by rule.

        Args:
            record: The version.
            opinions: What was said about it since its newest evaluation.
            who: The one about to promote it.
            evidence: What the promotion rests on; `verdict` and `rollout` as a rollout writes them.
            first: No version is in production yet.
        """
        reasons = [_not_rejected(opinions), self._enough(record, opinions)]
        if self.promoters:
            holds = person(who) in {person(name) for name in self.promoters}
            text = f"{who} may{'' if holds else ' not'} promote (may: {', '.join(self.promoters)})"
            reasons.append(_reason("promoter", text, holds=holds))
        reasons += [_check(name, record.verdict) for name in self.checks]
        if self.rollout_verdict:
            reasons.append(_rolled_out(evidence or {}, first=first))
        return Verdict.of(reasons)

    def _enough(self, record: Record, opinions: Sequence[Opinion]) -> Reason:
        given = [o.who for o in approvals(opinions).values() if _holds(self.may_approve(o.who, record))]
        by = f" ({', '.join(given)})" if given else ""
        text = f"{len(given)} of {self.approvals} approvals{by}"
        return _reason("approvals", text, holds=len(given) >= self.approvals)


def _reason(what: str, message: str, *, holds: bool) -> Reason:
    outcome = Outcome.PASS if holds else Outcome.FAIL
    return Reason(metric=f"governance.{what}", outcome=outcome, message=message)


def _holds(reason: Reason) -> bool:
    return reason.outcome is Outcome.PASS


def _not_rejected(opinions: Sequence[Opinion]) -> Reason:
    found = rejection(opinions)
    text = f"rejected by {found.who}: {found.why}" if found else "nobody rejected it"
    return _reason("rejection", text, holds=found is None)


def _check(name: str, verdict: Verdict) -> Reason:
    family = (f"{name}.", f"{name}:")
    found = [r for r in verdict.reasons if r.metric == name or r.metric.startswith(family)]
    failed = [r.metric for r in found if not _holds(r)]
    if not found:
        return _reason("checks", f"{name} was not checked", holds=False)
    text = f"{name} passed" if not failed else f"not passed: {', '.join(failed)}"
    return _reason("checks", text, holds=not failed)


def _rolled_out(evidence: Mapping[str, Any], *, first: bool) -> Reason:
    if first:
        return _reason("rollout", "nothing is in production to compare with", holds=True)
    outcome = (evidence.get("verdict") or {}).get("outcome")
    name = evidence.get("rollout")
    text = f"rollout {name}: {outcome}" if name and outcome else "no rollout compared it"
    return _reason("rollout", text, holds=bool(name) and outcome == Outcome.PASS.value)
