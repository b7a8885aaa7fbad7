"""Calibration: by hand, against scikit-learn and scipy, and by property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from modelway.stats.calibration import (
    brier,
    calibration_error,
    equal_mass_bins,
    log_loss,
    reliability,
    weighted_mean,
    wilson,
)

FEW = settings(max_examples=25, deadline=None)

PROBABILITIES = st.floats(0, 1, width=32)


@st.composite
def scored(draw):
    n = draw(st.integers(1, 60))
    return draw(arrays(np.float64, n, elements=st.integers(0, 1).map(float))), draw(
        arrays(np.float64, n, elements=PROBABILITIES)
    )


def test_brier_and_log_loss_by_hand():
    assert brier([1, 0], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)
    assert log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)


@FEW
@given(scored())
def test_brier_and_log_loss_agree_with_scikit_learn(rows):
    y, scores = rows

    assert brier(y, scores) == pytest.approx(metrics.brier_score_loss(y, scores, pos_label=1))
    inside = np.clip(scores, 1e-6, 1 - 1e-6)
    assert log_loss(y, inside) == pytest.approx(metrics.log_loss(y, inside, labels=[0, 1]))


def test_a_certainty_that_was_wrong_costs_much_but_not_infinitely():
    assert 30 < log_loss([1], [0.0]) < 40


def test_calibration_error_by_hand():
    # two bins of two rows: promised .1 and .9, happened .5 and 1 -> gaps .4 and .1, half the rows each
    y, scores = [0, 1, 1, 1], [0.1, 0.1, 0.9, 0.9]

    assert calibration_error(y, scores, bins=2) == pytest.approx((0.4 + 0.1) / 2)


def test_a_model_that_keeps_its_promises_has_no_error():
    y, scores = np.repeat([0, 1, 0, 1], [8, 2, 2, 8]), np.repeat([0.2, 0.8], 10)

    assert calibration_error(y, scores) == pytest.approx(0, abs=1e-12)


@FEW
@given(scored(), st.integers(1, 12))
def test_calibration_error_agrees_with_scikit_learns_curve(rows, bins):
    y, scores = rows
    observed, promised = calibration_curve(y, scores, n_bins=bins, strategy="quantile")
    sizes = [row.rows for row in reliability(y, scores, bins=bins)]

    expected = np.average(np.abs(observed - promised), weights=sizes)
    assert calibration_error(y, scores, bins=bins) == pytest.approx(expected, abs=1e-9)


@FEW
@given(scored())
def test_calibration_error_lies_between_the_mean_gap_and_one(rows):
    y, scores = rows
    found = float(calibration_error(y, scores))

    assert abs(y.mean() - scores.mean()) - 1e-9 <= found <= 1


@FEW
@given(scored())
def test_reliability_covers_every_row_once_in_order_of_score(rows):
    y, scores = rows
    table = reliability(y, scores)

    assert sum(row.rows for row in table) == y.size
    assert sum(row.positives for row in table) == y.sum()
    means = [row.mean_score for row in table]
    assert means == sorted(means)
    assert all(row.low - 1e-12 <= row.observed <= row.high + 1e-12 for row in table)


@FEW
@given(arrays(np.float64, st.integers(1, 50), elements=st.integers(0, 3).map(float)))
def test_equal_scores_share_a_bin(scores):
    index = equal_mass_bins(scores)

    assert all(len(set(index[scores == value])) == 1 for value in set(scores))
    assert set(index) == set(range(index.max() + 1))


def test_bins_are_of_equal_mass_where_scores_differ():
    assert np.bincount(equal_mass_bins(np.arange(100.0) ** 3, 10)).tolist() == [10] * 10


@FEW
@given(scored())
def test_weights_of_one_change_nothing(rows):
    y, scores = rows
    ones = np.ones((2, y.size))

    for measure in (brier, log_loss, calibration_error):
        np.testing.assert_allclose(measure(y, scores, ones), [float(measure(y, scores))] * 2, atol=1e-12)


@pytest.mark.parametrize("successes", [0, 1, 7, 20])
def test_wilson_agrees_with_scipy(successes):
    expected = binomtest(successes, 20).proportion_ci(method="wilson")

    assert wilson(successes, 20) == pytest.approx((expected.low, expected.high))


def test_without_rows_nothing_is_said():
    assert np.isnan(wilson(0, 0)).all()
    assert np.isnan(calibration_error([], []))
    assert calibration_error([], [], np.ones((2, 0))).shape == (2,)
    assert np.isnan(weighted_mean([]))
    assert reliability([], []) == ()
    assert equal_mass_bins([]).size == 0


def test_a_score_that_is_no_number_makes_the_error_undefined():
    assert np.isnan(calibration_error([0, 1, 1], [0.1, np.nan, 0.3]))
