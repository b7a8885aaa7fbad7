"""How a use case says what its features are."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from modelway.bundle.derived import Derived, require_sound
from modelway.contract import Frozen

if TYPE_CHECKING:
    import polars as pl

    Compute = Callable[[pl.LazyFrame], pl.LazyFrame]
else:  # pydantic reads annotations at run time, and definitions should load without polars
    Compute = Callable


class Feature(Frozen):
    """One model input."""

    name: str
    kind: Literal["numeric", "category"] = "numeric"
    description: str = ""
    unit: str = ""
    sql: str | None = None
    """Expression over the row's own columns; None means the column of the same name."""


class FeatureView(Frozen):
    """Features of an entity other than the row itself, computed from history as time goes by."""

    name: str
    entity: str
    """Column of the row that names the entity, e.g. `state`."""
    features: tuple[Feature, ...] = Field(min_length=1)
    ttl_days: int = Field(gt=0)
    """A value older than this at the time of the row is missing, in training and online alike."""
    compute: Compute = Field(exclude=True, repr=False)
    """Snapshot rows -> one row per (entity, event_time): `entity`, `event_time`, `known_at`, features."""


class FeatureSet(Frozen):
    """All inputs of the model, in the order in which the model sees them."""

    row: tuple[Feature, ...]
    """Known with the row itself, by the time it is scored."""
    views: tuple[FeatureView, ...] = ()
    derived: tuple[Derived, ...] = ()
    """Computed from the others inside the model's graph, at the moment of scoring; nobody sends them."""

    @property
    def all(self) -> tuple[Feature, ...]:
        """Row features first, then each view's. What a request carries or the store adds: none derived."""
        return self.row + tuple(f for view in self.views for f in view.features)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in model order."""
        return tuple(f.name for f in self.all)

    def model_post_init(self, _context: Any) -> None:
        """Refuse two features of one name, and derived ones that are made of anything but numbers here."""
        repeated = {n for n in self.names if self.names.count(n) > 1}
        if repeated:
            raise ValueError(f"feature names must be unique, repeated: {sorted(repeated)}")
        require_sound(self.derived, {feature.name: feature.kind for feature in self.all})
