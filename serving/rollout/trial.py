"""The one stop of an a-b test: guard every arm, weigh the rewards, conclude. Pure."""

from datetime import datetime

from modelway.contract import Outcome
from serving.rollout.arms import ArmTrial, Conclusion, Trial, conclude, reward, told
from serving.rollout.evidence import weigh
from serving.rollout.experiment import Experiment
from serving.rollout.judge import hard_fault, judge
from serving.rollout.plan import Plan
from serving.rollout.state import Facts, RolloutState
from serving.rollout.target import RevisionId


def fresh(plan: Plan) -> Trial | None:
    """All challengers, untried; None where the plan is no a-b test."""
    return Trial(arms={arm.id: ArmTrial() for arm in plan.challengers}) if plan.experiment else None


def look(state: RolloutState, seen: Facts, plan: Plan, experiment: Experiment) -> Trial:
    """One look at all arms: drop those that break a guardrail, settle the bets, conclude."""
    trial = state.trial or Trial(arms={})
    arms = {name: _guard(name, arm, state, seen, plan) for name, arm in trial.arms.items()}
    trial = reward(trial.model_copy(update={"arms": arms}), seen.rewards, state.stable, experiment.effect)
    return conclude(trial, experiment)


def _guard(name: RevisionId, arm: ArmTrial, state: RolloutState, seen: Facts, plan: Plan) -> ArmTrial:
    if arm.dropped:
        return arm
    limits, verdict = plan.limits(state.step), arm.verdict
    guard = arm.guard
    if state.window is not None and seen.seen:
        guard = weigh(guard, seen.seen.get(state.stable), seen.seen.get(name), limits)
        verdict = judge(guard, limits)
    fault = hard_fault(guard, seen.of(name, state.canary), plan.risk)
    broken = verdict is not None and verdict.outcome is Outcome.FAIL
    why = fault.message if fault else (verdict.summary() if broken and verdict else "")
    return arm.model_copy(update={"guard": guard, "verdict": verdict, "dropped": why})


def ending(trial: Trial, *, late: bool, deadline_s: float) -> tuple[Conclusion, str] | None:
    """What to conclude and why; None while the test goes on."""
    if trial.conclusion is not None:
        return trial.conclusion, f"{trial.conclusion.value}: {told(trial)}"
    if not trial.alive:
        return Conclusion.INCONCLUSIVE, f"no challenger kept the guardrails: {told(trial)}"
    if late:
        return Conclusion.INCONCLUSIVE, f"inconclusive after {deadline_s:g} s: {told(trial)}"
    return None


def dropped_since(before: Trial | None, now: Trial, at: datetime) -> tuple[str, ...]:
    """A line per arm that lost its traffic at this look."""
    return tuple(
        f"{name} is out at {at:%H:%M:%S}: {arm.dropped}"
        for name, arm in now.arms.items()
        if arm.dropped and not (before and before.arms[name].dropped)
    )
