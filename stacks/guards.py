"""Whose traffic is never moved by mistake: another model's, and that of a rollout that is under way."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from modelway.errors import TransitionError
from modelway.registry.registry import Registry
from modelway.registry.stages import Stage
from serving.rollout.local import LocalTarget
from serving.rollout.runner import Record, Records, unfinished
from serving.rollout.start import version_of
from serving.rollout.state import Phase
from serving.rollout.target import RevisionId, service_of
from serving.rollout.turns import busy
from stacks.drilled import SUFFIX

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
        raise unfinished(record)


def require_alone(target: "LocalTarget | KServeTarget", name: str) -> None:
    """Refuse to use a gateway that somebody uses for another model: it has one model's traffic.

    Also where that one's gateway was stopped: its rollout would take the traffic when it is carried on.

    Raises:
        TransitionError: Another model's rollout is unfinished, or its traffic is moved now.
    """
    records = Records(target.root)
    others = records.services() - {name} if isinstance(target, LocalTarget) else frozenset()
    for other in sorted(others):
        if (turn := records.holder(other)) is not None:
            raise busy(other, turn)
        if other.endswith(SUFFIX):
            _require_no_drill(records, other)
        else:
            require_idle(target, other)


def require_undriven(target: LocalTarget) -> None:
    """Refuse to stop a gateway while somebody moves traffic on it: a driver would wait for it in vain.

    Raises:
        TransitionError: Somebody does.
    """
    records = Records(target.root)
    for service in sorted(records.services()):
        if (turn := records.holder(service)) is not None:
            raise busy(service, turn)


def _require_no_drill(records: Records, service: str) -> None:
    model = service.removesuffix(SUFFIX)
    if (record := records.read(service)) is not None:
        raise TransitionError(
            f"a drill of {model} was killed, and {record.plan.canary.id} is bad on purpose",
            expected="no drill under way",
            remedy=f"`modelway rollout abort {model}` gives its traffic back, or drill once more",
        )


def usurpers(target: "LocalTarget | KServeTarget", name: str) -> tuple[RevisionId, ...]:
    """Revisions of other models that the gateway gives requests to, or would if it were started."""
    if not isinstance(target, LocalTarget):
        return ()
    return tuple(sorted(each for each in target.deployed() - target.idle() if service_of(each) != name))


def require_own(target: "LocalTarget | KServeTarget", record: Record) -> None:
    """Refuse to carry on a rollout whose gateway another model has taken over since.

    Raises:
        TransitionError: One has.
    """
    name = record.plan.service
    if not record.state.finished and (others := usurpers(target, name)):
        raise TransitionError(
            f"{', '.join(others)} has the traffic of this gateway since, no version of {name}",
            expected=f"the traffic that rollout {record.plan.id} was moving",
            remedy=f"`modelway rollout abort {name}` closes it and moves nothing",
        )


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
def alone(
    target: "LocalTarget | KServeTarget", name: str, what: str, *, drives: bool = False
) -> Iterator[None]:
    """Nobody else moves the service's traffic while inside, nor that of the gateway it is behind.

    Args:
        target: Where the service runs.
        name: Of the service.
        what: What for, in the words of whoever has to wait.
        drives: A rollout is driven inside: it looks for a note to abort.

    Raises:
        TransitionError: Another process moves it, or another model's rollout is unfinished.
    """
    with Records(target.root).turn(name, what, drives=drives):
        require_alone(target, name)  # after the turn is taken: of two that begin at once one sees the other
        yield
