"""All traffic to another revision in one go; the one that had it stays until somebody lets it go."""

import time
from collections.abc import Callable, Mapping

from modelway.contract import Frozen
from modelway.errors import NotReadyError
from serving.rollout.strategies import FULL
from serving.rollout.target import Revision, RevisionId, Routing, Target

_POLL_S = 0.02


class Switched(Frozen):
    """What a switch did."""

    before: Mapping[RevisionId, int]
    """Percent per revision when it began."""
    to: RevisionId
    warm: bool
    """All its replicas were ready beforehand."""
    seconds: float
    """From the call until the gateway sent every request there."""


def switch(target: Target, revision: Revision, *, replicas: int = 1, limit_s: float = 60.0) -> Switched:
    """Wait until all replicas of a revision are ready, then send every request there.

    Until they are, traffic stays where it was. Repeatable.

    Args:
        target: Where revisions run; its gateway runs.
        revision: Who shall answer.
        replicas: How many of it, where it has to be started.
        limit_s: Seconds for the replicas, and again for the routes.

    Raises:
        NotReadyError: Its replicas or the routes did not come; in the first case no traffic was moved.
    """
    began_s = time.monotonic()
    before = weights_of(target.routing())
    warm = _complete(target, revision.id)
    if not warm:
        target.deploy(revision, replicas=replicas)
    _until(lambda: _complete(target, revision.id), limit_s, f"revision {revision.id}")
    target.route({revision.id: FULL})
    _until(lambda: weights_of(target.routing()) == {revision.id: FULL}, limit_s, "the new routes")
    return Switched(before=before, to=revision.id, warm=warm, seconds=time.monotonic() - began_s)


def weights_of(routing: Routing | None) -> dict[RevisionId, int]:
    """Revisions that have traffic, in percent; none where the gateway says nothing."""
    return {name: weight for name, weight in routing.weights.items() if weight} if routing else {}


def _complete(target: Target, revision: RevisionId) -> bool:
    found = target.ready(revision)
    return found is not None and found.complete


def _until(look: Callable[[], bool], limit_s: float, what: str) -> None:
    deadline_s = time.monotonic() + limit_s
    while not look():
        if time.monotonic() > deadline_s:
            raise NotReadyError(
                f"{what} did not come within {limit_s:g} s",
                expected="replicas that become ready and a gateway that follows",
                remedy="`modelway serve --status` and the gateway's logs say more",
            )
        time.sleep(_POLL_S)
