"""What a rollout would change on the active stack's cluster. Changes nothing."""

from collections.abc import Sequence
from typing import Any

from modelway.errors import ConfigError
from modelway.registry.model_version import ModelVersion
from serving.rollout.kserve import KServeTarget
from serving.rollout.plan import climbs
from serving.rollout.strategies import FULL, Strategy
from stacks.active import serving_target
from stacks.release import full_capacity, revision_for


def preview(
    version: ModelVersion, *, weights: Sequence[int], replicas: int | None, strategy: str = Strategy.CANARY
) -> str:
    """YAML diffs, one for each patch of a rollout in which every step passes.

    Args:
        version: Which.
        weights: Percent of traffic per step of a canary.
        replicas: Of its first step; None for the strategy's own.
        strategy: How it gets there.

    Raises:
        ConfigError: The stack serves on this machine, or it or the cluster would refuse the rollout.
        BundleRejectedError: The version's bundle does not verify.
    """
    target = serving_target(version.name)
    if not isinstance(target, KServeTarget):
        raise ConfigError(
            "--dry-run on a stack that serves on this machine",
            expected="a stack whose model deployer is of flavor `kserve`: its objects can be compared",
            remedy="switch to one, such as `kubernetes`, or start the rollout and abort it",
        )
    blue_green = strategy == Strategy.BLUE_GREEN
    _require_possible(strategy, weights)
    asked: dict[str, Any] = {"strategy": strategy, "replicas": replicas}
    needed = full_capacity(target, asked) if target.running else {}
    return target.planned_diff(
        revision_for(version),
        weights=(FULL,) if blue_green else weights,
        replicas=int(needed.get("replicas") or replicas or 1),
    )


def _require_possible(strategy: str, weights: Sequence[int]) -> None:
    if strategy not in {Strategy.CANARY, Strategy.BLUE_GREEN}:
        raise ConfigError(
            f"--dry-run of {strategy} on a cluster",
            expected="canary or blue-green: nothing mirrors traffic there",
            remedy="choose one of them",
        )
    if not climbs(weights):
        raise ConfigError(
            f"weights {', '.join(map(str, weights))}",
            expected="percentages rising from 1 or more to 100",
            remedy="for instance --weights 5,25,50,100",
        )
