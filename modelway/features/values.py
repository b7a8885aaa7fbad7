"""One definition, one value: how a feature is computed from the columns it names."""

from collections.abc import Sequence

import polars as pl

from modelway.contract import DataContract
from modelway.errors import ConfigError, ContractError
from modelway.features.definitions import Feature, FeatureView
from modelway.features.join import TIME


def value(feature: Feature, columns: Sequence[str], forbidden: Sequence[str] = ()) -> pl.Expr:
    """The expression of one feature: Float32 for a number, String for a category, null when missing.

    NaN and infinities (a division by zero) are missing values too: one spelling for all of them.

    Raises:
        ConfigError: The definition cannot be read, or names a column that is absent or forbidden.
    """
    computed = _parsed(feature)
    _refuse_unknown_columns(feature, computed.meta.root_names(), columns, forbidden)
    if feature.kind == "category":
        return computed.cast(pl.String).alias(feature.name)
    number = computed.cast(pl.Float32)
    return pl.when(number.is_finite()).then(number).alias(feature.name)


def _parsed(feature: Feature) -> pl.Expr:
    if feature.sql is None:
        return pl.col(feature.name)
    try:
        return pl.sql_expr(feature.sql)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"feature {feature.name} has an expression that cannot be read: {error}",
            expected="one SQL expression over the row's columns",
            remedy=f"correct {feature.sql!r}",
        ) from error


def _refuse_unknown_columns(
    feature: Feature, wanted: Sequence[str], columns: Sequence[str], forbidden: Sequence[str]
) -> None:
    leaky = sorted(set(wanted) & set(forbidden))
    if leaky:
        raise ConfigError(
            f"feature {feature.name} uses {', '.join(leaky)}, which the contract forbids",
            expected="columns that are known when the row is scored",
            remedy="take the column out of the feature",
        )
    absent = sorted(set(wanted) - set(columns))
    if absent:
        raise ConfigError(
            f"feature {feature.name} uses {', '.join(absent)}, which the data does not have",
            expected="one of: " + ", ".join(columns),
            remedy="correct the feature's definition, or bring the column",
        )


def known_with_the_row(rows: pl.LazyFrame, contract: DataContract) -> pl.LazyFrame:
    """The rows as they looked at their own `known_at`: what became known later is null.

    A charge-off date that the snapshot knows today was not there when the loan was scored.
    """
    have = rows.collect_schema().names()
    late = [c for c in contract.columns if c.known_from != "known_at" and {c.name, c.known_from} <= set(have)]
    return rows.with_columns(
        pl.when(pl.col(c.known_from) <= pl.col("known_at")).then(pl.col(c.name)).alias(c.name) for c in late
    )


def view_rows(view: FeatureView, history: pl.LazyFrame) -> pl.LazyFrame:
    """A view's rows: its entity, `event_time`, `known_at`, then its features, typed.

    Raises:
        ContractError: The history lacks what `compute` reads, or it gives no entity or lacks a clock.
        ConfigError: A feature's definition does not fit what `compute` gives.
    """
    computed, columns = _computed(view, history)
    missing = [name for name in (view.entity, "event_time", "known_at") if name not in columns]
    if missing:
        raise ContractError(
            f"view {view.name} computes no {', '.join(missing)}",
            expected=f"columns {view.entity}, event_time, known_at and the features",
            remedy="correct the view's `compute`",
        )
    return computed.select(
        pl.col(view.entity).cast(pl.String),
        pl.col("event_time", "known_at").cast(TIME),
        *(value(feature, columns) for feature in view.features),
    )


def _computed(view: FeatureView, history: pl.LazyFrame) -> tuple[pl.LazyFrame, list[str]]:
    try:
        computed = view.compute(history)
        return computed, computed.collect_schema().names()
    except pl.exceptions.PolarsError as error:
        raise ContractError(
            f"view {view.name} cannot be computed from this history: {error}",
            expected="the columns, of the types, that the view's `compute` reads",
            remedy="ingest the source again with the use case that is installed, or correct the view",
        ) from error
