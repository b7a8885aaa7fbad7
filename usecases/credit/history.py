"""What the books said about an industry or a state when a loan came in: one row per month.

Each view is a monthly batch job. The row of month m counts what had happened by the first of m and
is published `PUBLICATION_LAG` later, so that a loan approved on the 2nd still sees last month's row,
as it would have in the bank. Nothing after m enters: cutting the history at m changes no row up to m.
"""

from datetime import timedelta
from functools import partial

import polars as pl

from modelway.features.definitions import Feature, FeatureView

PUBLICATION_LAG = timedelta(days=3)
"""From the first of the month, when the books close, to the day on which the row can be read."""
YEAR_DAYS = 365
FIVE_YEARS_DAYS = 1826
TTL_DAYS = 62
"""One missed run is bridged with the row before; after two the value counts as missing."""


def monthly(history: pl.LazyFrame, entity: str) -> pl.LazyFrame:
    """One row per value of `entity` and month, from its first approval to the last month begun.

    Args:
        history: Loans with `entity`, `known_at` (approval) and `charged_off_at` (null while unknown).
        entity: Column that names the group, e.g. `state`.

    Returns:
        `entity`, `event_time` (first of the month), `known_at`, `approvals_365d`,
        `approvals_growth` (share, over the 365 days before), `charge_off_rate_365d` (charge-offs in
        365 days per loan approved in 1826 days).
    """
    facts = history.select(entity, "known_at", "charged_off_at").drop_nulls([entity, "known_at"])
    charged_off = facts.drop_nulls("charged_off_at").select(
        entity, pl.max_horizontal("known_at", "charged_off_at").alias("known_at")
    )
    approvals, charge_offs = _running_count(facts, entity), _running_count(charged_off, entity)
    grid = _months(facts, entity)
    for name, counts, days in (
        ("approved", approvals, 0),
        ("approved_1y", approvals, YEAR_DAYS),
        ("approved_2y", approvals, 2 * YEAR_DAYS),
        ("approved_5y", approvals, FIVE_YEARS_DAYS),
        ("lost", charge_offs, 0),
        ("lost_1y", charge_offs, YEAR_DAYS),
    ):
        grid = _counted(grid, counts, entity, name, days)
    return grid.select(entity, "event_time", "known_at", *_rates()).sort(entity, "event_time")


def _months(facts: pl.LazyFrame, entity: str) -> pl.LazyFrame:
    """The months of each group. The last is the one in which the newest approval lies: it has begun."""
    month = pl.col("known_at").dt.truncate("1mo")
    last = facts.select(month.max().alias("last"))
    return (
        facts.group_by(entity)
        .agg(month.min().dt.offset_by("1mo").alias("first"))
        .join(last, how="cross")
        .select(entity, pl.datetime_ranges("first", "last", "1mo").alias("event_time"))
        .explode("event_time", empty_as_null=False)
        .with_columns((pl.col("event_time") + PUBLICATION_LAG).alias("known_at"))
    )


def _running_count(facts: pl.LazyFrame, entity: str) -> pl.LazyFrame:
    """How many facts each group had had by each moment at which one came in."""
    return (
        facts.group_by(entity, pl.col("known_at").alias("at"))
        .len("n")
        .sort("at")
        .select(entity, "at", pl.col("n").cast(pl.Int64).cum_sum().over(entity))
    )


def _counted(
    grid: pl.LazyFrame, counts: pl.LazyFrame, entity: str, name: str, days_before: int
) -> pl.LazyFrame:
    """The grid with the running count as it stood `days_before` each month's first day."""
    moment = (pl.col("event_time") - timedelta(days=days_before)).alias("at")
    return (
        grid.with_columns(moment)
        .sort("at")
        .join_asof(
            counts.rename({"n": name}), on="at", by=entity, strategy="backward", check_sortedness=False
        )
        .with_columns(pl.col(name).fill_null(0))
        .drop("at")
    )


def _rates() -> tuple[pl.Expr, ...]:
    """Differences of running counts; where a denominator is zero there is no rate."""
    this_year = pl.col("approved") - pl.col("approved_1y")
    year_before = pl.col("approved_1y") - pl.col("approved_2y")
    at_risk = pl.col("approved") - pl.col("approved_5y")
    lost = pl.col("lost") - pl.col("lost_1y")
    return (
        this_year.alias("approvals_365d"),
        pl.when(year_before > 0).then(this_year / year_before - 1).alias("approvals_growth"),
        pl.when(at_risk > 0).then(lost / at_risk).alias("charge_off_rate_365d"),
    )


def _view(entity: str, words: str) -> FeatureView:
    return FeatureView(
        name=f"{entity}_history",
        entity=entity,
        ttl_days=TTL_DAYS,
        compute=partial(monthly, entity=entity),
        features=(
            Feature(
                name=f"{entity}_approvals_365d",
                sql="approvals_365d",
                description=f"Loans approved in {words} in the 365 days before the month",
                unit="loans",
            ),
            Feature(
                name=f"{entity}_approvals_growth",
                sql="approvals_growth",
                description=f"Approvals in {words} over those of the 365 days before, minus one",
                unit="share",
            ),
            Feature(
                name=f"{entity}_charge_off_rate_365d",
                sql="charge_off_rate_365d",
                description=f"Charge-offs in {words} in 365 days per loan approved there in five years",
                unit="share",
            ),
        ),
    )


VIEWS: tuple[FeatureView, ...] = (
    _view("industry", "the industry"),
    _view("state", "the borrower's state"),
    _view("bank_state", "the bank's state"),
)
