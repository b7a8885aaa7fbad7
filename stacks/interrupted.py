"""Rollouts whose driver was killed: carried on or given up, in traffic and books together."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from modelway.errors import TransitionError
from serving.rollout.driver import given_up
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Record, Records, resume_rollout
from serving.rollout.state import RolloutState
from serving.rollout.turns import Turn
from stacks.active import registry, serving_target
from stacks.drilled import undo_killed
from stacks.guards import require_alone, require_own, usurpers
from stacks.settling import settle_all
from stacks.standby import keep_warm

OnChange = Callable[[RolloutState], None]


def resume(name: str, *, who: str, on_change: OnChange | None = None) -> RolloutState:
    """Carry on the last rollout of a model to its end, the books included. One that is over moves no traffic.

    Raises:
        NotFoundError: There was none.
        TransitionError: Another process moves its traffic, or another model has the gateway since.
        ApprovalError: It was won, and may not be promoted; traffic is back on the champion.
    """
    target = serving_target(name)
    Records(target.root).require(name)
    with Records(target.root).turn(name, "`modelway rollout resume`", drives=True):
        return _carried_on(target, name, who, on_change)


def _carried_on(target: Any, name: str, who: str, on_change: OnChange | None) -> RolloutState:
    record = Records(target.root).require(name)
    if not record.state.finished:
        require_own(target, record)
        require_alone(target, name)
        _wake(target, record.plan)
    resume_rollout(target, name, root=target.root, on_change=on_change)
    state = settle_all(name, who=who).state
    keep_warm(registry(), target, name)
    return state


def _wake(target: Any, plan: Plan) -> None:
    """Start the gateway as it was meant to be; where its wishes were removed, with what a rollback needs."""
    if not isinstance(target, LocalTarget):
        return
    target.start()
    if plan.stable.id not in target.deployed():
        target.deploy(plan.stable, replicas=plan.replicas)


def abort(name: str, *, who: str, why: str, on_change: OnChange | None = None) -> RolloutState | Turn:
    """Give all traffic back to the stable revision. A rollout that already rolls back comes to its own end.

    Where another model has taken the gateway over since, the rollout is closed and no traffic moves.

    Returns:
        How it ended; where another process drives it and obeys at its next look, that one.

    Raises:
        NotFoundError: There was none.
        TransitionError: It is over; the books say what came of it. Or somebody else moves the traffic.
    """
    target = serving_target(name)
    if isinstance(target, LocalTarget) and (drill := undo_killed(target)):
        return drill
    records = Records(target.root)
    record = records.require(name)
    if record.state.finished:
        raise _over(resume(name, who=who))  # a kill may have left a challenger running, or the books behind
    records.ask_to_abort(name, f"{why} ({who})")
    turn = records.holder(name)
    if turn is not None and turn.drives:
        return turn
    with records.turn(name, "`modelway rollout abort`", drives=True):
        if others := usurpers(target, name):
            return _closed(target, records, name, f"{why} ({who}); {', '.join(others)} has the traffic")
        return _carried_on(target, name, who, on_change)


def _closed(target: Any, records: Records, name: str, why: str) -> RolloutState:
    """The rollout's end in its record alone; its challengers, which have no traffic, go."""
    record = records.require(name)
    if not record.state.finished:
        state = given_up(record.state, record.plan, datetime.now(UTC), why)
        record = Record(plan=record.plan, state=state)
        records.write(record)
    for arm in record.plan.challengers:
        if arm.id in target.idle():
            target.retire(arm.id)
    records.forget_abort(name)
    return record.state


def _over(state: RolloutState) -> TransitionError:
    name = state.service
    promoted = state.phase.value == "promoted"
    back = f"`modelway rollout back {name}` returns to the version before; " if promoted else ""
    return TransitionError(
        f"the last rollout of {name} is over: {state.phase.value}",
        expected="one that is under way",
        remedy=f"{back}`modelway rollout status {name}` shows it",
    )
