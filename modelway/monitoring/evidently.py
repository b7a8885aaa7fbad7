"""Evidently's drift page, for people who know it. Its defaults alarm on nothing at all: ours decide."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from modelway.bundle.signature import Input
from modelway.errors import EmptyWindowError, StorageError
from modelway.monitoring.comparison import REFERENCE_SCORE
from modelway.monitoring.predictions import FALLBACK, SCORE

ROWS_AT_MOST = 5000
"""Per side: the page holds every point it draws."""
UNKNOWN = "(missing or unknown)"


def evidently_report(  # noqa: PLR0913 - two tables, their meaning, where to, how much of them
    reference: pl.DataFrame,
    current: pl.DataFrame,
    path: Path,
    *,
    inputs: Sequence[Input],
    rows_at_most: int = ROWS_AT_MOST,
    seed: int = 0,
) -> Path:
    """Write Evidently's data-drift report as one HTML file. Takes seconds: Evidently is imported here.

    Args:
        reference: The bundle's reference.
        current: Rows of the prediction log.
        path: The HTML file.
        inputs: The signature's inputs; category codes are shown as their values.
        rows_at_most: Rows of each side to sample.
        seed: Of the sampling.

    Raises:
        EmptyWindowError: A side has no rows.
        StorageError: The file cannot be written.
    """
    if reference.is_empty() or current.is_empty():
        raise EmptyWindowError(
            f"{reference.height} reference rows against {current.height} current ones",
            expected="rows on both sides",
            remedy="choose a window with predictions",
        )
    before = decoded(_sample(reference, rows_at_most, seed), inputs, REFERENCE_SCORE)
    after = decoded(_sample(current, rows_at_most, seed), inputs, SCORE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _compared(before, after, inputs).save_html(str(path))
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}",
            expected="room and permission",
            remedy="name another path",
        ) from error
    return path


def _compared(before: pl.DataFrame, after: pl.DataFrame, inputs: Sequence[Input]) -> Any:
    """Evidently's own result."""
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415 - seconds, and only for this page
    from evidently.presets import DataDriftPreset  # noqa: PLC0415 - as above

    numbers, categories = _comparable(before, after, inputs)
    shape = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    current, reference = (
        Dataset.from_pandas(side.select(*numbers, *categories).to_pandas(), data_definition=shape)
        for side in (after, before)
    )
    return Report([DataDriftPreset()]).run(current, reference)


def decoded(frame: pl.DataFrame, inputs: Sequence[Input], score: str) -> pl.DataFrame:
    """The rows as people know them: categories by value, as `probability` the score that is the model's."""
    columns, own = [_decoded(column) for column in inputs], pl.col(score).alias(REFERENCE_SCORE)
    if FALLBACK in frame.columns:
        own = pl.when(pl.col(FALLBACK).is_null()).then(own).alias(REFERENCE_SCORE)
    return frame.select(*columns, own)


def _decoded(column: Input) -> pl.Expr:
    if column.kind == "numeric":
        return pl.col(column.name).cast(pl.Float64).fill_nan(None)
    codes = pl.col(column.name).cast(pl.Float64).fill_nan(None).cast(pl.Int64)
    names = dict(enumerate(column.vocabulary))
    return codes.replace_strict(names, default=UNKNOWN, return_dtype=pl.String).alias(column.name)


def _sample(frame: pl.DataFrame, rows: int, seed: int) -> pl.DataFrame:
    return frame.sample(rows, seed=seed) if frame.height > rows else frame


def _comparable(
    before: pl.DataFrame, after: pl.DataFrame, inputs: Sequence[Input]
) -> tuple[list[str], list[str]]:
    """Evidently stops at a column without any value on one side: such a one is left out of its page."""
    empty = {c for frame in (before, after) for c in frame.columns if frame[c].null_count() == frame.height}
    numeric = [c.name for c in inputs if c.kind == "numeric"] + [REFERENCE_SCORE]
    return (
        [name for name in numeric if name not in empty],
        [c.name for c in inputs if c.kind == "category" and c.name not in empty],
    )
