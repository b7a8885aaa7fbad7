"""What the cleaned table of transactions promises, and how such streams are dirty."""

import polars as pl

from modelway.contract import Column, DataContract, RowRule
from modelway.data.typed import typed
from usecases.fraud.simulator.files import TIME_FORMAT
from usecases.fraud.simulator.world import CATEGORIES

COLUMNS = (
    Column(
        name="transaction_id", kind="string", description="the same when a transaction is delivered twice"
    ),
    Column(name="event_time", kind="timestamp", description="when the terminal says it happened, UTC"),
    Column(name="known_at", kind="timestamp", description="when it arrived here: late, or overtaken"),
    Column(
        name="charged_back_at",
        kind="timestamp",
        nullable=True,
        known_from="charged_back_at",
        description="when the card's owner disputed it: the label's own clock",
    ),
    Column(
        name="card_id",
        kind="string",
        strong_because="a stolen card's purchases share its number; no feature reads it",
    ),
    Column(
        name="merchant_id",
        kind="string",
        nullable=True,
        strong_because="merchants of a ring have little honest trade; no feature reads it",
    ),
    Column(name="merchant_category", kind="string", nullable=True, isin=CATEGORIES),
    Column(name="entry", kind="string", isin=("chip", "contactless", "online")),
    Column(name="amount_eur", kind="float", ge=0),
    Column(name="limit_eur", kind="float", ge=0, description="what the card may spend in a month"),
    Column(name="distance_km", kind="float", nullable=True, ge=0, description="home to shop; none online"),
)

# A second delivery of one transaction_id is set aside by every ingest, as `duplicate_key`.
RULES = (
    RowRule(
        name="refund",
        message="a negative amount: money goes back to the card, there is nothing to decide",
        violated="amount_eur < 0",
        action="quarantine",
    ),
    RowRule(
        name="terminal_clock_ahead",
        message="arrived before it happened: the terminal's clock runs ahead, so its time is not known",
        violated="known_at < event_time",
        action="quarantine",
    ),
    RowRule(
        name="unknown_merchant",
        message="the merchant is not registered: kept, without merchant features",
        violated="merchant_id = '?'",
        action="repair",
        column="merchant_id",
        repaired="NULL",
    ),
    RowRule(
        name="late",
        message="arrived more than an hour after it happened: kept, it counts from its arrival",
        violated="known_at > event_time + INTERVAL '1 hour'",
        action="note",
    ),
)

CONTRACT = DataContract(
    version="1.0",
    key="transaction_id",
    columns=COLUMNS,
    rules=RULES,
    forbidden=("charged_back_at",),
    max_quarantined_share=0.05,
    min_rows=500,
)

_SOURCES = {column.name: column.name for column in COLUMNS} | {"known_at": "arrived_at"}
RAW_COLUMNS = tuple(_SOURCES.values())
"""Columns of the stream; nothing else in a file is read."""


def clean_transactions(raw: pl.DataFrame) -> pl.DataFrame:
    """The contract's columns, typed. A cell that cannot be read is null."""
    return typed(raw, CONTRACT, _SOURCES, time_format=TIME_FORMAT.replace("%.6f", "%.f"))
