"""Validation in time without a label reaching over: purged blocks, with an embargo after each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from modelway.errors import ContractError, EmptyWindowError
from modelway.training.policy import Validation
from modelway.training.splits import cut, require_both_classes

MATURED = "label_matured_at"
"""End of a row's label window. Not `label_known_at`: purging by that would spare early positives alone."""


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and rows to validate on."""

    train: pl.DataFrame
    validation: pl.DataFrame


def validation_folds(train: pl.DataFrame, how: Validation, min_rows: int) -> tuple[Fold, ...]:
    """Cut the rows that teach for the search.

    Args:
        train: With `event_time` and `label`; for more than one fold also `label_matured_at`. Any order.
        how: One newest share, or purged blocks.
        min_rows: Fewest rows on either side.

    Raises:
        EmptyWindowError: A side has too few rows, purged ones not counted, or one class only.
        ContractError: Rows are to be purged and do not say when their labels matured.
    """
    ordered = train.sort("event_time", maintain_order=True)
    if how.folds == 1:
        return (_checked(Fold(*cut(ordered, how.share, min_rows)), min_rows, "the newest share"),)
    if MATURED not in ordered.columns:
        raise ContractError(
            f"the rows have no column {MATURED}",
            expected="when each label was settled, to purge by",
            remedy="build the rows with modelway.features.training_set",
        )
    return tuple(
        _checked(fold, min_rows, f"fold {n} of {how.folds}")
        for n, fold in enumerate(_purged(ordered, how), 1)
    )


def _purged(ordered: pl.DataFrame, how: Validation) -> Iterator[Fold]:
    first = 0 if how.later_rows else min(ordered.height - 1, round(ordered.height * (1 - how.share)))
    edges = [first + round(n * (ordered.height - first) / how.folds) for n in range(how.folds)]
    starts = [ordered["event_time"][edge] for edge in edges]
    event_time = pl.col("event_time")
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        inside = event_time >= start if end is None else event_time.is_between(start, end, closed="left")
        validation = ordered.filter(inside)
        if validation.is_empty():
            yield Fold(validation, validation)
        else:
            yield Fold(ordered.filter(_may_teach(validation, how)), validation)


def _may_teach(validation: pl.DataFrame, how: Validation) -> pl.Expr:
    """Rows whose label window ends before the block begins, or that begin after it and its embargo.

    The block's window is from its first event to its last label: a row that begins inside it shares
    outcomes with the block, whether it is older or newer.

    Source:
        López de Prado (2018), "Advances in Financial Machine Learning", sections 7.4.1 and 7.4.2.
    """
    opens, closes = validation["event_time"][0], validation[MATURED].max()
    before: pl.Expr = pl.col(MATURED) < opens
    if not how.later_rows:
        return before
    reopens = closes + timedelta(days=how.embargo_days)  # type: ignore[operator]  # polars types max as any literal
    after: pl.Expr = pl.col("event_time") > reopens
    return before | after


def _checked(fold: Fold, min_rows: int, name: str) -> Fold:
    fewest = min(fold.train.height, fold.validation.height)
    if fewest < min_rows:
        raise EmptyWindowError(
            f"{name}: {fold.train.height} train rows with {fold.validation.height} validation rows",
            expected=f"at least {min_rows} of each that share no label window",
            remedy="fewer folds, a smaller share or embargo (`training.validation`), or a longer window",
        )
    require_both_classes("older train", fold.train)
    require_both_classes("validation", fold.validation)
    return fold
