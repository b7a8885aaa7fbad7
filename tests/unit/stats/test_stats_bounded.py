import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.stats.bounded import STAKES, evidence_mean_above, evidence_mean_below

BINS = 100
histograms = st.lists(st.integers(0, 50), min_size=BINS, max_size=BINS)


def histogram(values: np.ndarray) -> list[int]:
    return np.bincount(np.minimum(BINS - 1, (values * BINS).astype(int)), minlength=BINS).tolist()


def test_one_value_by_hand() -> None:
    # One value in the lowest bin, at most 0.01, against "the mean is at least 0.5":
    # each stake s/(1 - 0.5) wins s/0.5 * 0.49.
    one = [1] + [0] * (BINS - 1)

    expected = math.log(sum(1 + stake / 0.5 * 0.49 for stake in STAKES) / len(STAKES))
    assert evidence_mean_below(0.5, one) == pytest.approx(expected)


def test_no_value_is_no_evidence() -> None:
    assert evidence_mean_above(0.1, [0] * BINS) == pytest.approx(0)
    assert evidence_mean_below(0.1, [0] * BINS) == pytest.approx(0)


@given(histograms, st.floats(0.05, 0.95))
def test_nobody_can_prove_both(counts: list[int], limit: float) -> None:
    both = (evidence_mean_above(limit, counts), evidence_mean_below(limit, counts))

    assert min(both) < math.log(20)


def test_it_seldom_errs_however_often_one_looks() -> None:
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(400):
        values = generator.beta(1, 9, size=600)  # its mean is the limit
        looks = [histogram(values[:n]) for n in range(30, 601, 30)]
        wrong += max(evidence_mean_above(0.1, look) for look in looks) >= math.log(20)
        wrong += max(evidence_mean_below(0.1, look) for look in looks) >= math.log(20)

    assert wrong <= 2 * 400 * 0.05


def test_a_clear_difference_is_seen_both_ways() -> None:
    assert evidence_mean_below(0.1, histogram(np.full(60, 0.01))) > math.log(20)
    assert evidence_mean_above(0.1, histogram(np.full(20, 0.4))) > math.log(2000)
