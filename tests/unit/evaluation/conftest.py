"""Held-out rows as an evaluation sees them."""

from typing import Any

import numpy as np
import pytest

from modelway.bundle.signature import Input
from modelway.contract import CostMatrix
from modelway.evaluation.scored import ScoredRows
from modelway.evaluation.subject import Subject
from modelway.stats.bootstrap import Sampling

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


INPUTS = (
    Input(name="amount", kind="numeric"),
    Input(name="staff", kind="numeric"),
    Input(name="new", kind="numeric"),
    Input(name="state", kind="category", vocabulary=("CA", "NY", "TX")),
)


def logistic(X: np.ndarray) -> np.ndarray:
    """A model of four inputs that knows what to do with holes: amount raises, NY raises, staff is ignored."""
    known = np.where(np.isnan(X), 0, X)
    odds = 1.2 * known[:, 0] + 1.0 * (known[:, 3] == 1) - 1.5
    return 1 / (1 + np.exp(-np.clip(odds, -30, 30)))


def make_subject(n: int = 1200, *, answer: Any = logistic, truth: Any = logistic, seed: int = 0) -> Subject:
    """Test and training rows of one world; labels are drawn from `truth`, scores are `answer`'s."""
    random = np.random.default_rng(seed)

    def drawn(rows: int) -> np.ndarray:
        columns = [
            random.normal(size=rows),
            random.poisson(4, rows).astype(float),
            random.integers(0, 2, rows).astype(float),
            random.integers(0, 3, rows).astype(float),
        ]
        X = np.column_stack(columns).astype(np.float32)
        X[random.random(rows) < 0.1, 1] = np.nan
        return X

    X = drawn(n)
    y = random.random(n) < truth(X)
    return Subject(
        answer=answer,
        inputs=INPUTS,
        X=X,
        rows=ScoredRows.of(y, answer(X), 0.4),
        keys=tuple(f"L{i}" for i in range(n)),
        newest=np.arange(n) >= 0.75 * n,
        reference=drawn(2000),
        costs=COSTS,
        sampling=Sampling(seed=seed, resamples=60),
    )


@pytest.fixture(scope="session")
def subject_with() -> Any:
    return make_subject


@pytest.fixture(scope="session")
def subject() -> Subject:
    return make_subject()
