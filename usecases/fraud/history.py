"""What a card and a merchant have been doing lately: sums over sliding windows, as a stream would keep them.

`event_time` of a row is the moment its sums are true for, `known_at` is `PUBLICATION_LAG` later. A decision
on an arriving transaction thus never sees the transaction itself, nor what arrived in the seconds before it:
neither would a server that reads what a stream job has written.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import polars as pl

from modelway.features.definitions import Feature, FeatureView
from usecases.fraud.windows import GAP, Facts, Kind, Window, newest_gap, sliding

PUBLICATION_LAG = timedelta(seconds=2)
"""From the moment a sum changes to the moment a reader finds it in the online store."""
TTL_DAYS = 90
"""The last row of an entity that has gone quiet says that its windows are empty, and is believed so long."""
HOUR, DAY, WEEK = (
    Window("1h", timedelta(hours=1)),
    Window("24h", timedelta(days=1)),
    Window("7d", timedelta(days=7)),
)
MONTHS = Window("60d", timedelta(days=60))
"""As long as a charge-back may take."""

CARD_KINDS = (Kind(values=("purchases", "cents"), windows=(HOUR, DAY, WEEK)),)
MERCHANT_KINDS = (
    Kind(values=("purchases", "cents"), windows=(HOUR, DAY, WEEK)),
    Kind(values=("trade",), windows=(MONTHS,)),
    Kind(values=("chargebacks",), windows=(MONTHS,)),
)
KINDS: Mapping[str, tuple[Kind, ...]] = {"card_id": CARD_KINDS, "merchant_id": MERCHANT_KINDS}


def happenings(history: pl.LazyFrame, entity: str, *, also: Sequence[str] = ()) -> list[Facts]:
    """The facts behind an entity's view: its purchases and, for a merchant, its charge-backs.

    A charge-back happens, and is known, when the owner disputes: its delay is that of the label.

    Args:
        history: Cleaned rows.
        entity: `card_id` or `merchant_id`.
        also: Further columns to carry along.
    """
    bought = history.select(
        entity,
        *also,
        pl.min_horizontal("event_time", "known_at").alias("at"),
        "known_at",
        pl.lit(1, pl.Int64).alias("purchases"),
        pl.lit(1, pl.Int64).alias("trade"),
        (pl.col("amount_eur") * 100).round().cast(pl.Int64).alias("cents"),
    )
    dispute = pl.max_horizontal("charged_back_at", "known_at")
    disputed = history.filter(pl.col("charged_back_at").is_not_null()).select(
        entity,
        *also,
        dispute.alias("at"),
        dispute.alias("known_at"),
        pl.lit(1, pl.Int64).alias("chargebacks"),
    )
    return [(kind, disputed if "chargebacks" in kind.values else bought) for kind in KINDS[entity]]


def card_rows(history: pl.LazyFrame) -> pl.LazyFrame:
    """The card view: sums of its purchases and the gap between the newest two."""
    facts = happenings(history, "card_id")
    sums, gaps = sliding(facts, "card_id"), newest_gap(facts[0][1], "card_id")
    with_gap = sums.join(gaps, on=["card_id", "moment"], how="left").sort("card_id", "moment")
    return published(with_gap.with_columns(pl.col(GAP).forward_fill().over("card_id")))


def merchant_rows(history: pl.LazyFrame) -> pl.LazyFrame:
    """The merchant view: sums of its purchases and charge-backs."""
    return published(sliding(happenings(history, "merchant_id"), "merchant_id"))


def published(sums: pl.LazyFrame) -> pl.LazyFrame:
    """Sums with both clocks: true for their moment, found a little later."""
    return sums.rename({"moment": "event_time"}).with_columns(
        (pl.col("event_time") + PUBLICATION_LAG).alias("known_at")
    )


def _counts(of: str, words: str) -> tuple[Feature, ...]:
    return tuple(
        Feature(
            name=f"{of}_purchases_{window.name}",
            sql=f"purchases_{window.name}",
            description=f"Purchases {words} in the last {window.name}",
            unit="purchases",
        )
        for window in (HOUR, DAY, WEEK)
    )


def _money(of: str, words: str, *windows: Window) -> tuple[Feature, ...]:
    """Sum and mean over each window; a window without purchases has no mean."""
    return tuple(
        Feature(
            name=f"{of}_{what}_eur_{w.name}",
            sql=sql.format(w.name),
            description=f"{text} {words}",
            unit="EUR",
        )
        for w in windows
        for what, sql, text in (
            ("sum", "CAST(cents_{0} AS DOUBLE) / 100", f"Sum of the last {w.name}"),
            ("mean", "CAST(cents_{0} AS DOUBLE) / 100 / purchases_{0}", f"Mean of the last {w.name}"),
        )
    )


CARD_VIEW = FeatureView(
    name="card_lately",
    entity="card_id",
    ttl_days=TTL_DAYS,
    compute=card_rows,
    features=(
        *_counts("card", "with the card"),
        *_money("card", "with the card", HOUR, DAY, WEEK),
        Feature(name="card_gap_s", sql=GAP, description="Between the card's two newest purchases", unit="s"),
    ),
)
MERCHANT_VIEW = FeatureView(
    name="merchant_lately",
    entity="merchant_id",
    ttl_days=TTL_DAYS,
    compute=merchant_rows,
    features=(
        *_counts("merchant", "at the merchant"),
        *_money("merchant", "at the merchant", WEEK),
        Feature(
            name="merchant_chargeback_rate_60d",
            sql="CAST(chargebacks_60d AS DOUBLE) / trade_60d",
            description="Charge-backs that came in over the merchant's purchases, both in 60 days",
            unit="share",
        ),
    ),
)
VIEWS = (CARD_VIEW, MERCHANT_VIEW)
