"""The rollout as a state machine. Pure: the present state and what is seen in, the next state and acts out.

DEPLOYING → STEP (shadow, 5 %, 25 %, …) → PROMOTED
        └──────────┴──→ ROLLING_BACK → ROLLED_BACK; ABORTED when somebody asked for it; KEPT when an
                                       a-b test found no difference

The stops come from the strategy (`strategies`); the road is the same for all. Acts follow from the
difference between what the state wants and what is in effect (`wishes`), so that a driver that was
killed anywhere asks for the same again when it goes on.
"""

from datetime import datetime

from modelway.contract import Outcome, Reason, Verdict
from serving.rollout import trial as ab
from serving.rollout.arms import Conclusion
from serving.rollout.evidence import Evidence, weigh
from serving.rollout.judge import hard_fault, judge
from serving.rollout.plan import PROMISED, Plan
from serving.rollout.state import Action, Facts, Moment, Phase, RolloutState
from serving.rollout.strategies import Strategy
from serving.rollout.target import Readiness, Window
from serving.rollout.wishes import all_back, deployed, in_effect, route_of, wanted


def begin(plan: Plan, at: datetime) -> RolloutState:
    """The state before anything was done."""
    state = RolloutState(
        plan_id=plan.id,
        service=plan.service,
        stable=plan.stable.id,
        canary=plan.canary.id,
        entered_at=at,
        looked_at=at,
        trial=ab.fresh(plan),
    )
    arms = " and ".join(arm.id for arm in plan.challengers)
    bare = plan.strategy is Strategy.BLUE_GREEN and not plan.mirror_first
    how = f"{plan.strategy.value}, nothing mirrored" if bare else plan.strategy.value
    return _noted(state, plan, at, f"{how}: {arms} over {plan.stable.id}")


def advance(state: RolloutState, seen: Facts, plan: Plan) -> tuple[RolloutState, tuple[Action, ...]]:
    """The next state, and what is still to be asked of the target.

    Persist the state, then act. Every action may be repeated.
    """
    if not state.finished:
        state = _next(state, seen, plan).model_copy(update={"looked_at": seen.at})
    return state, wanted(state, seen, plan)


def given_up(state: RolloutState, plan: Plan, at: datetime, why: str) -> RolloutState:
    """A promotion that somebody undid before it counted, as an abort."""
    update = {"phase": Phase.ABORTED, "aborted": True, "entered_at": at, "cause": f"aborted: {why}"}
    return _noted(state.model_copy(update=update), plan, at, why)


def _next(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    if state.phase is Phase.ROLLING_BACK:
        return _rolling_back(state, seen, plan)
    if seen.abort:
        aborted = state.model_copy(update={"aborted": True})
        return _roll_back(aborted, plan, seen.at, f"aborted: {seen.abort}")
    return _deploying(state, seen, plan) if state.phase is Phase.DEPLOYING else _stepping(state, seen, plan)


def _deploying(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    arms = [seen.of(arm.id, state.canary) for arm in plan.challengers]
    for arm in arms:
        if (fault := hard_fault(state.evidence, arm, plan.risk)) is not None:
            return _roll_back(state, plan, seen.at, fault.message, Verdict.of((fault,)))
    waiting = [arm for arm in arms if arm is None or not arm.complete]
    if not waiting:
        ready, asked = (sum(getattr(arm, name) for arm in arms) for name in ("ready", "wanted"))
        return _enter(state, plan, 0, seen.at, f"{ready} of {asked} replicas ready")
    if _older(state.entered_at, seen.at, plan.ready_deadline_s):
        return _roll_back(state, plan, seen.at, _not_ready(waiting[0], plan.ready_deadline_s))
    return state


def _stepping(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    state = _open_window(state, seen, plan)
    stop = plan.steps[state.step]
    if stop.split:
        return _testing(state, seen, plan)
    state = _readiness(state, seen)
    if state.window is not None and stop.smoke:
        state = _tried(state, seen)
    elif state.window is not None and seen.seen:
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
    if verdict is not None and verdict.passed and _may_go_on(state, seen, plan):
        return _onward(state, plan, seen.at, verdict)
    deadline_s = plan.deadline_s(state.step)
    if _older(state.entered_at, seen.at, deadline_s):
        said = verdict.summary() if verdict else "nothing was observed"
        late = f"no verdict within {deadline_s:g} s: {said}"
        return _roll_back(state, plan, seen.at, late, verdict)
    return state


def _may_go_on(state: RolloutState, seen: Facts, plan: Plan) -> bool:
    """A verdict of this very look, a canary that is ready, and a watch that is over."""
    fresh = bool(seen.seen) or seen.smoke is not None
    least_s = plan.steps[state.step].least_s
    watched = not least_s or _older(state.entered_at, seen.at, least_s)
    return fresh and watched and state.unready_since is None


def _testing(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    """The stop of an a-b test: a winner goes on alone, everything else ends on the stable revision."""
    if plan.experiment is None or state.trial is None:
        return state
    trial = ab.look(state, seen, plan, plan.experiment)
    before, state = state.trial, state.model_copy(update={"trial": trial})
    for line in ab.dropped_since(before, trial, seen.at):
        state = _noted(state, plan, seen.at, line)
    deadline_s = plan.deadline_s(state.step)
    late = _older(state.entered_at, seen.at, deadline_s)
    found = ab.ending(trial, late=late, deadline_s=deadline_s)
    if found is None:
        return state
    conclusion, why = found
    ended = trial.model_copy(update={"conclusion": conclusion})
    state = state.model_copy(update={"trial": ended, "canary": trial.winner or state.canary})
    if conclusion is Conclusion.WINNER:
        return _enter(state, plan, state.step + 1, seen.at, why)
    return _roll_back(state, plan, seen.at, why)


def _tried(state: RolloutState, seen: Facts) -> RolloutState:
    """What our own requests have shown."""
    if seen.smoke is None:
        return state
    smoke = seen.smoke
    outcome = Outcome.FAIL if smoke.wrong else (Outcome.PASS if smoke.asked else Outcome.INCONCLUSIVE)
    text = f"{smoke.wrong} of {smoke.asked} requests of ours answered wrongly {smoke.problem}".rstrip()
    reason = Reason(metric="smoke", outcome=outcome, message=text, found=smoke.wrong, samples=smoke.asked)
    return state.model_copy(update={"verdict": Verdict.of((reason,))})


def _onward(state: RolloutState, plan: Plan, at: datetime, verdict: Verdict) -> RolloutState:
    if state.step + 1 < len(plan.steps):
        return _enter(state, plan, state.step + 1, at, verdict.summary())
    done = state.model_copy(update={"phase": Phase.PROMOTED, "entered_at": at})
    return _noted(done, plan, at, verdict.summary(), verdict)


def _rolling_back(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    if seen.routing is None:
        return state
    if state.restored_at is None and all_back(seen.routing, state.stable):
        state = state.model_copy(update={"restored_at": seen.at})
        state = _noted(state, plan, seen.at, "all traffic is on the stable revision again")
    if state.restored_at is None or deployed(seen.routing, plan):
        return state
    level = state.trial is not None and state.trial.conclusion is Conclusion.NO_DIFFERENCE
    phase = Phase.ABORTED if state.aborted else (Phase.KEPT if level else Phase.ROLLED_BACK)
    done = state.model_copy(update={"phase": phase, "entered_at": seen.at})
    return _noted(done, plan, seen.at, state.cause)


def _open_window(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    if state.window is not None or seen.routing is None:
        return state
    if not in_effect(seen.routing, route_of(state, plan)):
        return state
    return state.model_copy(update={"window": Window(id=f"{plan.id}.{state.step}", opened_at=seen.at)})


def _readiness(state: RolloutState, seen: Facts) -> RolloutState:
    if seen.canary is not None and seen.canary.complete:
        return state.model_copy(update={"unready_since": None})
    return state if state.unready_since else state.model_copy(update={"unready_since": seen.at})


def _look(state: RolloutState, seen: Facts, plan: Plan) -> RolloutState:
    limits = plan.limits(state.step)
    stable, canary = seen.seen.get(state.stable), seen.seen.get(state.canary)
    evidence = weigh(state.evidence, stable, canary, limits, seen.pairs)
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


def _older(since: datetime, now: datetime, limit_s: float) -> bool:
    return (now - since).total_seconds() > limit_s


def _not_ready(canary: Readiness | None, limit_s: float) -> str:
    found = (
        "nothing is known of it" if canary is None else f"{canary.ready} of {canary.wanted} replicas ready"
    )
    problem = f" ({canary.problem})" if canary and canary.problem else ""
    return f"the canary was not ready within {limit_s:g} s: {found}{problem}"
