"""The bootstrap: by hand, against theory, against scipy's, and how often its intervals cover."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from modelway.stats.bootstrap import UNDEFINED, Estimate, Sampling, bootstrap, resample_counts
from modelway.stats.calibration import calibration_error, weighted_mean
from modelway.stats.ranking import areas

FEW = settings(max_examples=25, deadline=None)

SAMPLING = Sampling(seed=1, resamples=300)


def _mean(values):
    return lambda weights: {"mean": weighted_mean(values, weights)}


@FEW
@given(st.integers(1, 50), st.integers(20, 60), st.integers(0, 99))
def test_every_resample_draws_as_many_rows_as_there_are(rows, resamples, seed):
    counts = np.concatenate(list(resample_counts(rows, Sampling(seed=seed, resamples=resamples))))

    assert counts.shape == (resamples, rows)
    assert (counts.sum(axis=1) == rows).all()


def test_resamples_come_in_chunks_of_bounded_memory():
    chunks = list(resample_counts(300_000, Sampling(seed=0, resamples=20)))

    assert all(chunk.nbytes <= 16_000_000 for chunk in chunks)
    assert sum(len(chunk) for chunk in chunks) == 20


def test_rows_are_drawn_evenly():
    counts = np.concatenate(list(resample_counts(50, Sampling(seed=3, resamples=4000))))

    # each row's total is about Poisson with mean 4000: within five standard deviations
    assert (np.abs(counts.sum(axis=0) - 4000) < 5 * np.sqrt(4000)).all()


def test_the_interval_of_a_mean_is_that_of_the_theory():
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap(_mean(values), 400, Sampling(seed=1, resamples=2000))["mean"]
    half = 1.96 * values.std() / 20

    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_agrees_with_scipys_bootstrap_on_roc_auc():
    random = np.random.default_rng(2)
    y = (random.random(300) < 0.3).astype(float)
    scores = y + random.normal(size=300)
    found = bootstrap(lambda w: {"auc": areas(y, scores, w).roc_auc}, 300, Sampling(seed=5, resamples=1500))
    theirs = stats.bootstrap(
        (y, scores),
        lambda a, b: float(areas(a, b).roc_auc),
        paired=True,
        vectorized=False,
        n_resamples=1500,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval

    assert (found["auc"].low, found["auc"].high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_same_seed_same_interval_and_another_seed_another():
    values = np.arange(30.0)

    assert bootstrap(_mean(values), 30, SAMPLING) == bootstrap(_mean(values), 30, SAMPLING)
    assert bootstrap(_mean(values), 30, SAMPLING) != bootstrap(_mean(values), 30, Sampling(seed=2))


def test_statistics_share_their_resamples_so_that_a_difference_is_paired():
    values = np.random.default_rng(0).normal(size=200)

    def both(weights):
        mean = weighted_mean(values, weights)
        return {"mean": mean, "difference": weighted_mean(values + 0.5, weights) - mean}

    found = bootstrap(both, 200, SAMPLING)
    assert found["mean"].high - found["mean"].low > 0.2
    assert (found["difference"].low, found["difference"].high) == pytest.approx((0.5, 0.5))


def test_an_undefined_value_has_no_interval():
    assert bootstrap(lambda w: {"x": np.full(len(w), np.nan)}, 5, SAMPLING)["x"] == UNDEFINED


def test_a_value_that_most_resamples_do_not_define_has_no_interval_either():
    y, scores = np.array([1.0, 0, 0, 0, 0, 0]), np.arange(6.0)  # a third of all resamples miss the positive
    found = bootstrap(lambda w: {"auc": areas(y, scores, w).roc_auc}, 6, SAMPLING)["auc"]

    assert found == Estimate(value=0.0)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random, hits = np.random.default_rng(7), 0
    truth = stats.norm.cdf(1 / np.sqrt(2))  # P(N(1,1) > N(0,1))
    for seed in range(150):
        y = (random.random(300) < 0.3).astype(float)
        scores = y + random.normal(size=300)
        found = bootstrap(
            lambda w, y=y, s=scores: {"auc": areas(y, s, w).roc_auc}, 300, Sampling(seed=seed, resamples=150)
        )["auc"]
        hits += found.low <= truth <= found.high

    # 95 % aimed at; 150 trials vary by 2 %
    assert hits / 150 >= 0.89


def test_the_interval_of_a_distance_reaches_below_its_value():
    random = np.random.default_rng(1)
    scores = random.random(500)
    y = (random.random(500) < scores).astype(float)  # calibrated: the truth is zero

    def measured(weights):
        return {"ece": calibration_error(y, scores, weights)}

    plain = bootstrap(measured, 500, SAMPLING)["ece"]
    wide = bootstrap(measured, 500, SAMPLING, raised_by_noise=frozenset({"ece"}))["ece"]

    assert plain.value - plain.low < (plain.high - plain.value) / 2  # what is wrong with that one here
    assert wide.low < 0.5 * wide.value
    assert wide.high == plain.high


def test_ten_thousand_rows_take_seconds_of_processor_time_not_minutes():
    random = np.random.default_rng(0)
    y, scores = (random.random(10_000) < 0.1).astype(float), random.random(10_000)
    start = time.process_time()
    bootstrap(lambda w: areas(y, scores, w)._asdict(), 10_000, Sampling(seed=0, resamples=200))

    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=0.5, low=0.4, high=0.6), "0.500 [0.400, 0.600]"),
        (Estimate(value=1234.5), "1,234.500"),
        (UNDEFINED, "undefined"),
    ],
)
def test_an_estimate_reads_as_a_number_with_its_interval(estimate, text):
    assert estimate.text() == text


def test_too_few_resamples_are_refused():
    with pytest.raises(ValidationError):
        Sampling(seed=0, resamples=5)
