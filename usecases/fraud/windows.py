"""Sums over sliding windows, as they stood at every moment at which they changed.

At moment t a window of length w holds the facts with t - w < at <= t that were known by t. So a fact enters
when it is known, not when it happened, and leaves w after it happened; one that comes later than that never
enters. Both moments are changes of a running sum, and the value between two changes needs no row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

GAP = "gap_s"
"""Seconds between the two newest facts known, by the time they happened."""


@dataclass(frozen=True, slots=True)
class Window:
    """A length of time and what columns call it."""

    name: str
    length: timedelta


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fact: what is summed over which windows. Values are integers: running sums stay exact."""

    values: tuple[str, ...]
    windows: tuple[Window, ...]

    def columns(self, window: Window) -> dict[str, str]:
        """Summed column -> value."""
        return {f"{value}_{window.name}": value for value in self.values}

    @property
    def names(self) -> tuple[str, ...]:
        """Every summed column."""
        return tuple(name for window in self.windows for name in self.columns(window))


Facts = tuple[Kind, pl.LazyFrame]
"""A kind, and its facts: entity, `at` (happened), `known_at` (never before `at`), the kind's values."""


def sliding(facts: Sequence[Facts], entity: str) -> pl.LazyFrame:
    """Every window's sums at every moment at which one of them changes.

    Args:
        facts: Of each kind; a null entity or clock is left out.
        entity: Column that names whose facts they are.

    Returns:
        `entity`, `moment`, each kind's summed columns (Int64); one row per entity and moment, sorted so.
        A row rests on nothing that was known later than its moment.
    """
    names = [name for kind, _ in facts for name in kind.names]
    moves = [move for kind, frame in facts for move in _moves(kind, frame, entity)]
    # Whatever enters also leaves: all moves of an entity add up to 0, and one running sum serves them all.
    running = (
        pl.concat(moves, how="diagonal")
        .sort(entity, "moment")
        .with_columns(pl.col(names).fill_null(0).cum_sum())
    )
    return running.filter(_last_of(entity, "moment"))


def newest_gap(frame: pl.LazyFrame, entity: str) -> pl.LazyFrame:
    """Seconds between an entity's two newest facts, at every moment at which a fact came in.

    Args:
        frame: Entity, `at`, `known_at`.
        entity: Column that names whose facts they are.

    Returns:
        `entity`, `moment`, `gap_s` (null while there is one fact only).
    """
    newest, second = pl.col("at").cum_max().over(entity), pl.col("__other").cum_max().over(entity)
    before = pl.col("__newest").shift(1).over(entity)
    return (
        _sound(frame, entity)
        .sort(entity, "known_at", "at")
        .with_columns(newest.alias("__newest"))
        .with_columns(pl.when(before.is_not_null()).then(pl.min_horizontal("at", before)).alias("__other"))
        .with_columns(((pl.col("__newest") - second).dt.total_microseconds() / 1e6).alias(GAP))
        .filter(_last_of(entity, "known_at"))
        .select(entity, pl.col("known_at").alias("moment"), GAP)
    )


def _last_of(*columns: str) -> pl.Expr:
    """In rows sorted by the columns: the last of those that agree in all of them."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(-1)) for name in columns)


def _moves(kind: Kind, frame: pl.LazyFrame, entity: str) -> list[pl.LazyFrame]:
    """What each fact adds when it is known, and takes away when it leaves each window."""
    sound = _sound(frame, entity)
    return [
        sound.select(
            entity,
            pl.col("known_at").alias("moment"),
            *(
                _if_in(window, pl.col(v)).alias(n)
                for window in kind.windows
                for n, v in kind.columns(window).items()
            ),
        ),
        *(_leaving(sound, entity, kind, window) for window in kind.windows),
    ]


def _leaving(sound: pl.LazyFrame, entity: str, kind: Kind, window: Window) -> pl.LazyFrame:
    return sound.filter(_in_time(window)).select(
        entity,
        (pl.col("at") + window.length).alias("moment"),
        *((-pl.col(value)).alias(name) for name, value in kind.columns(window).items()),
    )


def _sound(frame: pl.LazyFrame, entity: str) -> pl.LazyFrame:
    return frame.drop_nulls([entity, "at", "known_at"])


def _in_time(window: Window) -> pl.Expr:
    return pl.col("at") + window.length > pl.col("known_at")


def _if_in(window: Window, value: pl.Expr) -> pl.Expr:
    return pl.when(_in_time(window)).then(value).otherwise(0)
