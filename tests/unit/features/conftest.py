"""A use case small enough to compute by hand."""

from datetime import UTC, datetime
from types import SimpleNamespace

import polars as pl
import pytest

from modelway.contract import Column, DataContract, LabelRule
from modelway.features.definitions import Feature, FeatureSet, FeatureView

COLUMNS = (
    Column(name="loan_id", kind="string"),
    Column(name="event_time", kind="timestamp"),
    Column(name="known_at", kind="timestamp"),
    Column(name="paid_at", kind="timestamp", known_from="paid_at"),
    Column(name="lost_at", kind="timestamp", nullable=True, known_from="lost_at"),
    Column(name="collected_usd", kind="float", nullable=True, known_from="lost_at"),
    Column(name="state", kind="string", nullable=True),
    Column(name="amount_usd", kind="float", nullable=True),
    Column(name="term_months", kind="int"),
)


def loans_so_far(history: pl.LazyFrame) -> pl.LazyFrame:
    """Each loan tells how many its state has had, itself included, two days later."""
    return (
        history.sort("event_time", "loan_id")
        .select(
            "state",
            "event_time",
            (pl.col("known_at") + pl.duration(days=2)).alias("known_at"),
            pl.int_range(1, pl.len() + 1).over("state").alias("loans"),
        )
        .drop_nulls("state")
    )


@pytest.fixture
def fake_use_case():
    """Loans: lost within two months of being paid out?"""
    view = FeatureView(
        name="state_history",
        entity="state",
        ttl_days=60,
        compute=loans_so_far,
        features=(Feature(name="state_loans", sql="loans"),),
    )
    row = (Feature(name="amount_kusd", sql="amount_usd / 1000"), Feature(name="state", kind="category"))
    return SimpleNamespace(
        name="fake",
        contract=DataContract(version="1.0", key="loan_id", columns=COLUMNS, forbidden=("term_months",)),
        label=LabelRule(name="lost", starts_at="paid_at", happened_at="lost_at", horizon_months=2),
        features=FeatureSet(row=row, views=(view,)),
        training_window_months=12,
    )


def _day(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


@pytest.fixture
def fake_history():
    """Five loans, out of order on purpose."""
    rows = [
        ("c", "2005-02-01", "2005-02-01", None, "NY", 3000.0),
        ("a", "2005-01-01", "2005-01-02", None, "NY", 1000.0),
        ("b", "2005-01-05", "2005-01-06", "2005-02-20", "NY", 2000.0),
        ("d", "2005-03-01", "2005-03-01", "2005-12-01", "FL", None),
        ("e", "2005-06-01", "2005-06-01", None, None, 5000.0),
    ]
    return pl.LazyFrame(
        [
            {
                "loan_id": key,
                "event_time": _day(at),
                "known_at": _day(at),
                "paid_at": _day(paid),
                "lost_at": _day(lost),
                "collected_usd": 100.0 if lost else None,
                "state": state,
                "amount_usd": amount,
                "term_months": 12,
            }
            for key, at, paid, lost, state, amount in rows
        ],
        schema_overrides={c.name: pl.Datetime("us", "UTC") for c in COLUMNS if c.kind == "timestamp"},
    )
