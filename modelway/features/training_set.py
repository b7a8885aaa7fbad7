"""Training sets as of a date: only rows whose label had matured, only features known with the row."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import polars as pl

from modelway.data.labels import with_label
from modelway.errors import (
    ConfigError,
    ContractError,
    DegenerateColumnError,
    EmptyWindowError,
    IntegrityError,
)
from modelway.features.definitions import FeatureView
from modelway.features.join import TIME, as_of_join
from modelway.features.values import known_with_the_row, value, view_rows
from modelway.training.policy import training_policy
from modelway.usecase import UseCase

GROUP = "__group"
"""Column of the training set: which rows share a fate, where the use case says so."""


def build_training_set(
    use_case: UseCase, history: pl.LazyFrame, *, as_of: datetime, window_months: int | None = None
) -> pl.DataFrame:
    """What a model trained on the day `as_of` may learn from.

    Args:
        use_case: Says what the label, the features and the window are.
        history: Rows of a snapshot, as-of masked or not: what became known after `as_of` is not used.
        as_of: The day of training; a naive time is read as UTC.
        window_months: How much matured history, in months before `as_of`; the use case's by default.

    Returns:
        One row per subject: key, `event_time`, `label` (Int8), `label_matured_at`, then the features in
        model order (Float32 or String, null when missing), sorted by `event_time` and key; the
        group too, where the use case's training has one.

    Raises:
        EmptyWindowError: No row's label matured in the window.
        DegenerateColumnError: A feature has no value at all in the window.
        ConfigError: A feature's definition does not fit the data, or the group is no column.
    """
    months = use_case.training_window_months if window_months is None else window_months
    as_of = as_of.replace(tzinfo=as_of.tzinfo or UTC)
    labelled = with_label(history, use_case.label).filter(pl.col("label").is_not_null())
    rows = labelled.filter(_matured(as_of, months)).collect()
    _require_rows(use_case, labelled, rows, as_of, months)
    features = feature_rows(use_case, history, rows.lazy().select(history.collect_schema().names()))
    facts = rows.select(
        use_case.contract.key,
        "event_time",
        pl.col("label").cast(pl.Int8),
        "label_matured_at",
        *_group(use_case),
    )
    frame = pl.concat([facts, features.select(use_case.features.names)], how="horizontal")
    _require_values(use_case, frame)
    return frame.sort("event_time", use_case.contract.key)


def _group(use_case: UseCase) -> Iterator[pl.Expr]:
    name = training_policy(use_case).group
    if name is None:
        return
    if name not in (column.name for column in use_case.contract.columns):
        raise ConfigError(
            f"the contract of {use_case.name} has no column {name}, which its training groups rows by",
            expected="a column of the contract",
            remedy="mend `group` of its TrainingPolicy",
        )
    yield pl.col(name).cast(pl.String).alias(GROUP)


def feature_rows(use_case: UseCase, history: pl.LazyFrame, rows: pl.LazyFrame) -> pl.DataFrame:
    """The features of given rows, each as of its own `known_at`. No label is needed.

    Args:
        use_case: Says what the features are.
        history: Snapshot rows that the feature views are computed from.
        rows: Cleaned rows to describe, with the contract's columns that the features name.

    Returns:
        Key, `event_time` and the features in model order; one row per given row, in the same order.

    Raises:
        ConfigError: A feature's definition does not fit the data.
        ContractError: A column has a type that its feature cannot be made of.
    """
    given = rows.collect()
    with _column_errors(use_case):
        described = _described(use_case, given.lazy())
        for view in use_case.features.views:
            described = _joined(described, view, history)
        names = [use_case.contract.key, "event_time", *use_case.features.names]
        frame = described.select(names).collect()
    _require_same_rows(use_case, given, frame)
    return frame


def _described(use_case: UseCase, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Row features beside what the views are joined on, which gets names no feature has."""
    contract, features = use_case.contract, use_case.features
    columns = rows.collect_schema().names()
    entities = sorted({view.entity for view in features.views})
    return known_with_the_row(rows, contract).select(
        pl.col(contract.key),
        pl.col("event_time"),
        pl.col("known_at").cast(TIME).alias("__known_at"),
        *(pl.col(entity).cast(pl.String).alias(_entity(entity)) for entity in entities),
        *(value(feature, columns, contract.forbidden) for feature in features.row),
    )


def _joined(described: pl.LazyFrame, view: FeatureView, history: pl.LazyFrame) -> pl.LazyFrame:
    key = _entity(view.entity)
    values = view_rows(view, history).rename({view.entity: key})
    ttl = timedelta(days=view.ttl_days)
    return as_of_join(described, values, keys=[key], ttl=ttl, at="__known_at")


def _entity(name: str) -> str:
    return f"__entity_{name}"


@contextmanager
def _column_errors(use_case: UseCase) -> Iterator[None]:
    try:
        yield
    except pl.exceptions.PolarsError as error:
        raise ContractError(
            f"the features of {use_case.name} cannot be computed: {error}",
            expected="columns of the types the contract promises",
            remedy="run `modelway data ingest` on the source and read its report",
        ) from error


def _require_same_rows(use_case: UseCase, given: pl.DataFrame, frame: pl.DataFrame) -> None:
    if not given[use_case.contract.key].equals(frame[use_case.contract.key]):
        raise IntegrityError(
            f"{given.height} rows went into the feature join, {frame.height} or others came out",
            expected="the same rows in the same order",
            remedy="report it: this is a fault of the join",
        )


def _matured(as_of: datetime, months: int) -> pl.Expr:
    """Rows whose horizon ended in the window: taking positives earlier would bias the base rate."""
    until = pl.lit(as_of).cast(TIME)
    matured = pl.col("label_matured_at")
    known = (matured <= until) & (pl.col("known_at") <= until)
    return known & (matured > until.dt.offset_by(f"-{months}mo"))


def _require_rows(
    use_case: UseCase, labelled: pl.LazyFrame, rows: pl.DataFrame, as_of: datetime, months: int
) -> None:
    if rows.height:
        return
    matured = pl.col("label_matured_at")
    first, last = labelled.select(matured.min().alias("first"), matured.max().alias("last")).collect().row(0)
    held = f"labels that mature from {first:%Y-%m-%d} to {last:%Y-%m-%d}" if first else "no label yet"
    raise EmptyWindowError(
        f"no label of {use_case.name} matured in the {months} months before {as_of:%Y-%m-%d}",
        expected="a date after some labels matured; the history has " + held,
        remedy="choose another --as-of date, or ingest more history",
    )


def _require_values(use_case: UseCase, frame: pl.DataFrame) -> None:
    empty = [name for name in use_case.features.names if frame[name].null_count() == frame.height]
    if empty:
        raise DegenerateColumnError(
            f"no value at all in {', '.join(empty)} among {frame.height} rows of {use_case.name}",
            expected="at least one value per feature",
            remedy="choose a later or longer window, or take the feature out of the use case",
        )
