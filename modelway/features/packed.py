"""Rows on their way into an online store: from frames, or from the protobufs that Feast hands over."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, TypeAlias

import polars as pl

from modelway.errors import ContractError
from modelway.features.join import TIME

Write: TypeAlias = tuple[Any, dict[str, Any], datetime, datetime | None]
"""Entity key, values by feature, event time, known-at time: as Feast hands them over."""

CLOCKS = ("event_time", "known_at")
_KINDS: dict[str, type[pl.DataType]] = {"float_val": pl.Float32, "string_val": pl.String}


def newest_rows(rows: pl.DataFrame, entity: str) -> pl.DataFrame:
    """One row per entity: the newest event, of one event what was known last, of those the last one given."""
    return (
        rows.sort(*CLOCKS, maintain_order=True).unique(entity, keep="last", maintain_order=True).sort(entity)
    )


def frame_of(table: Any, writes: Sequence[Write]) -> pl.DataFrame:
    """What Feast hands over, as a frame: the entity, both clocks, the view's features.

    Args:
        table: Feast's feature view; `table.join_keys` names its entity.
        writes: Naive times are UTC; a missing known-at time is the event's.

    Raises:
        ContractError: The entity is not one text, or a value is neither a number of ours nor text.
    """
    names = [field.name for field in table.features]
    rows = [
        (_entity(table, key), _aware(event), _aware(known or event), *(_plain(values.get(n)) for n in names))
        for key, values, event, known in writes
    ]
    kinds = {field.name: _kind(field) for field in table.features}
    schema: pl.Schema = pl.Schema({table.join_keys[0]: pl.String, **dict.fromkeys(CLOCKS, TIME), **kinds})
    return pl.DataFrame(rows, schema=schema, orient="row")


def _kind(field: Any) -> type[pl.DataType]:
    name = f"{str(field.dtype).lower().removesuffix('32')}_val"
    if name not in _KINDS:
        raise _refused(f"feature {field.name} of kind {field.dtype}")
    return _KINDS[name]


def _entity(table: Any, entity_key: Any) -> str:
    parts = entity_key.entity_values
    if len(parts) != 1 or parts[0].WhichOneof("val") != "string_val":
        raise _refused(f"view {table.name} with an entity that is not one text")
    return str(parts[0].string_val)


def _plain(value: Any) -> float | str | None:
    """A number, text or nothing; NaN is nothing, as everywhere in our features."""
    kind = value.WhichOneof("val") if value is not None else None
    if kind is None:
        return None
    if kind not in _KINDS:
        raise _refused(f"a value of kind {kind}")
    plain: float | str = getattr(value, kind)
    return None if isinstance(plain, float) and not isfinite(plain) else plain


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _refused(what: str) -> ContractError:
    return ContractError(
        f"{what} was written to the online store",
        expected="views of one entity that is text, with FLOAT32 and STRING features",
        remedy="define it as a `numeric` or `category` feature of a use case",
    )
