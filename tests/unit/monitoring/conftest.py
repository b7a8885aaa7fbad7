"""Generated prediction logs: seeded, in the runtime's schema."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelway.bundle.signature import Input, Signature

START = datetime(2005, 1, 1, tzinfo=UTC)


@pytest.fixture
def signature() -> Signature:
    return Signature(
        model_name="credit",
        key="loan_id",
        label="charged_off",
        inputs=(
            Input(name="amount", kind="numeric"),
            Input(name="employees", kind="numeric"),
            Input(name="state", kind="category", vocabulary=("CA", "NY", "TX")),
        ),
        threshold=0.2,
    )


def encoded_rows(draw: np.random.Generator, rows: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    amount = draw.normal(shift, 1.0, rows).astype(np.float32)
    employees = draw.poisson(8, rows).astype(np.float32)
    employees[draw.random(rows) < 0.1] = np.nan
    state = draw.choice([0.0, 1.0, 2.0, np.nan], rows, p=[0.5, 0.3, 0.15, 0.05]).astype(np.float32)
    probability = 1 / (1 + np.exp(2 - amount - 0.2 * draw.normal(size=rows)))
    return {
        "amount": amount,
        "employees": employees,
        "state": state,
        "probability": probability.astype(np.float32),
    }


@pytest.fixture
def reference() -> pl.DataFrame:
    return pl.DataFrame(encoded_rows(np.random.default_rng(100), 5000))


def log_frame(  # noqa: PLR0913 - a log line has as many parts
    draw: np.random.Generator,
    rows: int,
    *,
    since: datetime = START,
    days: int = 30,
    shift: float = 0.0,
    first_id: int = 0,
    revision: str = "r1",
    bundle: str = "b1",
) -> pl.DataFrame:
    """One window of predictions, evenly spread over it."""
    columns = encoded_rows(draw, rows, shift)
    times = [since + timedelta(days=days) * (k / rows) for k in range(rows)]
    return pl.DataFrame(
        {
            "_request_id": [f"q{first_id + k}" for k in range(rows)],
            "_row": np.zeros(rows, np.int32),
            "_entity_id": [f"e{first_id + k}" for k in range(rows)],
            "_event_time": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            "_received_at": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            "_model": "credit",
            "_revision": revision,
            "_bundle": bundle,
            "_probability": columns.pop("probability"),
            **columns,
        }
    )


@pytest.fixture
def make_log() -> Callable[..., pl.DataFrame]:
    return log_frame


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[[pl.DataFrame, str], Path]:
    folder = tmp_path / "predictions"

    def write(frame: pl.DataFrame, name: str = "r1-1-0.parquet") -> Path:
        folder.mkdir(exist_ok=True)
        frame.write_parquet(folder / name)
        return folder

    return write
