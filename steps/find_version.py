"""Name a registered version once, so that all later steps mean the same one."""

from typing import Annotated

from zenml import step

from modelway.registry.model_version import ModelVersion
from stacks.active import registry


@step(enable_cache=False)  # an alias moves
def find_version(model: str, reference: str) -> Annotated[ModelVersion, "registered_version"]:
    """By number or alias."""
    return registry().get(model, reference)
