"""What a rollout would change on the active stack's cluster. Changes nothing."""

from collections.abc import Sequence

from modelway.errors import ConfigError
from modelway.registry.model_version import ModelVersion
from serving.rollout.kserve import KServeTarget
from stacks.active import serving_target
from stacks.release import revision_for


def preview(version: ModelVersion, *, weights: Sequence[int], replicas: int) -> str:
    """YAML diffs, one for each patch of a rollout in which every step passes.

    Raises:
        ConfigError: The stack serves on this machine, or the cluster would refuse the rollout.
        BundleRejectedError: The version's bundle does not verify.
    """
    target = serving_target(version.name)
    if not isinstance(target, KServeTarget):
        raise ConfigError(
            "--dry-run on a stack that serves on this machine",
            expected="a stack whose model deployer is of flavor `kserve`: its objects can be compared",
            remedy="switch to one, such as `kubernetes`, or start the rollout and abort it",
        )
    return target.planned_diff(revision_for(version), weights=weights, replicas=replicas)
