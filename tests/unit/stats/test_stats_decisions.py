"""Precision, recall, F1 and cost: by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from modelway.stats.decisions import cost_per_row, f1, precision, recall

FEW = settings(max_examples=25, deadline=None)

Y = [1, 1, 1, 0, 0, 0, 0, 0]
FLAGGED = [1, 1, 0, 1, 0, 0, 0, 0]  # two hits, one miss, one false alarm

BITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


def test_by_hand():
    assert precision(Y, FLAGGED) == pytest.approx(2 / 3)
    assert recall(Y, FLAGGED) == pytest.approx(2 / 3)
    assert f1(Y, FLAGGED) == pytest.approx(2 / 3)
    assert cost_per_row(Y, FLAGGED, (4.0, 30.0)) == pytest.approx((1 * 4 + 1 * 30) / 8)


@FEW
@given(BITS)
def test_agrees_with_scikit_learn_and_is_undefined_where_that_warns(rows):
    y, flagged = np.array(rows).T

    for ours, theirs in (
        (precision, metrics.precision_score),
        (recall, metrics.recall_score),
        (f1, metrics.f1_score),
    ):
        np.testing.assert_allclose(ours(y, flagged), theirs(y, flagged, zero_division=np.nan))


@FEW
@given(BITS, st.data())
def test_counts_as_weights_are_repeated_rows(rows, data):
    y, flagged = np.array(rows).T
    counts = data.draw(arrays(np.int64, y.size, elements=st.integers(0, 3)))
    repeated = np.repeat(y, counts), np.repeat(flagged, counts)

    for measure in (precision, recall, f1):
        np.testing.assert_allclose(measure(y, flagged, counts.astype(float)), measure(*repeated))
    prices = (4.0, 30.0)
    np.testing.assert_allclose(
        cost_per_row(y, flagged, prices, counts.astype(float)), cost_per_row(*repeated, prices)
    )


def test_nothing_flagged_has_no_precision_but_a_recall():
    assert np.isnan(precision([1, 0], [0, 0]))
    assert recall([1, 0], [0, 0]) == 0
