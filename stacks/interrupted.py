"""Rollouts whose driver was killed: carried on or given up, in traffic and books together."""

from collections.abc import Callable

from modelway.errors import TransitionError
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Records, resume_rollout
from serving.rollout.state import RolloutState
from stacks.active import registry, serving_target
from stacks.settling import settle_all
from stacks.standby import keep_warm

OnChange = Callable[[RolloutState], None]


def resume(name: str, *, who: str, on_change: OnChange | None = None) -> RolloutState:
    """Carry on the last rollout of a model to its end, the books included. One that is over moves no traffic.

    Raises:
        NotFoundError: There was none.
        TransitionError: Another process drives it.
        ApprovalError: It was won, and may not be promoted; traffic is back on the champion.
    """
    target = serving_target(name)
    record = Records(target.root).require(name)
    if not record.state.finished and isinstance(target, LocalTarget):
        _wake(target, record.plan)
    resume_rollout(target, name, root=target.root, on_change=on_change)
    state = settle_all(name, who=who).state
    keep_warm(registry(), target, name)
    return state


def _wake(target: LocalTarget, plan: Plan) -> None:
    """Start the gateway as it was meant to be; where its wishes were removed, with what a rollback needs."""
    target.start()
    if plan.stable.id not in target.deployed():
        target.deploy(plan.stable, replicas=plan.replicas)


def abort(name: str, *, who: str, why: str, on_change: OnChange | None = None) -> RolloutState | None:
    """Give all traffic back to the stable revision. A rollout that already rolls back comes to its own end.

    Returns:
        How it ended; None where another process drives it and obeys at its next look.

    Raises:
        NotFoundError: There was none.
        TransitionError: It is over; the books say what came of it.
    """
    records = Records(serving_target(name).root)
    record = records.require(name)
    if record.state.finished:
        raise _over(resume(name, who=who))  # a kill may have left a challenger running, or the books behind
    records.ask_to_abort(name, f"{why} ({who})")
    return None if records.is_driven(name) else resume(name, who=who, on_change=on_change)


def _over(state: RolloutState) -> TransitionError:
    name = state.service
    promoted = state.phase.value == "promoted"
    back = f"`modelway rollout back {name}` returns to the version before; " if promoted else ""
    return TransitionError(
        f"the last rollout of {name} is over: {state.phase.value}",
        expected="one that is under way",
        remedy=f"{back}`modelway rollout status {name}` shows it",
    )
