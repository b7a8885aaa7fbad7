"""Asks a target for what the driver wants to know, and says early what a target can never tell."""

from collections.abc import Mapping
from datetime import UTC, datetime

from modelway.errors import ConfigError, TransientError
from modelway.stats.sequential import Counts
from serving.rollout.plan import Plan
from serving.rollout.sights import ComparesAnswers, Pairs, Smoke, Smokes, Splits
from serving.rollout.state import Facts, Phase, RolloutState
from serving.rollout.strategies import Step
from serving.rollout.target import Observations, RevisionId, Target


def require_able(target: Target, plan: Plan) -> None:
    """Refuse a strategy that the target has no eyes or hands for.

    Raises:
        ConfigError: It cannot compare answers, ask a revision directly, or share keys out.
    """
    needs = {
        "compare answers": (ComparesAnswers, any(step.compare for step in plan.steps)),
        "ask a revision directly": (Smokes, any(step.smoke for step in plan.steps)),
        "share keys out": (Splits, any(step.split for step in plan.steps)),
    }
    missing = [what for what, (able, needed) in needs.items() if needed and not isinstance(target, able)]
    if missing:
        raise ConfigError(
            f"{type(target).__name__} cannot {' or '.join(missing)}, as {plan.strategy.value} needs",
            expected="a strategy that this target can carry out",
            remedy=f"use {'canary or blue-green' if isinstance(target, Smokes) else 'canary'} here",
        )


def facts(target: Target, state: RolloutState, plan: Plan, abort: str) -> Facts:
    """One look. What cannot be said now is absent, not zero."""
    seen: Mapping[RevisionId, Observations] = {}
    stop = plan.steps[state.step]
    watching = state.phase is Phase.STEP and state.window is not None
    try:
        canary = target.ready(state.canary)
        others = {
            arm.id: ready
            for arm in plan.challengers
            if arm.id != state.canary and (ready := target.ready(arm.id)) is not None
        }
        routing = target.routing()
        if watching and stop.judged and state.window is not None:
            seen = target.observe(state.window)
    except TransientError:
        return Facts(at=datetime.now(UTC), abort=abort)
    known = Facts(at=datetime.now(UTC), canary=canary, others=others, routing=routing, seen=seen, abort=abort)
    return known.model_copy(update=_more(target, state, plan, stop)) if watching else known


def _more(target: Target, state: RolloutState, plan: Plan, stop: Step) -> dict[str, object]:
    """What only some stops ask for."""
    try:
        return {
            "pairs": _pairs(target, state, plan) if stop.compare else None,
            "smoke": _smoke(target, plan) if stop.smoke else None,
            "rewards": _rewards(target, state, plan) if stop.split else {},
        }
    except TransientError:
        return {}


def _pairs(target: Target, state: RolloutState, plan: Plan) -> Pairs | None:
    if not isinstance(target, ComparesAnswers) or state.window is None:
        return None
    return target.pairs(state.window, plan.stable, plan.canary)


def _smoke(target: Target, plan: Plan) -> Smoke | None:
    return target.smoke(plan.canary) if isinstance(target, Smokes) else None


def _rewards(target: Target, state: RolloutState, plan: Plan) -> Mapping[RevisionId, Counts]:
    if not isinstance(target, Splits) or state.window is None or plan.experiment is None:
        return {}
    arms = {arm.id: arm for arm in (plan.stable, *plan.challengers)}
    return target.rewards(state.window, arms, plan.experiment.source)
