"""When to train again: four causes, each named, and what holds a new cycle back. Pure.

A signal that is missing never reads as "all is well": its reason is INCONCLUSIVE, and age, which
needs no traffic, still fires.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.monitoring.policy import RetrainPolicy


class Cause(StrEnum):
    """What can ask for a new model."""

    DRIFT = "drift"
    DECAY = "decay"
    AGE = "age"
    NEW_DATA = "new_data"


class Signals(Frozen):
    """What one look saw. None: it could not be seen."""

    as_of: datetime
    drift: Verdict | None = None
    performance: Verdict | None = None
    champion_as_of: datetime | None = None
    """What was known then is all the champion learnt from."""
    new_matured_rows: int | None = None
    """Rows whose label matured since."""
    training_rows: int | None = None
    """Rows the champion learnt from."""


class Cycle(Frozen):
    """One earlier look and what came of it."""

    as_of: datetime
    asked: tuple[Cause, ...] = ()
    """Causes seen in that look, confirmed or not."""
    retrained: bool = False


class RetrainDecision(Frozen):
    """Whether to train now, why, and why not yet."""

    as_of: datetime
    retrain: bool
    """A confirmed cause asks and nothing holds it back."""
    causes: tuple[Cause, ...]
    """Confirmed in this look."""
    seen: tuple[Cause, ...]
    """Seen in this look, confirmed or not."""
    held_back: str | None
    """Why a confirmed cause must wait; None when nothing holds it."""
    verdict: Verdict
    """Of the champion. PASS: all signals seen, none asks. FAIL: one asks. INCONCLUSIVE: none asks, but
    a signal is missing or unconfirmed."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """One for each cause."""
        return self.verdict.reasons

    def cycle(self, *, retrained: bool) -> Cycle:
        """What the next look needs to remember of this one."""
        return Cycle(as_of=self.as_of, asked=self.seen, retrained=retrained)


def should_retrain(
    signals: Signals, policy: RetrainPolicy | None = None, history: Sequence[Cycle] = ()
) -> RetrainDecision:
    """Decide whether the champion needs a successor now.

    Args:
        signals: What was seen, each by its own verdict.
        policy: Limits and debouncing.
        history: Earlier looks, any order; those not before `signals.as_of` are left out.
    """
    policy = policy or RetrainPolicy()
    past = sorted((c for c in history if c.as_of < signals.as_of), key=lambda c: c.as_of)
    raw = dict(_reasons(signals, policy))
    seen = tuple(cause for cause, reason in raw.items() if reason.outcome is Outcome.FAIL)
    reasons = {cause: _confirmed(cause, reason, past, policy) for cause, reason in raw.items()}
    causes = tuple(cause for cause, reason in reasons.items() if reason.outcome is Outcome.FAIL)
    held_back = _held_back(signals, policy, past) if causes else None
    return RetrainDecision(
        as_of=signals.as_of,
        retrain=bool(causes) and held_back is None,
        causes=causes,
        seen=seen,
        held_back=held_back,
        verdict=Verdict.of(reasons.values()),
    )


def _reasons(signals: Signals, policy: RetrainPolicy) -> Iterator[tuple[Cause, Reason]]:
    yield Cause.DRIFT, _from_verdict(Cause.DRIFT, signals.drift)
    yield Cause.DECAY, _from_verdict(Cause.DECAY, signals.performance)
    yield Cause.AGE, _age(signals, policy)
    yield Cause.NEW_DATA, _new_data(signals, policy)


def _from_verdict(cause: Cause, verdict: Verdict | None) -> Reason:
    if verdict is None:
        return _unseen(cause, "was not measured")
    worst = [r for r in verdict.reasons if r.outcome is verdict.outcome]
    said = "; ".join(f"{r.metric.removeprefix(f'{cause}: ')}: {r.message}" for r in worst[:3])
    more = f"; and {len(worst) - 3} more" if len(worst) > 3 else ""  # noqa: PLR2004 - three are read
    return Reason(metric=cause, outcome=verdict.outcome, message=(said or "no reason given") + more)


def _unseen(cause: Cause, why: str) -> Reason:
    return Reason(metric=cause, outcome=Outcome.INCONCLUSIVE, message=why)


def _age(signals: Signals, policy: RetrainPolicy) -> Reason:
    if signals.champion_as_of is None:
        return _unseen(Cause.AGE, "the champion's as-of date is not known")
    days = (signals.as_of - signals.champion_as_of).days
    old = days > policy.max_age_days
    return Reason(
        metric=Cause.AGE,
        outcome=Outcome.FAIL if old else Outcome.PASS,
        message=f"the champion learnt what was known on {signals.champion_as_of:%Y-%m-%d}, {days} days ago",
        found=days,
        limit=policy.max_age_days,
        unit="days",
    )


def _new_data(signals: Signals, policy: RetrainPolicy) -> Reason:
    new, learnt = signals.new_matured_rows, signals.training_rows
    if new is None or not learnt:
        return _unseen(Cause.NEW_DATA, "the number of matured or of training rows is not known")
    share = new / learnt
    return Reason(
        metric=Cause.NEW_DATA,
        outcome=Outcome.FAIL if share >= policy.min_new_matured_share else Outcome.PASS,
        message=f"{new} rows matured since the champion learnt from {learnt}",
        found=share,
        limit=policy.min_new_matured_share,
        unit="of the training rows",
        samples=new,
    )


def _confirmed(cause: Cause, reason: Reason, past: Sequence[Cycle], policy: RetrainPolicy) -> Reason:
    """Drift and decay must be seen in enough of the newest looks; age and volume cannot flicker."""
    if reason.outcome is not Outcome.FAIL or cause not in (Cause.DRIFT, Cause.DECAY):
        return reason
    earlier = past[-(policy.recent - 1) :] if policy.recent > 1 else []
    seen = 1 + sum(cause in look.asked for look in earlier)
    if seen >= policy.needed:
        return reason
    unconfirmed = (
        f"{reason.message} (seen in {seen} of the last {policy.recent} looks, {policy.needed} needed)"
    )
    return reason.model_copy(update={"outcome": Outcome.INCONCLUSIVE, "message": unconfirmed})


def _held_back(signals: Signals, policy: RetrainPolicy, past: Sequence[Cycle]) -> str | None:
    trained = [c.as_of for c in past if c.retrained]
    if not trained:
        return None
    days = (signals.as_of - trained[-1]).days
    if days >= policy.min_gap_days:
        return None
    return f"trained {days} days ago, on {trained[-1]:%Y-%m-%d}; cycles lie {policy.min_gap_days} days apart"
