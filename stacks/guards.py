"""Whose traffic is never moved by mistake: another model's, and that of a rollout that is under way."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from modelway.errors import TransitionError
from modelway.registry.registry import Registry
from modelway.registry.stages import Stage
from serving.gateway.files import Holder
from serving.rollout.local import LocalTarget
from serving.rollout.runner import Records
from serving.rollout.start import version_of
from serving.rollout.state import Phase
from serving.rollout.target import RevisionId, service_of

if TYPE_CHECKING:
    from serving.rollout.kserve import KServeTarget


def require_free(target: "LocalTarget | KServeTarget", name: str) -> None:
    """Refuse to take the traffic of another model: the books would still call that one live.

    A cluster serves each model under its own name: there is nothing to take.

    Raises:
        TransitionError: The gateway serves another model, or did until it was killed.
    """
    if isinstance(target, LocalTarget):
        refuse_others(name, target.meant())


def refuse_others(name: str, holders: Collection[RevisionId]) -> None:
    """As `require_free`, of revisions that have traffic.

    Raises:
        TransitionError: One of them is of another model.
    """
    if others := sorted(each for each in holders if service_of(each) != name):
        raise TransitionError(
            f"{', '.join(others)} has the traffic of this gateway, no version of {name}",
            expected=f"a version of {name}, or nothing, behind the gateway",
            remedy=f"`modelway serve {name} --instead` takes its traffic; or use a home of its own "
            "(MODELWAY_HOME) for each model",
        )


def require_idle(target: "LocalTarget | KServeTarget", name: str) -> None:
    """Refuse to move traffic that a rollout of the service moves, or goes on moving when it is resumed.

    Raises:
        TransitionError: One is unfinished.
    """
    record = Records(target.root).read(name)
    if record is not None and not record.state.finished:
        raise _under_way(name, f"rollout {record.plan.id} stands at {record.state.phase.value}")


def require_booked(
    target: "LocalTarget | KServeTarget", models: Registry, name: str, holders: Collection[RevisionId]
) -> None:
    """Refuse to go back from what the books do not know of yet: it would go one version too far.

    Raises:
        TransitionError: The last rollout gave a version its traffic, and was killed before that was entered.
    """
    record = Records(target.root).read(name)
    if record is None or record.state.phase is not Phase.PROMOTED or record.state.canary not in holders:
        return
    number = version_of(record.state.canary)
    if number is not None and models.get(name, number).stage is Stage.STAGING:
        raise TransitionError(
            f"{record.state.canary} has the traffic, and its promotion is not in the books",
            expected="a rollout that is over in both",
            remedy=f"`modelway rollout resume {name}` enters it; then go back",
        )


@contextmanager
def alone(target: "LocalTarget | KServeTarget", name: str) -> Iterator[None]:
    """No rollout of the service begins or goes on while inside.

    Raises:
        TransitionError: Another process moves its traffic.
    """
    holder = Holder(Records(target.root).driver_lock(name))
    if not holder.take():
        raise _under_way(name, "another process moves its traffic")
    try:
        yield
    finally:
        holder.release()


@contextmanager
def alone_behind(target: "LocalTarget", name: str) -> Iterator[None]:
    """As `alone` and `require_idle`, of `name` and of every model whose traffic the gateway has.

    Raises:
        TransitionError: A rollout of one of them is under way or unfinished.
    """
    with ExitStack() as held:
        for service in sorted({name, *map(service_of, target.meant())}):
            held.enter_context(alone(target, service))
            require_idle(target, service)
        yield


def _under_way(name: str, found: str) -> TransitionError:
    return TransitionError(
        f"{name}: {found}",
        expected="no rollout under way",
        remedy=f"`modelway rollout abort {name}` gives all traffic back to the stable version first",
    )
