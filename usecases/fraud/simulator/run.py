"""Run a scenario: the stream as it arrives, and the truth about it, kept apart."""

from typing import NamedTuple

import numpy as np
import polars as pl

from usecases.fraud.simulator.crimes import crimes
from usecases.fraud.simulator.delivery import chargebacks_s, clocks_ahead_s, delays_s
from usecases.fraud.simulator.purchases import PATTERNS, Purchases, honest, joined
from usecases.fraud.simulator.scenario import FIRST_DAY, Scenario
from usecases.fraud.simulator.world import CATEGORIES, Floats, World, make_world

UNKNOWN_MERCHANT = "?"
_TAP_LIMIT_EUR = 50.0
_REDELIVERED_S = 7_200.0


class Simulated(NamedTuple):
    """One run of a scenario."""

    transactions: pl.DataFrame
    """In order of arrival, as dirty as a stream is; see `usecases.fraud.contract.RAW_COLUMNS`."""
    truth: pl.DataFrame
    """transaction_id, pattern: what made each row. Never an input of anything that learns."""


def simulate(scenario: Scenario) -> Simulated:
    """Make up the scenario's transactions. The same scenario gives the same rows, to the bit."""
    chances = [np.random.default_rng([scenario.seed, stage]) for stage in range(4)]
    world = make_world(scenario, chances[0])
    made = joined([honest(scenario, world, chances[1]), crimes(scenario, world, chances[2])])
    frame = _frame(scenario, world, made, chances[3])
    return Simulated(
        transactions=_delivered(scenario, frame, chances[3]).drop("pattern"),
        truth=frame.select("transaction_id", "pattern"),
    )


def _frame(scenario: Scenario, world: World, made: Purchases, chance: np.random.Generator) -> pl.DataFrame:
    """One clean row per purchase, numbered in order of time, so that a number says nothing of its maker."""
    arrived = made.second + delays_s(scenario, len(made), chance)
    disputed = chargebacks_s(scenario, made.second, made.pattern > 0, chance)
    stamped = made.second + clocks_ahead_s(scenario, len(made), chance)
    columns = {
        **_what(world, made),
        "event_time": _moments(stamped),
        "arrived_at": _moments(arrived),
        "charged_back_at": _moments(np.maximum(disputed, arrived)),
        "pattern": pl.Series(made.pattern).replace_strict(dict(enumerate(PATTERNS)), return_dtype=pl.String),
    }
    return (
        pl.DataFrame(columns)
        .sort("event_time", "card_id", "amount_eur", maintain_order=True)
        .with_row_index("transaction_id", 1)
        .with_columns(_numbered("T", pl.col("transaction_id"), 9).alias("transaction_id"))
    )


def _what(world: World, made: Purchases) -> dict[str, pl.Series]:
    online = world.online[made.merchant]
    apart = world.card_at[made.card] - world.merchant_at[made.merchant]
    distance = np.where(online, np.nan, np.hypot(apart[:, 0], apart[:, 1]))
    tapped = np.where(made.eur < _TAP_LIMIT_EUR, "contactless", "chip")
    named = {"card_id": ("C", made.card, 6), "merchant_id": ("M", made.merchant, 5)}
    return {
        **{n: pl.select(_numbered(p, pl.lit(pl.Series(v)), w)).to_series() for n, (p, v, w) in named.items()},
        "merchant_category": pl.Series(np.asarray(CATEGORIES)[world.category[made.merchant]]),
        "entry": pl.Series(np.where(online, "online", tapped)),
        "amount_eur": pl.Series(made.eur),
        "limit_eur": pl.Series(world.card_limit_eur[made.card]),
        "distance_km": pl.Series(np.round(distance, 1)).fill_nan(None),
    }


def _delivered(scenario: Scenario, frame: pl.DataFrame, chance: np.random.Generator) -> pl.DataFrame:
    """Refunds, unknown merchants, rows that come twice; in order of arrival."""
    refund, unknown, twice = (chance.random(frame.height) < scenario.dirty_share for _ in range(3))
    again = pl.duration(
        microseconds=pl.lit(pl.Series((chance.random(frame.height) * _REDELIVERED_S * 1e6).astype(int)))
    )
    no_one = pl.Series(unknown)
    dirty = frame.with_columns(
        pl.when(pl.Series(refund)).then(-pl.col("amount_eur")).otherwise("amount_eur").alias("amount_eur"),
        pl.when(no_one).then(pl.lit(UNKNOWN_MERCHANT)).otherwise("merchant_id").alias("merchant_id"),
        *(pl.when(~no_one).then(name).alias(name) for name in ("merchant_category", "distance_km")),
    )
    copies = dirty.with_columns(pl.col("arrived_at") + again).filter(pl.Series(twice))
    return pl.concat([dirty, copies]).sort("arrived_at", "transaction_id", maintain_order=True)


def _moments(second: Floats) -> pl.Series:
    """Milliseconds are what terminals write; NaN is no moment."""
    known = ~np.isnan(second)
    micros = np.where(known, np.floor(np.where(known, second, 0.0) * 1_000) * 1_000, 0).astype(np.int64)
    since = pl.DataFrame({"us": micros, "known": known})
    moment = pl.lit(FIRST_DAY).dt.cast_time_unit("us") + pl.duration(microseconds="us")
    return since.select(pl.when("known").then(moment).alias("at"))["at"]


def _numbered(letter: str, number: pl.Expr, width: int) -> pl.Expr:
    return pl.lit(letter) + number.cast(pl.String).str.zfill(width)
