"""Distance from the usual, and gaps between promises and outcomes."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from modelway.stats.familiarity import Usual
from modelway.stats.rate_gaps import adjusted_level, gap_estimate


def test_distance_agrees_with_scipy_up_to_the_ridge():
    random = np.random.default_rng(0)
    rows = random.multivariate_normal([0, 5], [[1, 0.8], [0.8, 1]], size=4000)
    scale = rows.std(axis=0)
    covariance = np.cov((rows / scale).T, bias=True) + 0.05 * np.eye(2)

    found = Usual.of(rows).distance(np.array([[1.0, 4.0], [1.0, 6.0]]))

    expected = [
        mahalanobis(np.array(row) / scale, rows.mean(axis=0) / scale, np.linalg.inv(covariance))
        for row in ((1.0, 4.0), (1.0, 6.0))
    ]
    assert found.tolist() == pytest.approx(expected)


def test_what_breaks_the_correlation_is_further_than_what_keeps_it():
    random = np.random.default_rng(0)
    rows = random.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], size=2000)

    against, along = Usual.of(rows).distance(np.array([[2.0, -2.0], [2.0, 2.0]]))

    assert against > 2 * along


def test_the_unit_of_a_column_does_not_matter():
    rows = np.random.default_rng(1).normal(size=(500, 3))
    units = np.array([1.0, 1e6, 1e-3])

    plain, scaled = Usual.of(rows).distance(rows[:5]), Usual.of(rows * units).distance(rows[:5] * units)

    assert scaled.tolist() == pytest.approx(plain.tolist())


def test_a_column_that_never_varies_is_no_division_by_zero():
    rows = np.column_stack([np.random.default_rng(1).normal(size=300), np.ones(300)])

    found = Usual.of(rows).distance(np.array([[0.0, 1.0], [0.0, 2.0]]))

    assert np.isfinite(found).all()
    assert found[1] > found[0]


def test_a_gap_by_hand():
    # 3 of 4 came true, half was promised: gap 0.25; p(1-p) = 0.25 is more than the spread seen, 0.1875
    found = gap_estimate([1, 1, 1, 0], [0.5, 0.5, 0.5, 0.5], level=0.6826894921)

    assert found.value == 0.25
    assert found.high - found.value == pytest.approx(np.sqrt(0.25 / 4))


def test_no_positive_at_all_is_not_called_sure():
    found = gap_estimate(np.zeros(50), np.full(50, 0.02), level=0.95)

    assert found.low < 0 < found.high


def test_intervals_hold_together_by_being_wider():
    assert adjusted_level(0.95, 5) == pytest.approx(0.99)
    assert adjusted_level(0.95, 0) == 0.95


def test_kept_promises_are_seldom_called_broken():
    random = np.random.default_rng(4)
    misses = 0
    for _ in range(400):
        promised = random.beta(1, 20, size=300)
        found = gap_estimate(random.random(300) < promised, promised, level=0.95)
        misses += not found.low <= 0 <= found.high
    assert misses / 400 < 0.08
