"""From a bundle to a plan: what a command or a flow needs before it can run a rollout."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from modelway.bundle.bundle import Bundle
from modelway.errors import ConfigError, TransitionError
from serving.rollout.experiment import Experiment
from serving.rollout.plan import Plan
from serving.rollout.runner import Records
from serving.rollout.sights import ComparesAnswers
from serving.rollout.state import Phase
from serving.rollout.target import Revision, RevisionId, service_of


class Hosts(Protocol):
    """What a plan needs to know of a target."""

    @property
    def root(self) -> Path:
        """Folder of the rollouts' records."""
        ...

    def live(self) -> Revision:
        """The revision that has all traffic."""
        ...


def revision_of(bundle: Bundle, *, verify_key: Path, version: int | None = None) -> Revision:
    """The revision a bundle runs as: `credit-v3`, or `credit-1a2b3c4d` for one without a version."""
    suffix = f"v{version}" if version is not None else bundle.digest[:8]
    name = f"{bundle.signature.model_name}-{suffix}"
    return Revision(id=name, bundle=bundle.path, digest=bundle.digest, verify_key=verify_key)


def version_of(revision: RevisionId) -> int | None:
    """The registered version that a revision runs; None for a bundle without one."""
    number = revision.rpartition("-v")[2]
    return int(number) if number.isascii() and number.isdecimal() else None


def plan_over_live(target: Hosts, bundle: Bundle, canary: Revision, **options: Any) -> Plan:
    """A plan from whatever is live now to `canary`, on the SLO in the canary's bundle.

    An unfinished rollout of the same challengers is carried on: its plan is returned. So is one that gave
    one of them all traffic already: whoever asks again was killed before that was entered in the books.

    Args:
        target: Where the live revision runs.
        bundle: The canary's.
        canary: The revision to bring in.
        options: Other fields of `Plan`: weights, shadow, replicas, step_deadline_s, look_every_s, risk.

    Raises:
        NotRunningError: No gateway runs.
        ConfigError: The options or the SLO do not make a plan.
        TransitionError: The canary is live already, another model is, or nobody has all traffic.
    """
    service = bundle.signature.model_name
    left = Records(target.root).read(service)
    same = left is not None and left.plan.challengers == _challengers(canary, options.get("experiment"))
    if left is not None and same and not left.state.finished:
        return left.plan
    stable = target.live()
    if left is not None and same and left.state.phase is Phase.PROMOTED and left.state.canary == stable.id:
        return left.plan
    _require_own(service, stable)
    if stable.id == canary.id:
        raise TransitionError(
            f"{canary.id} has all traffic already",
            expected="another revision than the live one",
            remedy="name a newer version",
        )
    name = f"{canary.id}.{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    options.setdefault("mirror_first", isinstance(target, ComparesAnswers))
    return _plan(id=name, service=service, stable=stable, canary=canary, slo=bundle.slo, **options)


def _challengers(canary: Revision, experiment: Experiment | None) -> tuple[Revision, ...]:
    return (canary, *(experiment.more_arms if experiment else ()))


def _require_own(service: str, stable: Revision) -> None:
    """A rollout over another model's version would send that one's requests to this."""
    if service_of(stable.id) != service:
        raise TransitionError(
            f"{stable.id} has all traffic, no version of {service}",
            expected=f"a version of {service} behind the gateway",
            remedy=f"`modelway serve {service} --instead` takes its traffic; or use a home of its own "
            "(MODELWAY_HOME) for each model",
        )


def _plan(**fields: Any) -> Plan:
    try:
        return Plan(**fields)
    except ValidationError as error:
        raise ConfigError(
            f"no rollout can be planned so: {error.errors()[0]['msg']}",
            expected="weights rising to 100 and an SLO that requests can show to be kept",
            remedy="change the weights, or the SLO in the use case",
        ) from error
