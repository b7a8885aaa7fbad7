"""The local gateway as load tests need it: one of our own for a while, or two revisions side by side."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from modelway.errors import ModelwayError, NotReadyError
from serving.gateway.desired import Layout
from serving.rollout.local import LocalTarget
from serving.rollout.target import Revision

if TYPE_CHECKING:
    from serving.rollout.kserve import KServeTarget

READY_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.1


@contextmanager
def gateway_for(revision: Revision, *, replicas: int = 1) -> Iterator[LocalTarget]:
    """A gateway on a free port with one revision behind it; nothing is left of it afterwards.

    Raises:
        NotReadyError: It did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="modelway-loadtest-") as folder:
        target = LocalTarget(Path(folder))
        try:
            target.serve(revision, replicas=replicas)
            yield target
        finally:
            target.stop()


@contextmanager
def side_by_side(target: LocalTarget, revisions: Sequence[Revision]) -> Iterator[None]:
    """Every revision ready to be asked by name; those that had to be started for it go again.

    They get no share of the traffic: only a request that pins them reaches them.

    Raises:
        NotRunningError: No gateway runs.
        NotReadyError: A revision did not become ready, or the gateway does not know it yet.
        ConfigError: A name already stands for another bundle.
    """
    target.gateway_url  # noqa: B018 - raises what to do when none runs
    started = [each for each in revisions if deployed(target, each.id) is None]
    try:
        for revision in started:
            target.deploy(revision, replicas=1)
        for revision in started:
            _wait_until_ready(target, revision)
        yield
    finally:
        for revision in started:
            with suppress(ModelwayError):  # whoever gave it traffic meanwhile keeps it
                target.retire(revision.id)


def deployed(target: LocalTarget, name: str) -> Revision | None:
    """The revision of that name, if the gateway of this target runs it."""
    spec = Layout(target.root).read_desired().revisions.get(name)
    if spec is None:
        return None
    return Revision(id=name, bundle=spec.bundle, digest=spec.digest, verify_key=spec.verify_key)


def server_pids(target: "LocalTarget | KServeTarget", revisions: Sequence[str] = ()) -> tuple[int, ...]:
    """Process ids of the predictors, of all revisions or of those named; none of a cluster's pods."""
    if not isinstance(target, LocalTarget):
        return ()
    status = target.status()
    if status is None:
        return ()
    fleets = [fleet for name, fleet in status.revisions.items() if not revisions or name in revisions]
    return tuple(each.pid for fleet in fleets for each in fleet.replicas if each.pid is not None)


def _wait_until_ready(target: LocalTarget, revision: Revision) -> None:
    """Its replicas answer, and the gateway lists it: a pin it does not know would be spread."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not _ready(target, revision):
        if time.monotonic() > deadline:
            found = target.ready(revision.id)
            raise NotReadyError(
                f"revision {revision.id} was not ready in time: {found.problem if found else 'not deployed'}",
                expected=f"ready within {READY_WITHIN_S:g} s",
                remedy=f"see the logs in {target.root / 'logs'}",
            )
        time.sleep(_LOOK_EVERY_S)


def _ready(target: LocalTarget, revision: Revision) -> bool:
    readiness, routing = target.ready(revision.id), target.routing()
    complete = readiness is not None and readiness.complete
    return complete and routing is not None and revision.id in routing.weights
