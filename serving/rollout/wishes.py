"""What a state asks for that is not in effect. Pure; asked again after a kill, it asks for the same."""

from collections.abc import Mapping

from serving.rollout.arms import shares, slots
from serving.rollout.plan import Plan
from serving.rollout.sights import Slot
from serving.rollout.state import Action, Deploy, Facts, Phase, Retire, RolloutState, Route
from serving.rollout.strategies import FULL
from serving.rollout.target import RevisionId, Routing


def wanted(state: RolloutState, seen: Facts, plan: Plan) -> tuple[Action, ...]:
    """What is still to be asked of the target."""
    acts: list[Action] = []
    if state.phase in {Phase.DEPLOYING, Phase.STEP, Phase.PROMOTED}:
        acts.extend(
            Deploy(revision=each, replicas=plan.replicas)
            for each in plan.challengers
            if each.id in _needed(state, plan) and seen.of(each.id, state.canary) is None
        )
    route = route_of(state, plan)
    if seen.routing is None or not in_effect(seen.routing, route):
        acts.append(route)
    acts.extend(Retire(revision=revision) for revision in _superfluous(state, seen, plan))
    return tuple(acts)


def route_of(state: RolloutState, plan: Plan) -> Route:
    """Who shall get which share of the traffic now."""
    if state.phase is Phase.PROMOTED:
        return Route(weights={state.canary: FULL})
    if state.phase is not Phase.STEP:
        return Route(weights={state.stable: FULL})
    step = plan.steps[state.step]
    if step.split and plan.experiment is not None and state.trial is not None:
        cut = slots(plan.experiment, state.trial, state.stable)
        return Route(weights=shares(cut), slots=cut, key_header=plan.experiment.key_header)
    both = {state.stable: FULL - step.weight, state.canary: step.weight}
    weights = {revision: share for revision, share in both.items() if share}
    return Route(weights=weights, mirror=state.canary if step.mirror else None)


def in_effect(routing: Routing, route: Route) -> bool:
    """Both say the same of every revision: one that is not named has no share."""
    named = {revision for revision, weight in routing.weights.items() if weight}
    same = all(routing.weights.get(revision, 0) == weight for revision, weight in route.weights.items())
    alike = (routing.mirror, routing.key_header, routing.slots) == (
        route.mirror,
        route.key_header,
        _pairs(route.slots),
    )
    return same and named <= set(route.weights) and alike


def all_back(routing: Routing, stable: RevisionId) -> bool:
    """The stable revision alone has traffic."""
    return in_effect(routing, Route(weights={stable: FULL}))


def deployed(routing: Routing, plan: Plan) -> frozenset[RevisionId]:
    """Challengers that are still there."""
    return frozenset(arm.id for arm in plan.challengers) & frozenset(routing.weights)


def _needed(state: RolloutState, plan: Plan) -> frozenset[RevisionId]:
    """Challengers that shall run: in an a-b test all but the dropped ones."""
    testing = state.phase is Phase.DEPLOYING or (state.phase is Phase.STEP and plan.steps[state.step].split)
    if testing and state.trial is not None:
        return frozenset(state.trial.alive)
    return frozenset({state.canary})


def _superfluous(state: RolloutState, seen: Facts, plan: Plan) -> tuple[RevisionId, ...]:
    there: Mapping[RevisionId, int] = seen.routing.weights if seen.routing else {}
    if state.phase is Phase.PROMOTED:
        return tuple(sorted(set(there) - {state.stable, state.canary, *plan.keep}))
    leaving = state.phase is Phase.ROLLING_BACK and state.restored_at is not None
    if not leaving:
        return ()
    return tuple(arm.id for arm in plan.challengers if seen.routing is None or arm.id in there)


def _pairs(cut: tuple[Slot, ...]) -> tuple[tuple[RevisionId, int], ...]:
    return tuple((slot.revision, slot.percent) for slot in cut)
