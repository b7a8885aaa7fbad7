"""The as-of join on two clocks: what was known about an entity at the moment a row was decided."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from modelway.errors import ContractError

TIME = pl.Datetime("us", "UTC")
_BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)
_ROW, _RANK, _BEST, _USABLE, _STAMP = "__row", "__rank", "__best", "__usable_from", "__stamp"


def as_of_join(
    entities: pl.LazyFrame,
    features: pl.LazyFrame,
    *,
    keys: Sequence[str],
    ttl: timedelta | None,
    at: str = "event_time",
) -> pl.LazyFrame:
    """For each entity row, the newest feature row with event_time <= t and known_at <= t.

    Every entity row comes back once, in the order given; where nothing is usable its features are
    null. Of two feature rows of one key and event_time the one known later wins (a correction), and
    of two that agree in both clocks the one standing later in `features`.

    Args:
        entities: Rows to describe, with `keys` and the moment `at`. A null key or moment finds nothing.
        features: `keys`, `event_time`, `known_at` and the feature columns. Rows without a key or
            with an empty clock were never known and are left out.
        keys: Columns that name the entity, in both frames.
        ttl: A feature row whose `event_time` lies longer than this before t is missing; None keeps all.
        at: Column of `entities` that holds t.

    Returns:
        The columns of `entities`, then the feature columns.

    Raises:
        ContractError: A column is missing, or a feature is named like a column of `entities`.

    Source:
        Sculley et al. (2015), "Hidden Technical Debt in Machine Learning Systems", on data
        dependencies; the two clocks are valid and transaction time of Snodgrass (1999),
        "Developing Time-Oriented Database Applications in SQL", chapter 2.
    """
    names = _feature_names(entities, features, [*keys, "event_time", "known_at"], [*keys, at])
    joined = (
        entities.with_columns(pl.col(at).cast(TIME).fill_null(_BEFORE_ALL).alias(_USABLE))
        .with_row_index(_ROW)
        .sort(_USABLE)
        .join_asof(
            _usable(features, keys, names),
            on=_USABLE,
            by=list(keys),
            strategy="backward",
            check_sortedness=False,  # both sides are sorted just above; polars cannot check within `by`
        )
        .sort(_ROW)
    )
    return _expire(joined, at, names, ttl).drop(_ROW, _USABLE, _STAMP)


def _usable(features: pl.LazyFrame, keys: Sequence[str], names: Sequence[str]) -> pl.LazyFrame:
    """Feature rows at the moment from which each is the best one known; the outdone ones left out.

    A row is usable from max(event_time, known_at). In that order, per key, a row matters only if it
    is the best so far: late news about the past never replaces newer knowledge.
    """
    clocks = [pl.col("event_time").cast(TIME), pl.col("known_at").cast(TIME)]
    return (
        features.select(*keys, *clocks, *names)
        .drop_nulls([*keys, "event_time", "known_at"])
        .sort("event_time", "known_at", maintain_order=True)
        .with_row_index(_RANK)
        .with_columns(pl.max_horizontal("event_time", "known_at").alias(_USABLE))
        .sort(_USABLE, _RANK)
        .with_columns(pl.col(_RANK).cum_max().over(list(keys)).alias(_BEST))
        .filter(pl.col(_RANK) == pl.col(_BEST))
        .unique([*keys, _USABLE], keep="last", maintain_order=True)
        .select(*keys, _USABLE, pl.col("event_time").alias(_STAMP), *names)
    )


def _expire(joined: pl.LazyFrame, at: str, names: Sequence[str], ttl: timedelta | None) -> pl.LazyFrame:
    if ttl is None:
        return joined
    fresh = pl.col(at).cast(TIME) - pl.col(_STAMP) <= ttl
    return joined.with_columns(pl.when(fresh).then(pl.col(name)).alias(name) for name in names)


def _feature_names(
    entities: pl.LazyFrame, features: pl.LazyFrame, needed: Sequence[str], entity_needed: Sequence[str]
) -> list[str]:
    have, offered = entities.collect_schema().names(), features.collect_schema().names()
    _require("features", needed, offered)
    _require("entities", entity_needed, have)
    names = [name for name in offered if name not in needed]
    clash = sorted(set(names) & set(have))
    if clash:
        raise ContractError(
            f"features and entities both have {', '.join(clash)}",
            expected="feature names that no entity column has",
            remedy="rename the feature",
        )
    return names


def _require(side: str, needed: Sequence[str], have: Sequence[str]) -> None:
    missing = [name for name in needed if name not in have]
    if missing:
        raise ContractError(
            f"the {side} of an as-of join lack {', '.join(missing)}",
            expected=f"columns {', '.join(needed)}",
            remedy="compare with the columns it has: " + ", ".join(have),
        )
