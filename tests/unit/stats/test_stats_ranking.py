"""ROC and PR areas: by hand, against scikit-learn, and by what must hold for any scores."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from modelway.stats.ranking import areas, pr_auc, pr_curve, ratio, roc_auc, roc_curve

FEW = settings(max_examples=25, deadline=None)

LABELS = np.array([1, 0, 1, 0])
SCORES = np.array([0.9, 0.6, 0.4, 0.1])


@st.composite
def labelled(draw, *, ties: bool = True):
    """Both classes present; scores with or without equals among them."""
    n = draw(st.integers(2, 40))
    y = draw(arrays(np.int8, n, elements=st.integers(0, 1)))
    assume(0 < y.sum() < n)
    values = st.integers(0, 5 if ties else 10**6).map(float)
    return y, draw(arrays(np.float64, n, elements=values, unique=not ties))


def test_roc_auc_by_hand_counts_the_pairs_a_positive_wins():
    # positives .9 and .4 against negatives .6 and .1: three of four pairs are won
    assert roc_auc(LABELS, SCORES) == 0.75


def test_equal_scores_count_half():
    assert roc_auc([1, 0], [0.5, 0.5]) == 0.5
    # .7 beats .2 and ties with .7: one and a half of two
    assert roc_auc([1, 0, 0], [0.7, 0.7, 0.2]) == 0.75


def test_pr_auc_by_hand_weights_precision_by_the_recall_gained():
    # first positive at precision 1/1, second at 2/3, each half of the recall
    assert pr_auc(LABELS, SCORES) == pytest.approx((1 + 2 / 3) / 2)


def test_curves_by_hand():
    roc, pr = roc_curve(LABELS, SCORES), pr_curve(LABELS, SCORES)

    assert roc.x.tolist() == [0, 0, 0.5, 0.5, 1]
    assert roc.y.tolist() == [0, 0.5, 0.5, 1, 1]
    assert pr.x.tolist() == [0.5, 0.5, 1, 1]
    assert pr.y.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4])


@FEW
@given(labelled())
def test_areas_agree_with_scikit_learn_under_ties(rows):
    y, scores = rows

    assert roc_auc(y, scores) == pytest.approx(metrics.roc_auc_score(y, scores))
    assert pr_auc(y, scores) == pytest.approx(metrics.average_precision_score(y, scores))


@FEW
@given(labelled(), st.data())
def test_weighted_areas_agree_with_scikit_learn(rows, data):
    y, scores = rows
    counts = data.draw(arrays(np.float64, y.size, elements=st.integers(0, 3).map(float)))
    assume(counts[y == 1].sum() > 0 and counts[y == 0].sum() > 0)

    found = areas(y, scores, counts)

    assert found.roc_auc == pytest.approx(metrics.roc_auc_score(y, scores, sample_weight=counts))
    assert found.pr_auc == pytest.approx(metrics.average_precision_score(y, scores, sample_weight=counts))


@FEW
@given(labelled(), st.data())
def test_a_count_as_weight_is_the_same_as_repeating_the_row(rows, data):
    y, scores = rows
    counts = data.draw(arrays(np.int64, y.size, elements=st.integers(0, 3)))
    repeated_y, repeated_scores = np.repeat(y, counts), np.repeat(scores, counts)
    assume(0 < repeated_y.sum() < repeated_y.size)

    found = areas(y, scores, counts.astype(float))
    repeated = areas(repeated_y, repeated_scores)

    assert found.roc_auc == pytest.approx(repeated.roc_auc)
    assert found.pr_auc == pytest.approx(repeated.pr_auc)


@FEW
@given(labelled())
def test_many_weights_at_once_give_what_one_by_one_gives(rows):
    y, scores = rows
    weights = np.random.default_rng(0).integers(0, 3, size=(4, y.size)).astype(float)

    together = areas(y, scores, weights)

    for i, each in enumerate(weights):
        alone = areas(y, scores, each)
        np.testing.assert_allclose(together.roc_auc[i], alone.roc_auc)
        np.testing.assert_allclose(together.pr_auc[i], alone.pr_auc)


@FEW
@given(labelled())
def test_only_the_order_matters_and_turning_it_round_turns_the_area(rows):
    y, scores = rows

    assert roc_auc(y, np.exp(scores / 3)) == pytest.approx(roc_auc(y, scores))
    assert roc_auc(y, -scores) == pytest.approx(1 - roc_auc(y, scores))


@FEW
@given(labelled(ties=False))
def test_the_roc_curve_encloses_the_area(rows):
    curve = roc_curve(*rows)

    assert np.trapezoid(curve.y, curve.x) == pytest.approx(roc_auc(*rows))
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("y", "scores"),
    [
        pytest.param([1, 1], [0.2, 0.3], id="no-negative"),
        pytest.param([0, 0], [0.2, 0.3], id="no-positive"),
        pytest.param([], [], id="no-rows"),
        pytest.param([0, 1], [0.2, np.nan], id="a-score-that-is-no-number"),
    ],
)
def test_without_a_ranking_there_is_no_area_and_no_curve(y, scores):
    assert np.isnan(roc_auc(y, scores))
    assert roc_curve(y, scores).x.size == 0


def test_undefined_answers_keep_the_shape_of_the_weights():
    found = areas([], [], np.ones((3, 0)))

    assert found.roc_auc.shape == found.pr_auc.shape == (3,)


def test_pr_auc_needs_positives_only():
    assert pr_auc([1, 1], [0.2, 0.3]) == 1.0
    assert np.isnan(pr_auc([0, 0], [0.2, 0.3]))


def test_a_ratio_without_denominator_is_not_zero_but_undefined():
    np.testing.assert_array_equal(ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])), [0.5, np.nan])
