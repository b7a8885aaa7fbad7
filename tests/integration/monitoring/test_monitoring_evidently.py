"""Evidently's page is really written, from the columns people know."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelway.bundle.signature import Input
from modelway.errors import EmptyWindowError
from modelway.monitoring.evidently import evidently_report

INPUTS = (
    Input(name="amount", kind="numeric"),
    Input(name="never_known", kind="numeric"),
    Input(name="state", kind="category", vocabulary=("CA", "NY")),
)


def rows(n: int, score: str, shift: float = 0.0) -> pl.DataFrame:
    draw = np.random.default_rng(n)
    return pl.DataFrame(
        {
            "amount": draw.normal(shift, 1, n).astype(np.float32),
            "never_known": np.full(n, np.nan, np.float32),
            "state": draw.choice([0.0, 1.0, np.nan], n).astype(np.float32),
            score: draw.random(n).astype(np.float32),
        }
    )


def test_the_page_is_written_though_a_column_has_no_value(tmp_path: Path) -> None:
    path = evidently_report(
        rows(900, "probability"),
        rows(700, "_probability", 1.0),
        tmp_path / "e.html",
        inputs=INPUTS,
        rows_at_most=500,
    )
    page = path.read_text()

    assert len(page) > 100_000
    assert "amount" in page
    assert "(missing or unknown)" in page


def test_an_empty_side_is_refused_before_evidently_is_imported(tmp_path: Path) -> None:
    with pytest.raises(EmptyWindowError, match="0 current"):
        evidently_report(rows(10, "probability"), rows(0, "_probability"), tmp_path / "e.html", inputs=INPUTS)
