"""Features that know the future: found by making them again from a history that was cut short."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from modelway.contract import Column, DataContract, Outcome, Reason
from modelway.data.declared import columns_of_features, label_columns
from modelway.data.labels import with_label
from modelway.data.snapshot import known_as_of
from modelway.features.join import TIME
from modelway.features.training_set import feature_rows
from modelway.features.values import known_with_the_row

if TYPE_CHECKING:
    from modelway.usecase import UseCase

CUTS = 4
"""Moments at which the history is cut; each costs one pass over it."""
ROWS_PER_CUT = 200
CANARY = "modelway_canary"


def cut_short_reason(use_case: "UseCase", history: pl.LazyFrame, rows: pl.DataFrame) -> Reason:
    """Make features again from what was known at a row's own moment, and compare.

    A feature that changes when the later history is taken away was made with it.

    Args:
        use_case: Says what the features are.
        history: The snapshot as of the day of training.
        rows: The training set: key, `event_time`, features.
    """
    clocks = {c.name: c.known_from for c in use_case.contract.columns}
    changed: dict[str, int] = {}
    looked = 0
    for moment in _moments(history, rows, use_case.contract.key):
        again = _as_known_then(use_case, known_as_of(history, clocks, moment), moment)
        pair = again.join(rows, on=use_case.contract.key, how="inner", suffix="__then")
        looked += pair.height
        for name in use_case.features.names:
            differs = int(pair.select(pl.col(name).ne_missing(pl.col(f"{name}__then")).sum()).item())
            changed[name] = changed.get(name, 0) + differs
    return _judged({name: n for name, n in changed.items() if n}, looked)


def _moments(history: pl.LazyFrame, rows: pl.DataFrame, key: str) -> list[datetime]:
    """Known-at times spread evenly over the rows."""
    known = history.join(rows.lazy().select(key), on=key, how="semi").select(pl.col("known_at").cast(TIME))
    times = known.collect()["known_at"].sort()
    at = {round((i + 1) * (len(times) - 1) / (CUTS + 1)) for i in range(CUTS)} if len(times) else set()
    return sorted({times[i] for i in at})


def _as_known_then(use_case: "UseCase", history: pl.LazyFrame, moment: datetime) -> pl.DataFrame:
    newest = history.filter(pl.col("known_at").cast(TIME) <= moment).sort("known_at").tail(ROWS_PER_CUT)
    return feature_rows(use_case, history, newest)


def _judged(changed: dict[str, int], looked: int) -> Reason:
    metric = "hindsight: history cut short"
    if not looked:
        text = "no row could be described from a history cut short"
        return Reason(metric=metric, outcome=Outcome.INCONCLUSIVE, message=text)
    if changed:
        named = ", ".join(f"{name} ({n} rows)" for name, n in sorted(changed.items(), key=lambda x: -x[1]))
        text = f"made with what became known later: {named}"
        return Reason(metric=metric, outcome=Outcome.FAIL, message=text, found=len(changed), samples=looked)
    text = f"{looked} rows have the same features without the history after them"
    return Reason(metric=metric, outcome=Outcome.PASS, message=text, found=0, limit=0, samples=looked)


def canary_reason(use_case: "UseCase", history: pl.LazyFrame) -> Reason:
    """Send the label itself through the road that features take, on its own clock: nothing must arrive.

    The canary is a column that equals the label and is known when the label is. Scored at its own moment, a
    row must not see it. A label that is known with its row has no such clock: then no feature may read a
    column that the label is made of.

    Args:
        use_case: Contract, label rule, features.
        history: Snapshot rows.
    """
    labelled = with_label(history, use_case.label).filter(pl.col("label").is_not_null())
    late = labelled.filter(pl.col("label_known_at") > pl.col("known_at"))
    carried = late.with_columns(pl.col("label").alias(CANARY))
    seen = known_with_the_row(carried, _with_canary(use_case.contract)).select(
        pl.col(CANARY).is_not_null().sum().alias("seen"), pl.len().alias("rows")
    )
    counts = seen.collect().row(0, named=True)
    reading = sorted(_readers_of_the_label(use_case)) if not counts["rows"] else []
    return _canary(counts["seen"], counts["rows"], reading)


def _readers_of_the_label(use_case: "UseCase") -> Iterator[str]:
    own = set(label_columns(use_case))
    return (name for name, roots in columns_of_features(use_case).items() if own & set(roots))


def _with_canary(contract: DataContract) -> DataContract:
    canary = Column(name=CANARY, kind="int", nullable=True, known_from="label_known_at")
    return contract.model_copy(update={"columns": (*contract.columns, canary)})


def _canary(seen: int, rows: int, reading: list[str]) -> Reason:
    metric = "hindsight: canary"
    if not rows:
        text = "the label has no clock of its own; "
        text += f"read by {', '.join(reading)}" if reading else "no feature reads it"
        outcome = Outcome.FAIL if reading else Outcome.PASS
        return Reason(metric=metric, outcome=outcome, message=text, found=len(reading), limit=0)
    text = f"{seen:,} of {rows:,} rows know their own label when they are scored" if seen else "no row saw it"
    outcome = Outcome.FAIL if seen else Outcome.PASS
    return Reason(metric=metric, outcome=outcome, message=text, found=seen, limit=0, samples=rows)


def hindsight_reasons(use_case: "UseCase", history: pl.LazyFrame, rows: pl.DataFrame) -> Iterator[Reason]:
    """Both looks into the future."""
    yield cut_short_reason(use_case, history, rows)
    yield canary_reason(use_case, history)
