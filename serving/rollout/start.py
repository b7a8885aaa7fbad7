"""From a bundle to a plan: what a command or a flow needs before it can run a rollout."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelway.bundle.bundle import Bundle
from modelway.errors import ConfigError, TransitionError
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan, Risk
from serving.rollout.runner import Records
from serving.rollout.target import Revision


def revision_of(bundle: Bundle, *, verify_key: Path, version: int | None = None) -> Revision:
    """The revision a bundle runs as: `credit-v3`, or `credit-1a2b3c4d` for one without a version."""
    suffix = f"v{version}" if version is not None else bundle.digest[:8]
    name = f"{bundle.signature.model_name}-{suffix}"
    return Revision(id=name, bundle=bundle.path, digest=bundle.digest, verify_key=verify_key)


def plan_over_live(  # noqa: PLR0913 - what a person may decide about a rollout
    target: LocalTarget,
    bundle: Bundle,
    canary: Revision,
    *,
    weights: tuple[int, ...] = (5, 25, 50, 100),
    shadow: bool = False,
    replicas: int = 1,
    step_deadline_s: float = 300.0,
    risk: Risk | None = None,
) -> Plan:
    """A plan from whatever is live now to `canary`, on the SLO in the canary's bundle.

    An unfinished rollout to the same revision is carried on: its plan is returned.

    Raises:
        NotRunningError: No gateway runs.
        ConfigError: The weights or the SLO do not make a plan.
        TransitionError: The canary is live already, or another rollout is unfinished.
    """
    service = bundle.signature.model_name
    left = Records(target.root).read(service)
    if left is not None and not left.state.finished and left.plan.canary == canary:
        return left.plan
    stable = target.live()
    if stable.id == canary.id:
        raise TransitionError(
            f"{canary.id} has all traffic already",
            expected="another revision than the live one",
            remedy="name a newer version",
        )
    return _plan(
        id=f"{canary.id}.{datetime.now(UTC):%Y%m%dT%H%M%S.%f}",
        service=service,
        stable=stable,
        canary=canary,
        slo=bundle.slo,
        weights=weights,
        shadow=shadow,
        replicas=replicas,
        step_deadline_s=step_deadline_s,
        risk=risk or Risk(),
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
