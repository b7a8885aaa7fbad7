"""From a registered version to live traffic on the active stack: judged, then written into the registry."""

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from loadtests.traffic import Traffic, offered
from modelway.contract import Frozen
from modelway.errors import TransitionError
from modelway.registry.model_version import ModelVersion
from modelway.registry.stages import Stage
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Records, carry_out
from serving.rollout.sights import Sized
from serving.rollout.start import plan_over_live
from serving.rollout.state import RolloutState
from serving.rollout.strategies import Strategy
from serving.rollout.target import Revision
from stacks.active import registry, reports_folder, serving_target
from stacks.guards import alone, require_free, require_idle
from stacks.settling import settle, settle_all
from stacks.standby import keep_warm, loaded, replicas_of, revision_in

if TYPE_CHECKING:
    from serving.rollout.kserve import KServeTarget

WEIGHTS = (5, 25, 50, 100)


class Manner(StrEnum):
    """How a version came to its traffic."""

    COMPARED = "compared"
    """By the rollout that was asked for."""
    FIRST = "first"
    """Nothing was in production."""
    AGAIN = "again"
    """It was in production already."""
    SETTLED = "settled"
    """By a rollout that was won before and was missing in the books."""


class Released(Frozen):
    """What came of bringing a version to traffic."""

    version: ModelVersion
    """As it stands afterwards: in Production, or archived."""
    url: str
    """Where the service answers."""
    rollout: RolloutState | None
    """None where this call compared nothing."""
    manner: Manner = Manner.COMPARED

    @property
    def live(self) -> bool:
        """The version has all traffic now."""
        return self.version.stage is Stage.PRODUCTION


def revision_for(version: ModelVersion) -> Revision:
    """The revision under which a version serves, its bundle verified; always the same for a version.

    Raises:
        BundleRejectedError: The bundle does not verify.
    """
    return revision_in(registry(), version)


def release(
    version: ModelVersion,
    *,
    who: str,
    traffic: Traffic | None = None,
    on_plan: Callable[[Plan, float | None], None] | None = None,
    on_change: Callable[[RolloutState], None] | None = None,
    **plan_options: Any,
) -> Released:
    """Bring a version that passed its gates to traffic, step by step when another one serves.

    A release that was killed is carried on by calling this again.

    Args:
        version: The version; its stage and verdict are checked when the registry promotes it.
        who: Person or program, for the audit log.
        traffic: Real rows to offer meanwhile; None leaves the requests to the users.
        on_plan: Told of the plan and the present requests per second (None: not known) before it begins.
        on_change: Told of every look of the rollout.
        plan_options: As `serving.rollout.start.plan_over_live` takes them: strategy, weights, replicas …

    Raises:
        GateError: The version did not pass its gates.
        ApprovalError: The stack's rules for production are not kept; the champion has all traffic.
        BundleRejectedError: Its bundle does not verify.
        NotReadyError: A first release did not come up.
        TransitionError: Another model has the gateway's traffic, another rollout is under way, or the version
            is archived: by the end of its own last rollout, if that was not in the books yet.
    """
    target = serving_target(version.name)
    with alone(target, version.name, f"the rollout of {version.reference}", drives=True):
        require_free(target, version.name)
        now = _settled(target, version, who)
        champion = registry().champion(version.name)
        if champion is None or champion.version == now.version:
            return _serve_at_once(version, now, who)
        registry().approvals.check(version.name, version.version, who=who)
        wake(target, champion)
        plan = _planned(target, now, plan_options)
        if on_plan is not None:
            on_plan(plan, present_rate_rps(target, traffic))
        out = reports_folder() / "rollouts" / plan.id
        with offered(traffic, url=target.gateway_url, model=version.name, slo=plan.slo, out=out):
            state = carry_out(target, plan, root=target.root, on_change=on_change)
        booked = settle(now, state, who=who)
        keep_warm(registry(), target, version.name)
    return Released(version=booked, url=target.gateway_url, rollout=state)


def _planned(target: "LocalTarget | KServeTarget", version: ModelVersion, options: dict[str, Any]) -> Plan:
    bundle = registry().bundle(version.name, version.version)
    options = full_capacity(target, options) | {"keep": loaded(registry(), target, version.name)}
    return plan_over_live(target, bundle, revision_for(version), **options)


def _settled(target: "LocalTarget | KServeTarget", version: ModelVersion, who: str) -> ModelVersion:
    """The version as it stands in the books; a kill may have come between its last traffic and them."""
    if Records(target.root).read(version.name) is not None:
        settle_all(version.name, who=who)
    now = registry().get(version.name, version.version)
    if now.stage is Stage.ARCHIVED:
        raise TransitionError(
            f"{now.reference} is in {now.stage.value}",
            expected="a version in Staging: the books could not call an archived one live",
            remedy=f"`modelway rollout status {now.name}` shows how the last rollout ended; roll out another",
        )
    return now


def full_capacity(target: object, options: dict[str, Any]) -> dict[str, Any]:
    """The options; blue-green gets as many replicas as the live revision has, unless it is told."""
    known = {name: value for name, value in options.items() if value is not None}
    blue_green = known.get("strategy") == Strategy.BLUE_GREEN
    if blue_green and "replicas" not in known and isinstance(target, Sized):
        known["replicas"] = target.capacity()
    return known


def present_rate_rps(target: object, traffic: Traffic | None) -> float | None:
    """Requests per second: what will be offered, else what is answered now; None where nobody can say."""
    if traffic is not None:
        return traffic.rate_rps
    return target.rate_rps() if isinstance(target, LocalTarget) else None


def wake(target: "LocalTarget | KServeTarget", champion: ModelVersion) -> None:
    """See that something serves: what did when the gateway was killed, else the champion."""
    if target.running:
        return
    if isinstance(target, LocalTarget) and target.meant():
        target.start()
    else:
        target.serve(revision_for(champion))


def _serve_at_once(asked: ModelVersion, version: ModelVersion, who: str) -> Released:
    """The first release, or the champion again, e.g. after a restart of the machine.

    Args:
        asked: As it stood when it was asked for.
        version: As it stands now.
        who: Person or program, for the audit log.
    """
    manner = Manner.AGAIN if asked.stage is Stage.PRODUCTION else Manner.SETTLED
    if version.stage is not Stage.PRODUCTION:
        manner = Manner.FIRST
        registry().approvals.check(version.name, version.version, who=who)
    target, revision = serving_target(version.name), revision_for(version)
    require_idle(target, version.name)
    url = target.serve(revision, replicas=replicas_of(target, revision.id))
    if version.stage is not Stage.PRODUCTION:
        why = "first release: no version was in production"
        version = registry().promote(version.name, version.version, who=who, why=why)
    keep_warm(registry(), target, version.name)
    return Released(version=version, url=url, rollout=None, manner=manner)
