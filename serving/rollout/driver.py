"""The rollout as a state machine. Pure: the present state and what is seen in, the next state and acts out.

DEPLOYING → STEP (shadow, 5 %, 25 %, …) → PROMOTED
        └──────────┴──→ ROLLING_BACK → ROLLED_BACK, or ABORTED when somebody asked for it

Acts follow from the difference between what the state wants and what is in effect, so that a driver that
was killed anywhere asks for the same again when it goes on.
"""

from collections.abc import Mapping
from datetime import datetime

from modelway.contract import Outcome, Verdict
from serving.rollout.evidence import Evidence, weigh
from serving.rollout.judge import hard_fault, judge
from serving.rollout.plan import PROMISED, Plan
from serving.rollout.state import Action, Deploy, Facts, Moment, Phase, Retire, RolloutState, Route
from serving.rollout.target import Readiness, RevisionId, Routing, Window


def begin(plan: Plan, at: datetime) -> RolloutState:
    """The state before anything was done."""
    state = RolloutState(
        plan_id=plan.id,
        service=plan.service,
        stable=plan.stable.id,
        canary=plan.canary.id,
        entered_at=at,
        looked_at=at,
    )
    return _noted(state, plan, at, f"roll out {plan.canary.id} over {plan.stable.id}")


def advance(state: RolloutState, seen: Facts, plan: Plan) -> tuple[RolloutState, tuple[Action, ...]]:
    """The next state, and what is still to be asked of the target.

    Persist the state, then act. Every action may be repeated.
    """
    if not state.finished:
        state = _next(state, seen, plan).model_copy(update={"looked_at": seen.at})
    return state, _wanted(state, seen, plan)


def _next(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    if state.phase is Phase.ROLLING_BACK:
        return _rolling_back(state, seen, plan)
    if seen.abort:
        aborted = state.model_copy(update={"aborted": True})
        return _roll_back(aborted, plan, seen.at, f"aborted: {seen.abort}")
    return _deploying(state, seen, plan) if state.phase is Phase.DEPLOYING else _stepping(state, seen, plan)


def _deploying(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    fault = hard_fault(state.evidence, seen.canary, plan.risk)
    if fault is not None:
        return _roll_back(state, plan, seen.at, fault.message, Verdict.of((fault,)))
    if seen.canary is not None and seen.canary.complete:
        return _enter(state, plan, 0, seen.at, f"{seen.canary.ready} of {seen.canary.wanted} replicas ready")
    if _older(state.entered_at, seen.at, plan.ready_deadline_s):
        return _roll_back(state, plan, seen.at, _not_ready(seen.canary, plan.ready_deadline_s))
    return state


def _stepping(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    state = _open_window(state, seen, plan)
    state = _readiness(state, seen)
    if state.window is not None and seen.seen:
        state = _look(state, seen, plan)
    fault = hard_fault(state.evidence, seen.canary, plan.risk)
    if fault is not None:
        return _roll_back(state, plan, seen.at, fault.message, Verdict.of((fault,)))
    return _decide(state, seen, plan)


def _decide(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    verdict = state.verdict
    if verdict is not None and verdict.outcome is Outcome.FAIL:
        return _roll_back(state, plan, seen.at, verdict.summary(), verdict)
    if state.unready_since and _older(state.unready_since, seen.at, plan.ready_deadline_s):
        return _roll_back(state, plan, seen.at, _not_ready(seen.canary, plan.ready_deadline_s))
    if verdict is not None and verdict.passed and state.unready_since is None:
        return _onward(state, plan, seen.at, verdict)
    if _older(state.entered_at, seen.at, plan.step_deadline_s):
        said = verdict.summary() if verdict else "nothing was observed"
        late = f"no verdict within {plan.step_deadline_s:g} s: {said}"
        return _roll_back(state, plan, seen.at, late, verdict)
    return state


def _onward(state: RolloutState, plan: Plan, at: datetime, verdict: Verdict) -> RolloutState:
    if state.step + 1 < len(plan.steps):
        return _enter(state, plan, state.step + 1, at, verdict.summary())
    done = state.model_copy(update={"phase": Phase.PROMOTED, "entered_at": at})
    return _noted(done, plan, at, verdict.summary(), verdict)


def _rolling_back(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    if seen.routing is None:
        return state
    if state.restored_at is None and _in_effect(seen.routing, {state.stable: 100}, None):
        state = state.model_copy(update={"restored_at": seen.at})
        state = _noted(state, plan, seen.at, "all traffic is on the stable revision again")
    if state.restored_at is None or state.canary in seen.routing.weights:
        return state
    phase = Phase.ABORTED if state.aborted else Phase.ROLLED_BACK
    done = state.model_copy(update={"phase": phase, "entered_at": seen.at})
    return _noted(done, plan, seen.at, state.cause)


def _open_window(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    if state.window is not None or seen.routing is None:
        return state
    wanted = _route(state, plan)
    if not _in_effect(seen.routing, wanted.weights, wanted.mirror):
        return state
    return state.model_copy(update={"window": Window(id=f"{plan.id}.{state.step}", opened_at=seen.at)})


def _readiness(state: RolloutState, seen: Facts) -> RolloutState:
    if seen.canary is not None and seen.canary.complete:
        return state.model_copy(update={"unready_since": None})
    return state if state.unready_since else state.model_copy(update={"unready_since": seen.at})


def _look(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    limits = plan.limits(state.step)
    evidence = weigh(state.evidence, seen.seen.get(state.stable), seen.seen.get(state.canary), limits)
    bad = any(evidence.tallies[metric].canary.events for metric in PROMISED)
    return state.model_copy(
        update={
            "evidence": evidence,
            "verdict": judge(evidence, limits),
            "first_bad_at": state.first_bad_at or (state.looked_at if bad else None),
        }
    )


def _enter(state: RolloutState, plan: Plan, step: int, at: datetime, why: str) -> RolloutState:
    passed = state.verdict
    fresh = {"phase": Phase.STEP, "step": step, "entered_at": at, "window": None, "unready_since": None}
    clean = {"evidence": Evidence(), "verdict": None, "first_bad_at": None}
    return _noted(state.model_copy(update={**fresh, **clean}), plan, at, why, passed)


def _roll_back(
    state: RolloutState, plan: Plan, at: datetime, cause: str, verdict: Verdict | None = None
) -> RolloutState:
    update = {
        "phase": Phase.ROLLING_BACK,
        "entered_at": at,
        "cause": cause,
        "verdict": verdict or state.verdict,
    }
    return _noted(state.model_copy(update=update), plan, at, cause, verdict)


def _noted(
    state: RolloutState, plan: Plan, at: datetime, why: str, verdict: Verdict | None = None
) -> RolloutState:
    step = plan.steps[state.step].name if state.phase is Phase.STEP else ""
    moment = Moment(at=at, phase=state.phase, step=step, why=why, verdict=verdict)
    return state.model_copy(update={"timeline": (*state.timeline, moment)})


def _wanted(state: RolloutState, seen: Facts, plan: Plan) -> tuple[Action, ...]:
    """What the state asks for and is not in effect."""
    route = _route(state, plan)
    acts: list[Action] = []
    if state.phase in {Phase.DEPLOYING, Phase.STEP, Phase.PROMOTED} and seen.canary is None:
        acts.append(Deploy(revision=plan.canary, replicas=plan.replicas))
    if seen.routing is None or not _in_effect(seen.routing, route.weights, route.mirror):
        acts.append(route)
    acts.extend(Retire(revision=revision) for revision in _superfluous(state, seen))
    return tuple(acts)


def _superfluous(state: RolloutState, seen: Facts) -> tuple[RevisionId, ...]:
    deployed = seen.routing.weights if seen.routing else {}
    if state.phase is Phase.PROMOTED:
        return tuple(sorted(set(deployed) - {state.stable, state.canary}))
    leaving = state.phase is Phase.ROLLING_BACK and state.restored_at is not None
    return (state.canary,) if leaving else ()


def _route(state: RolloutState, plan: Plan) -> Route:
    if state.phase is Phase.PROMOTED:
        return Route(weights={state.canary: 100})
    if state.phase is not Phase.STEP:
        return Route(weights={state.stable: 100})
    step = plan.steps[state.step]
    shares = {state.stable: 100 - step.weight, state.canary: step.weight}
    weights = {revision: share for revision, share in shares.items() if share}
    return Route(weights=weights, mirror=state.canary if step.mirror else None)


def _in_effect(routing: Routing, weights: Mapping[RevisionId, int], mirror: RevisionId | None) -> bool:
    """Both say the same of every revision: one that is not named has no share."""
    named = {revision for revision, weight in routing.weights.items() if weight}
    same = all(routing.weights.get(revision, 0) == weight for revision, weight in weights.items())
    return same and named <= set(weights) and routing.mirror == mirror


def _older(since: datetime, now: datetime, limit_s: float) -> bool:
    return (now - since).total_seconds() > limit_s


def _not_ready(canary: Readiness | None, limit_s: float) -> str:
    found = (
        "nothing is known of it" if canary is None else f"{canary.ready} of {canary.wanted} replicas ready"
    )
    problem = f" ({canary.problem})" if canary and canary.problem else ""
    return f"the canary was not ready within {limit_s:g} s: {found}{problem}"
