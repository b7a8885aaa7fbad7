"""How often the label was 1 among earlier rows of a category: target encoding that time keeps honest.

No folds are needed: a row sees only labels that had been published before it was scored. So the value that
training sees is the one that the online store held at that moment.
"""

from datetime import timedelta
from functools import partial

import polars as pl

from modelway.contract import LabelRule
from modelway.data.labels import with_label
from modelway.errors import ConfigError
from modelway.features.definitions import Feature, FeatureView
from modelway.features.join import TIME

RATE = "rate"


def target_rate(entity: str, label: LabelRule, *, smoothing_rows: float, ttl_days: int) -> FeatureView:
    """A view with one feature, `ENTITY_target_rate`: the smoothed share of positives so far.

    Args:
        entity: Column of the rows that names the category. It works by key where the model takes it as input.
        label: The use case's. A label counts from the end of the day on which it has matured, positives and
            negatives alike: early positives without their negatives would raise the rate.
        smoothing_rows: So many rows with the rate of all categories together are added to each; 0 for none.
        ttl_days: After so long without a newly matured label the value is missing.

    Raises:
        ConfigError: `smoothing_rows` is negative or no number.

    Source:
        Micci-Barreca (2001), "A preprocessing scheme for high-cardinality categorical attributes", SIGKDD
        Explorations 3(1); in the order of time as in Prokhorenkova et al. (2018), "CatBoost", section 3.
    """
    if not 0 <= smoothing_rows < float("inf"):
        raise ConfigError(
            f"the target rate of {entity} is smoothed with {smoothing_rows} rows",
            expected="zero or more rows",
            remedy="choose about as many rows as make a rate worth believing, such as 50",
        )
    return FeatureView(
        name=f"{entity}_target_rate",
        entity=entity,
        ttl_days=ttl_days,
        compute=partial(daily_rates, entity=entity, label=label, smoothing_rows=smoothing_rows),
        features=(
            Feature(
                name=f"{entity}_target_rate",
                sql=RATE,
                description=f"Share of {label.name} among the {entity}'s earlier rows, smoothed",
                unit="share",
            ),
        ),
    )


def daily_rates(history: pl.LazyFrame, entity: str, label: LabelRule, smoothing_rows: float) -> pl.LazyFrame:
    """Each category's rate at the end of every day on which a label of it matured.

    Args:
        history: Rows with `entity`, `known_at` and what the label rule names.
        entity: Column that names the category; rows without one count in the rate of all.
        label: Says what counts and from when.
        smoothing_rows: See `target_rate`.

    Returns:
        `entity`, `event_time` and `known_at` (both the day's end, UTC), `rate`; sorted by time and entity.
        A row's own label is in no value from before the end of the day on which the row became known.
    """
    settled = pl.max_horizontal(pl.col("label_matured_at", "known_at").cast(TIME))
    day_end = (settled.dt.truncate("1d") + timedelta(days=1)).alias("event_time")
    complete = pl.all_horizontal(pl.col("label", "label_matured_at", "known_at").is_not_null())
    facts = with_label(history, label).filter(complete).select(entity, day_end, "label")
    overall = _running(facts, ["event_time"]).select("event_time", _share().alias("prior"))
    rate = (pl.col("ones") + smoothing_rows * pl.col("prior")) / (pl.col("rows") + smoothing_rows)
    return (
        _running(facts.drop_nulls(entity), ["event_time", entity], over=entity)
        .join(overall, on="event_time", how="left", maintain_order="left")
        .select(entity, "event_time", pl.col("event_time").alias("known_at"), rate.alias(RATE))
    )


def _running(facts: pl.LazyFrame, by: list[str], over: str | None = None) -> pl.LazyFrame:
    """Positives and rows so far, in the order of time."""
    sums = (pl.col(name).cum_sum() for name in ("ones", "rows"))
    counted = facts.group_by(by).agg(
        pl.col("label").cast(pl.Int64).sum().alias("ones"), pl.len().cast(pl.Int64).alias("rows")
    )
    return counted.sort(by).with_columns(one.over(over) if over else one for one in sums)


def _share() -> pl.Expr:
    return pl.col("ones") / pl.col("rows")
