"""Rows as an application asks them: described by their features, no label needed."""

from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from modelway.errors import EmptyWindowError
from modelway.features.join import TIME
from modelway.features.training_set import feature_rows

if TYPE_CHECKING:
    from modelway.usecase import UseCase


def known_between(
    use_case: "UseCase",
    history: pl.LazyFrame,
    *,
    since: datetime,
    until: datetime,
    newest: int | None = None,
) -> pl.DataFrame:
    """The features of rows that became known in [since, until), each as of its own moment.

    Args:
        use_case: Says what the features are.
        history: Snapshot rows; the feature views are computed from all of them.
        since: Inclusive, with time zone.
        until: Exclusive.
        newest: Only so many of them, the newest.

    Returns:
        Key, `event_time`, features in model order; oldest first.

    Raises:
        EmptyWindowError: No row became known in the window.
    """
    known = pl.col("known_at").is_between(pl.lit(since).cast(TIME), pl.lit(until).cast(TIME), closed="left")
    rows = history.filter(known).sort("known_at", use_case.contract.key)
    chosen = (rows if newest is None else rows.tail(newest)).collect()
    if chosen.is_empty():
        raise EmptyWindowError(
            f"no row of {use_case.name} became known from {since:%Y-%m-%d} to {until:%Y-%m-%d}",
            expected="a window inside the data's range",
            remedy="choose another date; `modelway data show` tells the range",
        )
    return feature_rows(use_case, history, chosen.lazy())
