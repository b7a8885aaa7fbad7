"""Benjamini-Hochberg, three ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from modelway.stats.multiple import benjamini_hochberg

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def test_adjusted_p_values_by_hand() -> None:
    # sorted .01 .02 .03 .50 -> times 4/1 4/2 4/3 4/4 = .04 .04 .04 .50
    found = benjamini_hochberg(np.array([0.50, 0.01, 0.03, 0.02]))

    np.testing.assert_allclose(found, [0.50, 0.04, 0.04, 0.04])


@given(P_VALUES)
def test_adjusted_p_values_agree_with_scipy_and_statsmodels(values: list[float]) -> None:
    p = np.array(values)
    found = benjamini_hochberg(p)

    np.testing.assert_allclose(found, false_discovery_control(p), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(found, multipletests(p, method="fdr_bh")[1], rtol=1e-12, atol=1e-300)


@given(P_VALUES)
def test_adjusting_never_lowers_a_p_value_and_keeps_their_order(values: list[float]) -> None:
    p = np.array(values)
    found = benjamini_hochberg(p)
    order = np.argsort(p, kind="stable")

    assert (found >= p - 1e-15).all()
    assert (np.diff(found[order]) >= -1e-15).all()


def test_a_test_that_could_not_be_made_does_not_count() -> None:
    found = benjamini_hochberg(np.array([0.01, np.nan, 0.04]))

    np.testing.assert_allclose(found, [0.02, np.nan, 0.04])


def test_no_test_at_all_is_no_discovery() -> None:
    assert benjamini_hochberg(np.array([])).size == 0
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()


def test_a_number_that_is_no_p_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        benjamini_hochberg(np.array([0.5, 1.5]))
