"""What a stack file may say. Closed: a misspelt key is an error that names it."""

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml
from pydantic import Field, ValidationError

from modelway.contract import Frozen, finding
from modelway.errors import ConfigError
from modelway.home import Home
from modelway.registry.governance import GovernancePolicy

SHIPPED = Path(__file__).resolve().parent
"""Folder of the stack files that come with Modelway."""


class ComponentSpec(Frozen):
    """One component of a stack."""

    flavor: str
    """Name of a ZenML flavor, built in or given by `source`."""
    source: str | None = None
    """Dotted path of the flavor's class where it is not one of ZenML's own."""
    config: Mapping[str, Any] = Field(default_factory=dict)
    """The flavor's settings, checked against its class. `${stack}` is the stack's folder below the home."""


class Components(Frozen):
    """The components by ZenML's types. The first three are what every stack needs."""

    orchestrator: ComponentSpec
    artifact_store: ComponentSpec
    experiment_tracker: ComponentSpec
    model_registry: ComponentSpec | None = None
    feature_store: ComponentSpec | None = None
    model_deployer: ComponentSpec | None = None
    data_validator: ComponentSpec | None = None
    step_operator: ComponentSpec | None = None
    container_registry: ComponentSpec | None = None
    image_builder: ComponentSpec | None = None
    alerter: ComponentSpec | None = None

    def present(self) -> dict[str, ComponentSpec]:
        """The components that the stack has, by type."""
        return {name: spec for name in type(self).model_fields if (spec := getattr(self, name))}


class ServingPolicy(Frozen):
    """How the stack serves."""

    warm_versions: int = Field(default=1, ge=0, le=10)
    """How many former production versions stay loaded beside the one that serves, for a rollback without a
    start. Each is a process with a model in memory. A cluster keeps one at most, at the price of as many pods
    again as serve."""


class StackSpec(Frozen):
    """A whole stack file."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    """Equal to the file's name."""
    description: str
    components: Components
    governance: GovernancePolicy = GovernancePolicy()
    """What a version needs before it may go into production; nothing but its gates, when left out."""
    serving: ServingPolicy = ServingPolicy()


def read_stack(name: str, home: Home, folder: Path = SHIPPED) -> StackSpec:
    """Read `<folder>/<name>.yaml` for a home.

    Raises:
        ConfigError: There is no such file, or it says something it may not; the message names the key.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(stack_names(folder)) or "none"
        raise ConfigError(f"there is no stack file {path}", expected=f"one of: {known}")
    spec = _validated(path)
    if spec.name != name:
        raise ConfigError(f"{path} says `name: {spec.name}`", expected=f"`name: {name}`, like the file")
    return _expanded(spec, home, path)


def stack_names(folder: Path = SHIPPED) -> list[str]:
    """Names of the stack files in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _validated(path: Path) -> StackSpec:
    try:
        return StackSpec.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}", expected="a YAML mapping") from error
    except ValidationError as error:
        raise ConfigError(
            f"{path}: {'; '.join(finding(one) for one in error.errors())}",
            expected="the keys of stacks.spec.StackSpec",
            remedy="compare with stacks/local.yaml",
        ) from error


def _expanded(spec: StackSpec, home: Home, path: Path) -> StackSpec:
    variables = {"home": str(home.root), "stack": str(home.stack(spec.name))}
    try:
        components = {
            kind: component.model_copy(update={"config": _substituted(component.config, variables)})
            for kind, component in spec.components.present().items()
        }
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"{path} uses an unknown variable: {error}", expected="one of: ${home}, ${stack}"
        ) from error
    return spec.model_copy(update={"components": Components(**components)})


def _substituted(config: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    return {
        key: Template(value).substitute(variables) if isinstance(value, str) else value
        for key, value in config.items()
    }
