"""Logged rows as training would describe them: the questions that the history is asked about requests."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from modelway.bundle.masking import hashed, log_salt
from modelway.bundle.signature import Input
from modelway.errors import ConfigError
from modelway.features.at_request import AT, FROM_STORE, SUBJECT, entities_of, offline_values
from modelway.features.join import TIME
from modelway.monitoring.monitor import Subject
from modelway.monitoring.predictions import ENTITY, EVENT_TIME, KEY, STORED

if TYPE_CHECKING:
    from modelway.usecase import UseCase

_SOURCE = "_features_from"


def offline_side(
    use_case: "UseCase", history: pl.LazyFrame, frame: pl.DataFrame, subject: Subject
) -> pl.DataFrame:
    """What training would have said of each logged row, in the graph's own terms.

    Args:
        use_case: Says what the features are.
        history: Rows of a snapshot.
        frame: Rows of the prediction log.
        subject: The model: its vocabularies, and what its log masks.

    Returns:
        As `offline_values`, in the frame's order, with categories as the codes that the graph takes.

    Raises:
        ConfigError: The model takes a column that the use case does not define (any more), or a feature's
            definition does not fit the data.
    """
    _require_features(use_case, subject)
    salt = log_salt() if subject.masked.get(subject.signature.key) == "hash" else None
    key = use_case.contract.key
    if salt is not None:
        masked = pl.col(key).cast(pl.String).map_elements(partial(hashed, salt=salt), return_dtype=pl.String)
        history = history.with_columns(masked)
    values = offline_values(use_case, history, _asked(use_case, frame, subject))
    return values.with_columns(
        pl.col(column.name).replace_strict(_codes(column), default=None, return_dtype=pl.Float32)
        for column in subject.signature.inputs
        if column.kind == "category"
    )


def _require_features(use_case: "UseCase", subject: Subject) -> None:
    unknown = sorted(set(subject.signature.names) - set(use_case.features.names))
    if unknown:
        raise ConfigError(
            f"bundle {subject.bundle[:12]} takes {', '.join(unknown)}, which {use_case.name} does not define",
            expected="the use case that the bundle was trained with",
            remedy="install the version of the use case that fits, or retrain",
        )


def _codes(column: Input) -> Mapping[str, float]:
    return {word: float(code) for code, word in enumerate(column.vocabulary)}


def _asked(use_case: "UseCase", frame: pl.DataFrame, subject: Subject) -> pl.DataFrame:
    """The log's rows as questions to the history."""
    entities = [
        expression.alias(name)
        for name in entities_of(use_case)
        if (expression := _entity(name, frame, subject)) is not None
    ]
    return frame.select(
        pl.col(ENTITY).cast(pl.String).alias(SUBJECT),
        pl.col(EVENT_TIME).cast(TIME).alias(AT),
        _from_store(use_case, frame).alias(FROM_STORE),
        *entities,
    )


def _entity(name: str, frame: pl.DataFrame, subject: Subject) -> pl.Expr | None:
    """An entity as the log knows it: by its own column, or by the category it also is."""
    if name in subject.masked:
        return None
    if f"{KEY}{name}" in frame.columns:
        return pl.col(f"{KEY}{name}").cast(pl.String)
    column = next((each for each in subject.signature.inputs if each.name == name), None)
    if column is None:
        return None
    words = {float(code): word for code, word in enumerate(column.vocabulary)}
    return pl.col(name).replace_strict(words, default=None, return_dtype=pl.String)


def _from_store(use_case: "UseCase", frame: pl.DataFrame) -> pl.Expr:
    """Rows that the server completed. One whose own columns came along brought them, whoever it is about."""
    if _SOURCE not in frame.columns:
        return pl.lit(value=False)
    asked = pl.col(_SOURCE).eq_missing("store")
    row = [feature.name for feature in use_case.features.row if feature.name in frame.columns]
    if not (row and f"{STORED}subject" in frame.columns):
        return asked
    brought = pl.col(f"{STORED}subject").is_null() & pl.any_horizontal(_present(name) for name in row)
    return asked & brought.not_()


def _present(name: str) -> pl.Expr:
    return pl.col(name).fill_nan(None).is_not_null()
