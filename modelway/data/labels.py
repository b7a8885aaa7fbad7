"""What is predicted, and when its truth is known."""

import polars as pl

from modelway.contract import LabelRule


def with_label(frame: pl.LazyFrame, rule: LabelRule) -> pl.LazyFrame:
    """Add `label`, `label_known_at` and `label_matured_at`.

    An event rule says 1 when the event came no later than the horizon's end, else 0; a row without a
    start has no label. The truth is known at the event or at the horizon's end, whichever is first.
    The label of a row that has not matured says only what has been seen so far: whoever learns from it
    must ask for `label_matured_at <= as_of`, or he takes the early positives without their negatives.

    Args:
        frame: The use case's cleaned table.
        rule: The use case's label rule.

    Returns:
        The frame with `label` (Int8, null without a start), `label_known_at`, `label_matured_at` (UTC).
    """
    return _event_label(frame, rule) if rule.starts_at and rule.happened_at else _value_label(frame, rule)


def _event_label(frame: pl.LazyFrame, rule: LabelRule) -> pl.LazyFrame:
    happened = pl.col(str(rule.happened_at))
    matured = pl.col(str(rule.starts_at)).dt.offset_by(f"{rule.horizon_months}mo")
    positive = (happened <= matured).fill_null(value=False)
    return frame.with_columns(
        pl.when(matured.is_not_null()).then(positive.cast(pl.Int8)).alias("label"),
        pl.when(positive).then(happened).otherwise(matured).alias("label_known_at"),
        matured.alias("label_matured_at"),
    )


def _value_label(frame: pl.LazyFrame, rule: LabelRule) -> pl.LazyFrame:
    known = pl.col(rule.value_known_from)
    return frame.with_columns(
        pl.col(str(rule.value)).cast(pl.Int8).alias("label"),
        known.alias("label_known_at"),
        known.alias("label_matured_at"),
    )
