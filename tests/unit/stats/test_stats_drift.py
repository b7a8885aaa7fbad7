"""Two-sample tests and effect sizes: by hand, against scipy and Evidently's formulas, by property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from modelway.stats.drift import (
    binned_shares,
    chi_square,
    jensen_shannon,
    ks_two_sample,
    population_stability_index,
    proportions,
    quantile_edges,
    total_variation,
)

SAMPLE = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=50).map(np.array)
SHARES = st.lists(st.integers(1, 100), min_size=5, max_size=5).map(lambda c: np.array(c) / sum(c))


def test_ks_distance_by_hand() -> None:
    # at 2: 2 of 4 of the one, 0 of 2 of the other
    found = ks_two_sample(np.array([1.0, 2.0, 5.0, 6.0]), np.array([3.0, 7.0]))

    assert found.statistic == 0.5


@pytest.mark.filterwarnings("ignore:ks_2samp")  # scipy says which method it took for the p-value
@given(SAMPLE, SAMPLE)
def test_ks_distance_agrees_with_scipy_also_with_ties(a: np.ndarray, b: np.ndarray) -> None:
    found = ks_two_sample(a, b)

    assert found.statistic == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
    assert found.statistic == pytest.approx(ks_two_sample(b, a).statistic, abs=1e-12)
    assert 0 <= found.p_value <= 1


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.2])
def test_ks_p_value_agrees_with_scipys_finite_sample_law(shift: float) -> None:
    draw = np.random.default_rng(3)
    a, b = draw.normal(size=4000), draw.normal(shift, size=3000)

    expected = stats.kstwo.sf(stats.ks_2samp(a, b).statistic, 4000 * 3000 / 7000 // 1)

    assert ks_two_sample(a, b).p_value == pytest.approx(expected, rel=0.1, abs=1e-12)


def test_ks_rejects_as_often_as_it_says_when_nothing_changed() -> None:
    draw = np.random.default_rng(4)

    rejected = [
        ks_two_sample(draw.normal(size=600), draw.normal(size=400)).p_value <= 0.05 for _ in range(600)
    ]

    assert np.mean(rejected) <= 0.07


@pytest.mark.parametrize("bad", [np.array([]), np.array([np.nan])])
def test_ks_refuses_an_empty_sample_and_nan(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="without NaN"):
        ks_two_sample(np.array([1.0]), bad)


def test_chi_square_by_hand() -> None:
    # expected 25/25 in each of four cells, each off by 5: 4 * 25 / 25
    found = chi_square(np.array([30, 20]), np.array([20, 30]))

    assert found.statistic == 4.0
    assert found.p_value == pytest.approx(0.0455, abs=1e-4)


@given(st.lists(st.tuples(st.integers(30, 300), st.integers(30, 300)), min_size=2, max_size=8))
def test_chi_square_agrees_with_scipy_on_common_levels(cells: list[tuple[int, int]]) -> None:
    table = np.array(cells).T
    found = chi_square(table[0], table[1])
    expected = stats.chi2_contingency(table, correction=False)

    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_a_level_that_is_new_is_found_against_a_large_reference() -> None:
    found = chi_square(np.array([10_000, 10_000, 0]), np.array([50, 50, 100]))

    assert found.p_value < 1e-50


def test_a_constant_column_that_loses_half_its_values_is_found() -> None:
    assert proportions((0, 20_000), (100, 200)).p_value < 1e-50


def test_a_rare_share_gets_fishers_exact_test() -> None:
    found = proportions((1, 40), (4, 30))
    tail = stats.fisher_exact([[4, 26], [1, 39]], alternative="greater").pvalue

    assert found.p_value == pytest.approx(2 * tail)


def test_many_rare_levels_do_not_break_the_chi_square_when_nothing_changed() -> None:
    draw = np.random.default_rng(5)
    shares = np.append(np.full(60, 0.002), [0.5, 0.38])

    rejected = [
        chi_square(draw.multinomial(5000, shares), draw.multinomial(300, shares)).p_value <= 0.05
        for _ in range(500)
    ]

    assert np.mean(rejected) <= 0.07


def test_one_level_cannot_differ_and_no_observation_is_refused() -> None:
    assert chi_square(np.array([10, 0]), np.array([7, 0])) == (0.0, 1.0)
    with pytest.raises(ValueError, match="non-empty"):
        chi_square(np.array([1, 1]), np.array([0, 0]))


def test_effects_by_hand() -> None:
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])

    assert total_variation(p, q) == 0.25
    assert population_stability_index(p, q) == pytest.approx(0.25 * np.log(2) + 0.25 * np.log(1.5))
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0


@given(SHARES, SHARES)
def test_effects_are_symmetric_zero_at_home_and_agree_with_scipy(p: np.ndarray, q: np.ndarray) -> None:
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    for effect in (total_variation, population_stability_index, jensen_shannon):
        assert effect(p, q) == pytest.approx(effect(q, p), abs=1e-9)
        assert effect(p, p) == pytest.approx(0, abs=1e-7)
    assert total_variation(p, q) == pytest.approx(max(_event_gap(p, q), _event_gap(q, p)), abs=1e-12)


def _event_gap(p: np.ndarray, q: np.ndarray) -> float:
    """The largest difference in probability any event has: take the levels where p is the larger."""
    return float((p - q)[p > q].sum())


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_bins_hold_every_value_and_the_missing_ones_last(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=200).astype(np.float32)
    edges = quantile_edges(values)
    values[:50] = np.nan
    shares = binned_shares(values, edges)

    assert shares.sum() == pytest.approx(1)
    assert shares[-1] == 0.25
    assert shares.size == 11


def test_bins_of_a_constant_column_do_not_break() -> None:
    assert binned_shares(np.full(5, 3.0), quantile_edges(np.full(5, 3.0))).tolist() == [0.0, 1.0, 0.0]
