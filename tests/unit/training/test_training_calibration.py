import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from modelway.contract import CostMatrix
from modelway.training.calibration import Calibrator, fit_calibrator, sigmoid, threshold_from


def drawn(slope, intercept, rows=4000, seed=1):
    rng = np.random.default_rng(seed)
    margins = rng.normal(-1, 2, rows)
    return margins, (rng.random(rows) < sigmoid(slope * margins + intercept)).astype(np.int8)


def test_three_probabilities_by_hand():
    p = Calibrator(slope=2.0, intercept=1.0).probabilities(np.array([-0.5, 0.0, 1.0]))

    np.testing.assert_allclose(p, [0.5, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-3))])


def test_it_agrees_with_logistic_regression():
    margins, y = drawn(0.7, -0.4)
    peer = LogisticRegression(C=np.inf, tol=1e-10).fit(margins[:, None], y)

    found = fit_calibrator(margins, y)

    # Platt's targets are 1 / (n + 2) away from the labels, so the two differ in the third digit.
    assert found.slope == pytest.approx(peer.coef_[0, 0], rel=0.01)
    assert found.intercept == pytest.approx(peer.intercept_[0], abs=0.01)


def test_the_mean_probability_is_the_mean_target():
    margins, y = drawn(1.4, 0.6)
    positives = y.sum()
    target = (
        positives * (positives + 1) / (positives + 2) + (len(y) - positives) / (len(y) - positives + 2)
    ) / len(y)

    assert fit_calibrator(margins, y).probabilities(margins).mean() == pytest.approx(target, abs=1e-9)


def test_perfectly_separated_rows_get_a_finite_slope():
    margins = np.linspace(-3, 3, 40)
    found = fit_calibrator(margins, (margins > 0).astype(np.int8))

    assert 0 < found.slope < 100
    assert 0.9 < found.probabilities(np.array([3.0]))[0] < 1


@pytest.mark.parametrize("margins", [np.linspace(2, -2, 50), np.zeros(50)], ids=["turned-round", "constant"])
def test_margins_that_say_nothing_keep_their_order_and_get_the_base_rate(margins):
    y = (np.arange(50) >= 30).astype(np.int8)

    found = fit_calibrator(margins, y)

    assert found.slope > 0
    assert found.probabilities(margins).mean() == pytest.approx(0.4, abs=0.02)


@settings(deadline=None)
@given(st.floats(0.05, 5), st.floats(-6, 6), st.integers(0, 5))
def test_any_scale_and_shift_of_the_margins_gives_the_same_probabilities(scale, shift, seed):
    margins, y = drawn(1.0, 0.0, rows=300, seed=seed)

    plain = fit_calibrator(margins, y).probabilities(margins)
    moved = fit_calibrator(margins * scale + shift, y).probabilities(margins * scale + shift)

    np.testing.assert_allclose(plain, moved, atol=1e-6)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6))
def test_sigmoid_never_overflows_and_mirrors(z):
    p = sigmoid(np.array([z, -z]))

    assert p.sum() == pytest.approx(1)
    assert ((p >= 0) & (p <= 1)).all()


@pytest.mark.parametrize(
    ("false_positive", "false_negative", "threshold"),
    [
        pytest.param(1, 1, 0.5, id="even"),
        pytest.param(9_650, 48_250, 1 / 6, id="one-to-five"),
        pytest.param(0, 0, 0.5, id="free"),
        pytest.param(1, 0, 1.0, id="misses-cost-nothing"),
    ],
)
def test_the_threshold_is_where_both_decisions_cost_the_same(false_positive, false_negative, threshold):
    costs = CostMatrix(false_positive=false_positive, false_negative=false_negative)

    assert threshold_from(costs) == pytest.approx(threshold)
