"""Make ZenML's store say what the stack files say. Repeatable: a second time there is nothing to do."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zenml.enums import StackComponentType
from zenml.models import StackResponse
from zenml.stack import Flavor
from zenml.stack.flavor_registry import FlavorRegistry
from zenml.utils import source_utils

from modelway.contract import Frozen
from modelway.errors import ConfigError
from modelway.home import Home
from stacks.processes import exclusively
from stacks.spec import SHIPPED, ComponentSpec, StackSpec, read_stack
from stacks.zenml_client import client, follow_switch

FIRST = "local"
"""The stack that becomes active in a home that has none of ours yet."""
ZENML_DEFAULT = "default"
"""The stack that ZenML makes in every new store: it cannot run our steps."""


class Change(Frozen):
    """One thing that applying a stack did."""

    stack: str
    kind: str
    name: str
    action: str


def apply(name: str, home: Home, folder: Path = SHIPPED) -> tuple[Change, ...]:
    """Register or update one stack, its components and their flavors.

    Every setting is checked before anything is written.

    Raises:
        ConfigError: The file is wrong; nothing of the stack is registered.
    """
    spec = read_stack(name, home, folder)
    with exclusively(home, "stack-apply"):
        return tuple(_changes(spec))


def _changes(spec: StackSpec) -> Iterator[Change]:
    components = spec.components.present()
    settings = {kind: check_component(kind, component) for kind, component in components.items()}
    yield from _apply_flavors(spec)
    yield from _apply_components(spec, settings)
    yield from _apply_stack(spec)
    yield from _activate_first(spec)


def ensure_active_stack(home: Home) -> str:
    """The active stack's name, also where another process switched; a fresh home gets `local`, active."""
    follow_switch()
    if client().active_stack_model.name == ZENML_DEFAULT:
        apply(FIRST, home)
    return str(client().active_stack_model.name)


def applied_stacks() -> dict[str, bool]:
    """Names of the stacks in ZenML's store, and whether each is the active one."""
    active = client().active_stack_model.id
    return {stack.name: stack.id == active for stack in client().list_stacks(size=1000).items}


def activate(name: str) -> None:
    """Make a stack the active one.

    Raises:
        ConfigError: It was not applied.
    """
    follow_switch()
    try:
        client().activate_stack(name)
    except KeyError as error:
        raise ConfigError(
            f"no stack `{name}` is applied",
            expected=f"one of: {', '.join(applied_stacks())}",
            remedy=f"modelway stack apply {name}",
        ) from error


def _apply_flavors(spec: StackSpec) -> Iterator[Change]:
    for kind, component in spec.components.present().items():
        known = _known_flavors(kind)
        if component.source and known.get(component.flavor) != component.source:
            _refuse_moved_flavor(component, known)
            _create_flavor(kind, component)
            yield Change(stack=spec.name, kind=f"{kind} flavor", name=component.flavor, action="registered")


def _known_flavors(kind: str) -> dict[str, str]:
    return {flavor.name: flavor.source for flavor in client().list_flavors(type=kind, size=1000)}


def _refuse_moved_flavor(component: ComponentSpec, known: Mapping[str, str]) -> None:
    if component.flavor in known:
        raise ConfigError(
            f"flavor `{component.flavor}` is registered as {known[component.flavor]}",
            expected=component.source or "",
            remedy="delete it with `zenml <type> flavor delete`, then apply again",
        )


def _create_flavor(kind: str, component: ComponentSpec) -> None:
    client().create_flavor(component.source, StackComponentType(kind))


def _apply_components(spec: StackSpec, settings: Mapping[str, dict[str, Any]]) -> Iterator[Change]:
    for kind, config in settings.items():
        name = component_name(spec, kind)
        if action := _apply_component(name, kind, spec.components.present()[kind].flavor, config):
            yield Change(stack=spec.name, kind=kind, name=name, action=action)


def component_name(spec: StackSpec, kind: str) -> str:
    """Each stack has its own components: changing one stack never changes another."""
    return f"{spec.name}.{spec.components.present()[kind].flavor}"


def check_component(kind: str, component: ComponentSpec) -> dict[str, Any]:
    """The settings as the flavor's class reads them.

    Raises:
        ConfigError: There is no such flavor, it has no such setting, or a value does not fit.
    """
    config_class = _flavor(kind, component).config_class
    if unknown := set(component.config) - set(config_class.model_fields):
        raise ConfigError(
            f"`{kind}.config` has no `{', '.join(sorted(unknown))}`",
            expected=f"of flavor {component.flavor}: {', '.join(config_class.model_fields) or 'nothing'}",
        )
    try:
        return dict(config_class(**component.config).model_dump(mode="json", exclude_unset=True))
    except Exception as error:  # validators of foreign flavors raise what they like
        raise ConfigError(
            f"`{kind}.config`: {error}", expected=f"settings of flavor {component.flavor}"
        ) from error


def _flavor(kind: str, component: ComponentSpec) -> Flavor:
    try:
        return (
            _flavor_from_source(kind, component) if component.source else _registered_flavor(kind, component)
        )
    except KeyError as error:
        raise ConfigError(
            f"no {kind} flavor is called `{component.flavor}`",
            expected=f"one of: {', '.join(sorted(_known_flavors(kind)))}",
            remedy="correct `flavor`, or give its class as `source`",
        ) from error
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"`{kind}` flavor {component.source or component.flavor} cannot be loaded: {error}",
            expected="dotted path of a Flavor class, its packages installed",
            remedy="correct `source`, or `make setup`",
        ) from error


def _registered_flavor(kind: str, component: ComponentSpec) -> Flavor:
    try:
        return _stored_flavor(kind, component)
    except KeyError:
        _finish_the_store()
        return _stored_flavor(kind, component)


def _stored_flavor(kind: str, component: ComponentSpec) -> Flavor:
    model = client().get_flavor_by_name_and_type(component.flavor, StackComponentType(kind))
    return Flavor.from_model(model)


def _finish_the_store() -> None:
    """ZenML lists its own flavors after it has marked a new store as made: a kill between loses them."""
    FlavorRegistry().register_flavors(client().zen_store)


def _flavor_from_source(kind: str, component: ComponentSpec) -> Flavor:
    flavor = source_utils.load(component.source)()
    if not isinstance(flavor, Flavor) or (flavor.name, flavor.type) != (component.flavor, kind):
        raise TypeError(f"it is no {kind} flavor called `{component.flavor}`")
    return flavor


def _apply_component(name: str, kind: str, flavor: str, config: dict[str, Any]) -> str | None:
    found = client().list_stack_components(type=kind, name=name, hydrate=True).items
    if not found:
        client().create_stack_component(name, flavor, StackComponentType(kind), config)
        return "registered"
    if found[0].configuration == config:
        return None
    cleared = dict.fromkeys(found[0].configuration)
    client().update_stack_component(name, StackComponentType(kind), configuration={**cleared, **config})
    return "updated"


def _apply_stack(spec: StackSpec) -> Iterator[Change]:
    wanted = {StackComponentType(kind): [component_name(spec, kind)] for kind in spec.components.present()}
    found = client().list_stacks(name=spec.name, hydrate=True).items
    if not found:
        client().create_stack(spec.name, wanted)
        yield Change(stack=spec.name, kind="stack", name=spec.name, action="registered")
    elif _names(found[0]) != wanted:
        dropped: dict[StackComponentType, list[str]] = {kind: [] for kind in _names(found[0])}
        client().update_stack(spec.name, component_updates={**dropped, **wanted})
        yield Change(stack=spec.name, kind="stack", name=spec.name, action="updated")
        yield from _delete_left_over(spec, found[0], wanted)


def _names(stack: StackResponse) -> dict[StackComponentType, list[str]]:
    return {kind: [one.name for one in components] for kind, components in stack.components.items()}


def _delete_left_over(
    spec: StackSpec, before: StackResponse, wanted: Mapping[StackComponentType, list[str]]
) -> Iterator[Change]:
    """Delete the components that only this stack had and that it has no longer."""
    for kind, names in _names(before).items():
        for name in set(names) - set(wanted.get(kind, [])):
            if name.startswith(f"{spec.name}."):
                client().delete_stack_component(name, kind)
                yield Change(stack=spec.name, kind=str(kind), name=name, action="deleted")


def _activate_first(spec: StackSpec) -> Iterator[Change]:
    if spec.name == FIRST and client().active_stack_model.name == ZENML_DEFAULT:
        client().activate_stack(FIRST)
        yield Change(stack=spec.name, kind="stack", name=spec.name, action="activated")
