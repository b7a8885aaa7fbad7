"""Rollout: a registered version to traffic, under load when asked, and back when it is worse."""

from typing import Literal

from pydantic import AwareDatetime, Field

from flows.bridge import ml_flow
from modelway.contract import Frozen
from modelway.errors import RolloutError
from stacks.release import WEIGHTS, Released
from steps.find_version import find_version
from steps.gather_traffic import gather_traffic
from steps.ingest_data import ingest_data
from steps.roll_out import roll_out


class Rehearsal(Frozen):
    """Real rows to offer during a canary, where users do not bring enough."""

    source: str | None = None
    as_of: AwareDatetime
    """The newest rows known then are replayed."""
    rate_rps: float = Field(default=200.0, gt=0)


class RolloutConfig(Frozen):
    """What to bring to traffic, and how carefully."""

    model: str = "credit"
    reference: str = "challenger"
    weights: tuple[int, ...] = WEIGHTS
    """Percent of traffic per step, rising to 100."""
    strategy: Literal["canary", "shadow-canary", "blue-green"] = "canary"
    """How it gets there; an a-b test has several arms: `modelway rollout ab`."""
    rehearsal: Rehearsal | None = None


@ml_flow(name="rollout")
def rollout_flow(config: RolloutConfig) -> None:
    """Artifacts: registered_version → rollout_verdict.

    Raises:
        RolloutError: The canary was rolled back; the stable version has all traffic.
    """
    version = find_version(config.model, config.reference)
    traffic = None
    if rehearsal := config.rehearsal:
        snapshot = ingest_data(config.model, rehearsal.source)
        traffic = gather_traffic(snapshot, rehearsal.as_of, rehearsal.rate_rps)
    require_live(roll_out(version, config.weights, traffic, config.strategy).load())


def require_live(released: Released) -> None:
    """Turn a rollout that ended in rollback into a failed run.

    Raises:
        RolloutError: It did.
    """
    if not released.live and released.rollout:
        raise RolloutError(
            f"{released.version.reference} was not promoted: {released.rollout.cause}",
            expected="a canary that keeps every limit",
            remedy=f"`modelway rollout status {released.version.name}` shows the evidence",
        )
