"""Held-out rows as an evaluation sees them."""

from typing import Any

import numpy as np
import pytest

from modelway.contract import CostMatrix

COSTS = CostMatrix(false_positive=4_000, false_negative=30_000)


class Rows:
    """Makes the arguments of `evaluate`: rows of which a given part is told by the scores."""

    @staticmethod
    def make(
        n: int = 2000, *, skill: float = 1.5, champion_skill: float | None = None, seed: int = 0
    ) -> dict[str, Any]:
        """Scores are calibrated by construction: labels are drawn from them."""
        random = np.random.default_rng(seed)
        hidden = random.normal(size=n)
        chance = 1 / (1 + np.exp(2 - skill * hidden))
        y = (random.random(n) < chance).astype(int)
        rows: dict[str, Any] = {
            "y": y,
            "scores": chance,
            "slices": {
                "state": random.choice(["CA", "NY", "TX"], size=n, p=[0.6, 0.35, 0.05]),
                "new": random.choice(["yes", "no"], size=n),
            },
            "times": np.datetime64("2006-01-01", "us")
            + random.integers(0, 180, size=n).astype("timedelta64[D]"),
            "threshold": 0.12,
            "costs": COSTS,
            "seed": 7,
            "min_slice_rows": 150,
            "resamples": 60,
            "test_openings": 1,
        }
        if champion_skill is not None:
            noise = random.normal(size=n)
            rows["champion_scores"] = 1 / (1 + np.exp(2 - champion_skill * hidden - noise))
        return rows


@pytest.fixture(scope="session")
def rows() -> type[Rows]:
    return Rows
