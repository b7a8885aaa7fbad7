"""Seeded facts for benchmarks/features.py: rows that ask, and feature rows on two clocks."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.features.join import TIME

WIDTH = 10
TTL = timedelta(days=365)
AS_OF = datetime(2020, 1, 2, tzinfo=UTC)
_DAY_US = 86_400_000_000
_YEARS_10 = 3_650 * _DAY_US


def asked(rows: int, keys: int) -> pl.DataFrame:
    """Rows that want features: `key`, `event_time`, `row`."""
    draw = np.random.default_rng(1)
    columns = {"key": draw.integers(0, keys, rows), "event_time": draw.integers(0, _YEARS_10, rows)}
    return pl.DataFrame(columns | {"row": np.arange(rows)}).with_columns(
        pl.col("key").cast(pl.String), pl.col("event_time").cast(TIME)
    )


def published(facts: int, keys: int) -> pl.DataFrame:
    """Feature rows, each known up to 90 days after its event: late ones overtake each other."""
    draw = np.random.default_rng(2)
    event = draw.integers(0, _YEARS_10, facts)
    clocks = {"event_time": event, "known_at": event + draw.integers(0, 90 * _DAY_US, facts)}
    values = {f"f{at}": draw.normal(size=facts).astype(np.float32) for at in range(WIDTH)}
    return pl.DataFrame({"key": draw.integers(0, keys, facts)} | clocks | values).with_columns(
        pl.col("key").cast(pl.String), pl.col("event_time", "known_at").cast(TIME)
    )


def one_clock(features: pl.DataFrame) -> pl.DataFrame:
    """The moment each row is usable from, for joins that know one clock."""
    return features.with_columns(pl.max_horizontal("event_time", "known_at").alias("usable")).drop("known_at")


def online_rows(entities: int, width: int) -> pl.DataFrame:
    """One published row an entity."""
    draw, at = np.random.default_rng(3), pl.lit(AS_OF - timedelta(days=1)).cast(TIME)
    values = {f"f{at}": draw.normal(size=entities).astype(np.float32) for at in range(width)}
    rows = pl.DataFrame({"key": np.arange(entities)} | values).with_columns(pl.col("key").cast(pl.String))
    return rows.with_columns(at.alias("event_time"), at.alias("known_at"))


def use_case_of(width: int) -> Any:
    """What the feature store asks of a use case: one view of numbers."""
    view = FeatureView(
        name="ten",
        entity="key",
        ttl_days=10_000,
        compute=lambda history: history,
        features=tuple(Feature(name=f"f{at}") for at in range(width)),
    )
    return SimpleNamespace(name="bench", features=FeatureSet(row=(), views=(view,)))
