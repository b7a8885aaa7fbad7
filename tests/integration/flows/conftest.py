"""One real training of the vendored loans, shared by every test that looks at what it left."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from zenml.models import PipelineRunResponse

from flows.bridge import output
from flows.rollout import RolloutConfig, rollout_flow
from flows.training import TrainingConfig, training_flow
from modelway.home import Home
from modelway.registry.model_version import ModelVersion
from stacks.active import registry, serving_target
from stacks.release import Released

AS_OF = datetime(2005, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Training:
    """A run of the training flow, and the version as the registry knew it right afterwards."""

    config: TrainingConfig
    run: PipelineRunResponse
    version: ModelVersion
    challenger: ModelVersion


@pytest.fixture(scope="session")
def trained(orchestration: Home) -> Training:
    config = TrainingConfig(use_case="credit", as_of=AS_OF, trials=1, seed=7)
    run = training_flow(config)
    version = output(run, "registered_version")
    return Training(config, run, version, registry().get("credit", "challenger"))


@pytest.fixture(scope="session")
def released(trained: Training) -> Iterator[Released]:
    """The trained version behind a real gateway."""
    try:
        yield output(rollout_flow(RolloutConfig()), "rollout_verdict")
    finally:
        serving_target().stop()
