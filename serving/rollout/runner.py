"""Drives a rollout on a target: persists the state, then acts, until it is finished.

`<root>/rollouts/<service>.json` holds plan and state. A driver that is killed at any point and started
again with the same plan goes on from there; actions may be repeated at no harm.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path

from modelway.contract import Frozen
from modelway.errors import NotFoundError, NotReadyError, TransientError, TransitionError
from serving.gateway.files import get, is_held, put
from serving.rollout.driver import advance, begin
from serving.rollout.plan import Plan
from serving.rollout.seeing import facts, require_able
from serving.rollout.sights import Promotes, Splits
from serving.rollout.state import Action, Deploy, Facts, Phase, Retire, RolloutState, Route
from serving.rollout.target import Target
from serving.rollout.turns import Turn, holder_of, taken
from serving.rollout.wishes import all_back, wanted


class Record(Frozen):
    """What is on disk: enough to go on and enough to explain."""

    plan: Plan
    state: RolloutState


class Records:
    """The rollouts below one root, one file per service."""

    def __init__(self, root: Path) -> None:
        """Name the folder; creates nothing."""
        self._folder = root.resolve() / "rollouts"

    def read(self, service: str) -> Record | None:
        """The last rollout of a service; None when there was none."""
        return get(self._folder / f"{service}.json", Record)

    def require(self, service: str) -> Record:
        """The last rollout of a service.

        Raises:
            NotFoundError: There was none.
        """
        record = self.read(service)
        if record is None:
            raise NotFoundError(
                f"no rollout of {service} is known",
                expected="one that was started here",
                remedy=f"start one with `modelway rollout start {service}@VERSION`",
            )
        return record

    def write(self, record: Record) -> None:
        """Replace the file at once."""
        put(self._folder / f"{record.plan.service}.json", record.model_dump_json(indent=1))

    def services(self) -> frozenset[str]:
        """Everybody who ever had a rollout here, or whose traffic somebody moves now."""
        found = (*self._folder.glob("*.json"), *self._folder.glob("*.lock"))
        return frozenset(path.stem for path in found if not path.name.startswith("."))

    def driver_lock(self, service: str) -> Path:
        """Held by the one process that moves this service's traffic."""
        return self._folder / f"{service}.lock"

    def is_driven(self, service: str) -> bool:
        """Some process moves its traffic now."""
        return is_held(self.driver_lock(service))

    def holder(self, service: str) -> Turn | None:
        """Which one; None while none does."""
        return holder_of(self.driver_lock(service))

    def turn(self, service: str, what: str, *, drives: bool = False) -> AbstractContextManager[None]:
        """Be that process while inside.

        Args:
            service: Whose traffic.
            what: What for, in the words of whoever has to wait.
            drives: It looks for a note to abort.

        Raises:
            TransitionError: Another process is.
        """
        return taken(self.driver_lock(service), service, what, drives=drives)

    def ask_to_abort(self, service: str, why: str) -> None:
        """Leave a note that the driver, or the next one, obeys."""
        put(self._abort_note(service), why)

    def abort_asked(self, service: str) -> str:
        """The note's text; empty when there is none."""
        with suppress(FileNotFoundError):
            return self._abort_note(service).read_text(encoding="utf-8") or "no reason given"
        return ""

    def forget_abort(self, service: str) -> None:
        """Remove the note: it belongs to the rollout that is over."""
        self._abort_note(service).unlink(missing_ok=True)

    def _abort_note(self, service: str) -> Path:
        return self._folder / f"{service}.abort"


def run_rollout(
    target: Target,
    plan: Plan,
    *,
    root: Path,
    on_change: Callable[[RolloutState], None] | None = None,
) -> RolloutState:
    """Carry a rollout to its end; blocks. The load has to come from elsewhere.

    A plan of the same id that is under way, or was killed, is carried on.

    Args:
        target: Where the revisions run.
        plan: What to do.
        root: Folder that holds `rollouts/`.
        on_change: Told of every look, after the state was persisted.

    Returns:
        The final state: promoted, rolled back or aborted.

    Raises:
        ConfigError: The target cannot do what the strategy needs.
        TransitionError: Another rollout of the service is unfinished, or another process drives it.
        NotReadyError: Traffic could not be restored in time; run it again to go on.
    """
    with Records(root).turn(plan.service, "a rollout", drives=True):
        return carry_out(target, plan, root=root, on_change=on_change)


def carry_out(
    target: Target, plan: Plan, *, root: Path, on_change: Callable[[RolloutState], None] | None = None
) -> RolloutState:
    """As `run_rollout`, by who has the service's turn already and keeps it for what comes afterwards."""
    require_able(target, plan)
    records = Records(root)
    return _drive(target, _begun(records, plan), records, on_change)


def resume_rollout(
    target: Target, service: str, *, root: Path, on_change: Callable[[RolloutState], None] | None = None
) -> RolloutState:
    """Carry on whatever rollout of the service was left, by who has the service's turn.

    Raises:
        NotFoundError: There was none.
    """
    return carry_out(target, Records(root).require(service).plan, root=root, on_change=on_change)


def _begun(records: Records, plan: Plan) -> Record:
    left = records.read(plan.service)
    if left is not None and left.plan.id == plan.id:
        return left
    if left is not None and not left.state.finished:
        raise unfinished(left)
    records.forget_abort(plan.service)
    record = Record(plan=plan, state=begin(plan, datetime.now(UTC)))
    records.write(record)
    return record


def _drive(
    target: Target,
    record: Record,
    records: Records,
    on_change: Callable[[RolloutState], None] | None,
) -> RolloutState:
    if record.state.finished:
        return _tidied(target, record, records)
    restoring_since_s: float | None = None
    while True:
        record, actions = look(target, record, records)
        for action in actions:
            _perform(target, action)
        if on_change is not None:
            on_change(record.state)
        if record.state.finished:
            return _tidied(target, record, records)
        if record.state.phase is Phase.ROLLING_BACK:
            restoring_since_s = restoring_since_s or time.monotonic()
            _require_progress(record, time.monotonic() - restoring_since_s)
        time.sleep(record.plan.look_every_s)


def _tidied(target: Target, record: Record, records: Records) -> RolloutState:
    """What a rollout that is over leaves to do. It moves no traffic: whoever has it now, has it since."""
    state, plan = record.state, record.plan
    routing = target.routing() if state.phase is Phase.PROMOTED else None
    undone = routing is not None and not all_back(routing, state.canary)
    if state.phase is Phase.PROMOTED and not undone:
        for action in wanted(state, Facts(at=state.looked_at, routing=routing), plan):
            if isinstance(action, Retire):
                _perform(target, action)
        if isinstance(target, Promotes):
            target.promote(state.canary)
    records.forget_abort(plan.service)
    return state


def look(target: Target, record: Record, records: Records) -> tuple[Record, tuple[Action, ...]]:
    """See, decide, and persist what was decided. The actions are the caller's to perform."""
    plan, state = record.plan, record.state
    seen = facts(target, state, plan, records.abort_asked(plan.service))
    after, actions = advance(state, seen, plan)
    moved = Record(plan=plan, state=after)
    records.write(moved)
    if after.window is not None and after.window != state.window:
        with suppress(TransientError):  # then the next look opens it
            target.observe(after.window)
    return moved, actions


def _perform(target: Target, action: Action) -> None:
    match action:
        case Deploy(revision=revision, replicas=replicas):
            target.deploy(revision, replicas=replicas)
        case Route(slots=slots, key_header=header) if slots and isinstance(target, Splits):
            target.split(slots, key_header=header)
        case Route(weights=weights, mirror=mirror):
            target.route(weights, mirror=mirror)
        case Retire(revision=revision):
            target.retire(revision)


def _require_progress(record: Record, restoring_s: float) -> None:
    state, plan = record.state, record.plan
    if restoring_s > plan.restore_deadline_s:
        raise NotReadyError(
            f"rollout {plan.id} is not rolled back after {restoring_s:.0f} s ({state.cause})",
            expected=f"all traffic on {state.stable} within {plan.restore_deadline_s:g} s",
            remedy="look at the gateway's logs, then resume the rollout",
        )


def unfinished(left: Record) -> TransitionError:
    """For who finds a rollout that is not over and is not his."""
    service = left.plan.service
    return TransitionError(
        f"{service}: rollout {left.plan.id} stands at {left.state.phase.value}",
        expected="no rollout under way",
        remedy=f"`modelway rollout abort {service}` ends it and gives back what traffic it moved; "
        "`resume` carries it on",
    )
