"""The plug-in point: what a use case says, and how it is found."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pydantic import ValidationError

from modelway.bundle.policy import ServingPolicy
from modelway.contract import (
    Candidate,
    CostMatrix,
    DataContract,
    Frozen,
    Gates,
    LabelRule,
    Slice,
    Slo,
    finding,
)
from modelway.errors import ConfigError, UnknownUseCaseError
from modelway.features.definitions import FeatureSet

if TYPE_CHECKING:
    import polars as pl

ENTRY_POINT_GROUP = "modelway.use_cases"


@runtime_checkable
class UseCase(Protocol):
    """Everything the platform needs to know about one problem."""

    name: str
    description: str
    default_source: str
    """Where `load` reads when the user names no source."""
    contract: DataContract
    label: LabelRule
    features: FeatureSet
    candidates: tuple[Candidate, ...]
    gates: Gates
    slo: Slo
    costs: CostMatrix
    slices: tuple[Slice, ...]
    training_window_months: int
    """How much matured history a model learns from."""

    def load(self, source: str) -> "Iterator[pl.DataFrame]":
        """Yield raw rows in chunks, as they stand in the source.

        Raises:
            SourceError: The source is missing, empty or unreadable.
        """
        ...

    def clean(self, raw: "pl.DataFrame") -> "pl.DataFrame":
        """Type one raw chunk: the contract's columns plus those its rules mention.

        Always among them: the key, `event_time` (when it happened) and `known_at` (when it could
        be known), both timestamps in UTC, microseconds. A cell that cannot be read becomes null.
        """
        ...


class CardNotes(Frozen):
    """What only people know about a model, for its card. A use case may offer one as `card_notes`."""

    intended_use: tuple[str, ...] = ()
    """Who decides what with it."""
    out_of_scope: tuple[str, ...] = ()
    """What it must not be used for."""
    limits: tuple[str, ...] = ()
    """What the data or the model are known not to tell."""


def card_notes(use_case: UseCase) -> CardNotes:
    """The use case's attribute `card_notes`, or nothing."""
    notes: CardNotes = getattr(use_case, "card_notes", CardNotes())
    return notes


def serving_policy(use_case: UseCase) -> ServingPolicy:
    """How the use case wants its models served: its attribute `serving`, or nothing special."""
    policy: ServingPolicy = getattr(use_case, "serving", ServingPolicy())
    return policy


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def use_case_names() -> tuple[str, ...]:
    """Names of the installed use cases, sorted."""
    return tuple(sorted(_points()))


def load_use_case(name: str) -> UseCase:
    """The installed use case of that name.

    Raises:
        UnknownUseCaseError: None is installed under `name`.
        ConfigError: The entry point does not lead to an object that satisfies `UseCase`, or something in it
            is misspelt.
    """
    point = _points().get(name)
    if point is None:
        raise UnknownUseCaseError(
            f"no use case named {name!r}",
            expected=f"one of {', '.join(use_case_names()) or '(none installed)'}",
            remedy=f"`modelway usecase new {name}` writes a template for a new one",
        )
    try:
        use_case = point.load()
    except ValidationError as error:
        raise ConfigError(
            f"use case {name} does not load: {'; '.join(finding(e, error.title) for e in error.errors())}",
            expected=f"what {error.title} takes",
            remedy=f"correct {point.module}",
        ) from error
    if not isinstance(use_case, UseCase):
        raise ConfigError(
            f"entry point {point.value!r} is no use case",
            expected="an object with every attribute of modelway.usecase.UseCase",
            remedy="compare it with usecases/iris/use_case.py",
        )
    return use_case
