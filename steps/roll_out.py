"""Bring a version to traffic: canary under load, judged while it runs, promoted or rolled back."""

from typing import Annotated

from zenml import step

from loadtests.traffic import Traffic
from modelway.registry.model_version import ModelVersion
from stacks.release import Released, release


@step(enable_cache=False)  # a release is an act, not a value
def roll_out(
    version: ModelVersion,
    weights: tuple[int, ...],
    traffic: Traffic | None = None,
    strategy: str = "canary",
) -> Annotated[Released, "rollout_verdict"]:
    """With `traffic`, real rows are offered meanwhile; without, the judge waits for the users' own."""
    return release(version, who="flow:rollout", weights=weights, traffic=traffic, strategy=strategy)
