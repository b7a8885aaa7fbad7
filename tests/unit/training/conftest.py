"""Small synthetic loans with every awkwardness: missing numbers, rare and missing categories."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from modelway.contract import Candidate, Choice, CostMatrix, FloatRange, IntRange
from modelway.features.definitions import Feature, FeatureSet

FEATURES = FeatureSet(
    row=(
        Feature(name="amount_usd"),
        Feature(name="staff"),
        Feature(name="state", kind="category"),
        Feature(name="sector", kind="category"),
    )
)


def loans(rows: int, seed: int = 0) -> pl.DataFrame:
    """Rows three to a day; the label leans on the amount, on missing staff and on the state."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(10, 2, rows).astype(np.float32)
    staff = np.where(rng.random(rows) < 0.1, np.nan, rng.poisson(5, rows)).astype(np.float32)
    state = rng.choice(["CA", "NY", "TX", "WY"], rows, p=[0.4, 0.3, 0.2999, 0.0001])
    sector = rng.choice(["shop", "farm", None], rows, p=[0.5, 0.4, 0.1])
    margin = (np.log(amount) - 10) / 2 + np.isnan(staff) * 2 + (state == "NY") * 1.5 - 2
    start = datetime(2000, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "loan_id": [f"L{i:06d}" for i in range(rows)],
            "event_time": [start + timedelta(days=i // 3) for i in range(rows)],
            "label": (rng.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.int8),
            "amount_usd": amount,
            "staff": staff,
            "state": state,
            "sector": sector,
        }
    ).with_columns(pl.col("staff").fill_nan(None))


@pytest.fixture
def make_loans() -> Callable[..., pl.DataFrame]:
    return loans


def loan_use_case() -> SimpleNamespace:
    return SimpleNamespace(
        name="loans",
        contract=SimpleNamespace(key="loan_id"),
        label=SimpleNamespace(name="lost"),
        features=FEATURES,
        costs=CostMatrix(false_positive=1, false_negative=3),
        candidates=(
            Candidate(
                kind="hgb",
                space={
                    "learning_rate": FloatRange(low=0.03, high=0.3, log=True),
                    "max_leaf_nodes": IntRange(low=3, high=15),
                },
                fixed={"max_iter": 20, "min_samples_leaf": 10},
            ),
            Candidate(
                kind="mlp",
                space={"hidden": Choice(options=(8, 16)), "dropout": FloatRange(low=0, high=0.3)},
                fixed={"epochs": 3, "batch_size": 64},
            ),
        ),
    )


@pytest.fixture
def use_case() -> SimpleNamespace:
    return loan_use_case()
