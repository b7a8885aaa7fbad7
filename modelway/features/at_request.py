"""What training would have said of the subjects of requests, each at the moment it was asked for."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from modelway.features.by_key import subject_view
from modelway.features.definitions import FeatureView
from modelway.features.join import TIME, as_of_join
from modelway.features.values import known_with_the_row, value, view_rows

if TYPE_CHECKING:
    from modelway.usecase import UseCase

SUBJECT, AT, FROM_STORE = "__subject", "__at", "__from_store"
"""Columns of the questions: the contract's key, the moment, whether the server read the online store."""
_FOUND, _EVENT, _KNOWN, _MOMENT = "__found", "__event_time", "__known_at", "__moment"
_REACHED = "__reached"


def offline_values(use_case: "UseCase", history: pl.LazyFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """The features of requests by the road that training takes.

    A request that was answered from the store is looked up at its own moment. One that brought its features
    is held against its row in the history, at the moment at which training would look at that row.

    Args:
        use_case: Says what the features are.
        history: Snapshot rows, all of them: views are computed from them.
        asked: The columns `SUBJECT`, `AT`, `FROM_STORE`, and a String column for each entity that the log
            knows; null where it does not, in which case the subject's row in the history names it.

    Returns:
        One row per row asked, in their order: each feature (Float32 or String, null when missing), and
        beside it `comparable_<feature>`: False where the history knows neither subject nor entity, and for
        features of views at moments that the history does not reach yet.

    Raises:
        ConfigError: A feature's definition does not fit the data.
    """
    found = _with_rows(use_case, history, asked).with_columns(_reached(history))
    for view in use_case.features.views:
        found = _joined(found, view, history)
    shown = [pl.col(name) for name in use_case.features.names]
    return found.select(*shown, *_comparable(use_case)).collect()


def entities_of(use_case: "UseCase") -> tuple[str, ...]:
    """Columns that name the rows of feature views, the contract's key left out."""
    return tuple(sorted({view.entity for view in use_case.features.views} - {use_case.contract.key}))


def _with_rows(use_case: "UseCase", history: pl.LazyFrame, asked: pl.DataFrame) -> pl.LazyFrame:
    """The questions beside the history's row of their subject, and the moment to look views up at."""
    own = _own_rows(use_case, history, asked)
    joined = asked.lazy().join(
        own, left_on=SUBJECT, right_on=use_case.contract.key, how="left", maintain_order="left"
    )
    entities = [
        pl.coalesce(pl.col(name) if name in asked.columns else pl.lit(None, pl.String), f"__row_{name}")
        for name in entities_of(use_case)
    ]
    moment = pl.when(FROM_STORE).then(AT).otherwise(pl.coalesce(_KNOWN, AT)).alias(_MOMENT)
    named = [
        entity.alias(_entity(name)) for entity, name in zip(entities, entities_of(use_case), strict=True)
    ]
    key = pl.col(SUBJECT).alias(_entity(use_case.contract.key))
    return joined.with_columns(
        pl.col(_FOUND).fill_null(value=False), moment, key, *named, *_row_values(use_case)
    )


def _own_rows(use_case: "UseCase", history: pl.LazyFrame, asked: pl.DataFrame) -> pl.LazyFrame:
    """One row per subject that was asked about and that the history has: its features, clocks, entities."""
    contract = use_case.contract
    wanted = asked.lazy().select(pl.col(SUBJECT).alias(contract.key)).unique()
    rows = history.with_columns(pl.col(contract.key).cast(pl.String)).join(
        wanted, on=contract.key, how="semi"
    )
    columns = rows.collect_schema().names()
    return (
        known_with_the_row(rows, contract)
        .select(
            contract.key,
            pl.lit(value=True).alias(_FOUND),
            pl.col("event_time").cast(TIME).alias(_EVENT),
            pl.col("known_at").cast(TIME).alias(_KNOWN),
            *(pl.col(name).cast(pl.String).alias(f"__row_{name}") for name in entities_of(use_case)),
            *(value(feature, columns, contract.forbidden) for feature in use_case.features.row),
        )
        .unique(contract.key, keep="last", maintain_order=True)
    )


def _row_values(use_case: "UseCase") -> Sequence[pl.Expr]:
    """Row features; those that the store kept are missing outside their time to live, as they are online."""
    kept = subject_view(use_case)
    if kept is None:
        return []
    age = pl.col(AT) - pl.col(_EVENT)
    usable = (pl.max_horizontal(_EVENT, _KNOWN) <= pl.col(AT)) & (age <= timedelta(days=kept.ttl_days))
    return [
        pl.when(pl.col(FROM_STORE).not_() | usable).then(feature.name).alias(feature.name)
        for feature in use_case.features.row
    ]


def _reached(history: pl.LazyFrame) -> pl.Expr:
    """Whether the history goes as far as a row's moment: what came in later is missing in it, not wrong."""
    newest = history.select(pl.col("known_at").max().cast(TIME)).collect().item()
    return (pl.col(_MOMENT) <= pl.lit(newest, TIME)).fill_null(value=False).alias(_REACHED)


def _joined(found: pl.LazyFrame, view: FeatureView, history: pl.LazyFrame) -> pl.LazyFrame:
    key = _entity(view.entity)
    values = view_rows(view, history).rename({view.entity: key})
    return as_of_join(found, values, keys=[key], ttl=timedelta(days=view.ttl_days), at=_MOMENT)


def _comparable(use_case: "UseCase") -> Sequence[pl.Expr]:
    row = [pl.col(_FOUND).alias(f"comparable_{feature.name}") for feature in use_case.features.row]
    views = [
        (pl.col(_REACHED) & (pl.col(_FOUND) | pl.col(_entity(view.entity)).is_not_null())).alias(
            f"comparable_{feature.name}"
        )
        for view in use_case.features.views
        for feature in view.features
    ]
    return row + views


def _entity(name: str) -> str:
    return f"__entity_{name}"
