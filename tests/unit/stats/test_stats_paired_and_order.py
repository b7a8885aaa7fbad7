"""Intervals for percentiles and paired shares, and trends: by hand, by brute force, by property."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from modelway.stats.order_statistics import percentile_interval
from modelway.stats.paired_shares import PairedShares, b_is_worse, difference_interval, pairs_to_show_below
from modelway.stats.percentile import percentile
from modelway.stats.trend import growth_of, later_is_worse

Z = 1.959963984540054


def test_the_median_of_a_hundred_lies_between_the_40th_and_the_61st() -> None:
    found = percentile_interval(np.arange(1.0, 101.0), 50.0)

    assert (found.low, found.high, found.bounded) == (40.0, 61.0, True)


@pytest.mark.parametrize(
    ("size", "bounded"), [pytest.param(368, True, id="368"), pytest.param(367, False, id="367")]
)
def test_a_p99_needs_368_samples_for_an_upper_end(size: int, bounded: bool) -> None:
    # 0.99^368 = 0.0247 <= 0.025 < 0.99^367
    assert (percentile_interval(np.arange(float(size)), 99.0).high is not None) is bounded


def test_nothing_bounds_nothing() -> None:
    found = percentile_interval(np.array([]), 99.0)

    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize("wrong", [(0.0, 0.95), (100.0, 0.95), (50.0, 1.0)])
def test_percents_and_levels_out_of_range_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        percentile_interval(np.array([1.0]), *wrong)


@given(size=st.integers(1, 400), percent=st.sampled_from([50.0, 90.0, 99.0]), seed=st.integers(0, 99))
def test_the_interval_holds_the_percentile_that_was_observed(size: int, percent: float, seed: int) -> None:
    values = np.random.default_rng(seed).exponential(1.0, size)
    found = percentile_interval(values, percent)
    observed = percentile(values, percent)

    assert (found.low if found.low is not None else -np.inf) <= observed
    assert observed <= (found.high if found.high is not None else np.inf)


def test_it_covers_a_heavy_tail_as_often_as_it_says() -> None:
    draw, true_p99 = np.random.default_rng(3), 100.0 ** (1 / 1.5)  # Pareto, shape 1.5: P(X > x) = x^-1.5
    intervals = [percentile_interval(draw.pareto(1.5, 1000) + 1, 99.0) for _ in range(400)]
    covered = sum(i.low <= true_p99 <= i.high for i in intervals if i.bounded)

    assert covered / 400 > 0.93


def brute_score(counts: PairedShares, difference: float) -> float:
    """Tango's statistic with the nuisance probability found by numeric maximisation."""
    n, b, c = counts.pairs, counts.only_b, counts.only_a

    def unlikely(only_a: float) -> float:
        cells = ((b, only_a + difference), (c, only_a), (n - b - c, 1 - 2 * only_a - difference))
        return -sum(k * np.log(max(p, 1e-300)) for k, p in cells)

    span = (max(0.0, -difference), (1 - difference) / 2)
    only_a = minimize_scalar(unlikely, bounds=span, method="bounded", options={"xatol": 1e-12}).x
    return (b - c - n * difference) / np.sqrt(n * (2 * only_a + difference - difference**2))


@pytest.mark.parametrize(("only_a", "only_b"), [(1, 9), (9, 1), (5, 5), (0, 12)])
def test_the_ends_are_where_the_score_is_a_normal_quantile(only_a: int, only_b: int) -> None:
    counts = PairedShares(pairs=60, both=3, only_a=only_a, only_b=only_b)
    low, high = difference_interval(counts)

    assert brute_score(counts, low) == pytest.approx(Z, abs=1e-3)
    assert brute_score(counts, high) == pytest.approx(-Z, abs=1e-3)


@pytest.mark.parametrize("pairs", [10, 765, 20_000])
def test_without_any_bad_outcome_the_ends_are_z_squared_over_n_plus_z_squared(pairs: int) -> None:
    edge = Z**2 / (pairs + Z**2)

    assert difference_interval(PairedShares(pairs=pairs)) == pytest.approx((-edge, edge), rel=1e-6)


@given(st.integers(1, 300), st.data())
def test_swapping_the_arms_mirrors_the_interval(pairs: int, data: st.DataObject) -> None:
    only_a = data.draw(st.integers(0, pairs))
    only_b = data.draw(st.integers(0, pairs - only_a))
    low, high = difference_interval(PairedShares(pairs=pairs, only_a=only_a, only_b=only_b))
    mirrored = difference_interval(PairedShares(pairs=pairs, only_a=only_b, only_b=only_a))

    assert (low, high) == pytest.approx((-mirrored[1], -mirrored[0]), abs=1e-6)
    assert -1 <= low <= (only_b - only_a) / pairs + 1e-9
    assert high <= 1


def test_an_interval_of_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        difference_interval(PairedShares(pairs=0))


@pytest.mark.parametrize("margin", [0.005, 0.0005, 0.1])
def test_the_pairs_needed_are_just_enough(margin: float) -> None:
    needed = pairs_to_show_below(margin)

    assert difference_interval(PairedShares(pairs=needed))[1] < margin
    assert difference_interval(PairedShares(pairs=needed - 1))[1] >= margin * (1 - 1e-6)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 9), (9, 1), (5, 5)])
def test_the_p_value_is_the_exact_binomial_one(only_a: int, only_b: int) -> None:
    counts = PairedShares(pairs=50, only_a=only_a, only_b=only_b)
    apart = only_a + only_b
    expected = binomtest(only_b, apart, 0.5, alternative="greater").pvalue if apart else 1.0

    assert b_is_worse(counts) == pytest.approx(expected)


def test_bursts_that_hit_both_do_not_make_one_worse() -> None:
    # Ten stalls, each over 50 pairs; a coin says who of each pair was hit. Alpha 5 % over 400 runs.
    draw = np.random.default_rng(5)
    alarms = 0
    for _ in range(400):
        hit = draw.integers(0, 2, 500)
        alarms += (
            b_is_worse(PairedShares(pairs=5000, only_a=int((hit == 0).sum()), only_b=int(hit.sum()))) < 0.05
        )

    assert alarms <= 32  # 20 expected, 0.7 % chance of more than 32


def test_a_line_grows_by_its_length_and_one_outlier_does_not_bend_it() -> None:
    values = np.arange(20.0)
    values[5] = 1e6
    found = growth_of(values)

    assert found.growth == pytest.approx(19.0)
    assert found.rises_by(18.0)
    assert not found.rises_by(20.0)


def test_noise_seldom_rises() -> None:
    draw = np.random.default_rng(7)
    risen = sum(growth_of(draw.normal(size=20)).rises_by(0.0) for _ in range(500))

    assert risen <= 12  # 1 % of 500, and some


def test_seven_points_make_no_trend() -> None:
    found = growth_of(np.arange(7.0))

    assert (found.points, found.growth, found.rises_by(0.0)) == (7, None, False)


def test_errors_of_the_second_half_by_hand() -> None:
    # Three errors, all in the second of two equal halves of 10: C(10,3)/C(20,3) = 120/1140
    assert later_is_worse((0, 10), (3, 10)) == pytest.approx(120 / 1140)
    assert later_is_worse((0, 10), (0, 10)) == 1.0
