"""ROC-AUC by formula: held against scikit-learn, the bootstrap and counting by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from modelway.stats.bootstrap import Sampling, bootstrap
from modelway.stats.rank_areas import auc_change, auc_estimate, rank_correlation
from modelway.stats.ranking import roc_auc


@pytest.fixture(scope="module")
def scored():
    random = np.random.default_rng(0)
    y = (random.random(1500) < 0.2).astype(int)
    before = y + random.normal(size=1500)
    after = before + 0.8 * random.normal(size=1500)
    return y, before, after


def test_variance_by_hand():
    # positives 3, 1; negatives 2, 0. Shares below: 1, 1/2; of positives above: 1/2, 1. Variance 1/8 each
    found = auc_estimate([1, 1, 0, 0], [3, 1, 2, 0], level=0.6826894921)

    assert found.value == 0.75
    assert found.low == pytest.approx(0.75 - np.sqrt(1 / 16 + 1 / 16))
    assert found.high == 1  # 0.75 + 0.35, cut


def test_area_agrees_with_scikit_learn(scored):
    y, before, after = scored

    assert auc_estimate(y, before).value == pytest.approx(roc_auc_score(y, before))
    assert auc_change(y, before, after).roc_auc.value == pytest.approx(roc_auc_score(y, after))


def test_intervals_agree_with_the_bootstrap(scored):
    y, before, after = scored

    def statistics(weights):
        return {
            "after": roc_auc(y, after, weights),
            "change": roc_auc(y, after, weights) - roc_auc(y, before, weights),
        }

    drawn = bootstrap(statistics, len(y), Sampling(seed=1, resamples=2000))
    found = auc_change(y, before, after)

    for ours, theirs in ((found.roc_auc, drawn["after"]), (found.change, drawn["change"])):
        assert ours.value == pytest.approx(theirs.value)
        assert ours.low == pytest.approx(theirs.low, abs=0.004)
        assert ours.high == pytest.approx(theirs.high, abs=0.004)


def test_scores_that_did_not_change_changed_nothing_for_sure(scored):
    y, before, _ = scored

    change = auc_change(y, before, before).change

    assert (change.value, change.low, change.high) == (0, 0, 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=4, max_size=40))
def test_ties_count_half(drawn):
    y, scores = np.array([d[0] for d in drawn]), np.array([d[1] for d in drawn], dtype=float)

    found = auc_estimate(y, scores)

    if min(y.sum(), (~y).sum()) < 2:
        assert found.value is None
    else:
        assert found.value == pytest.approx(float(roc_auc(y, scores)))
        assert found.low <= found.value <= found.high


def test_rank_correlation_agrees_with_scipy_and_needs_variation():
    random = np.random.default_rng(2)
    one, other = random.integers(0, 9, 60), random.integers(0, 9, 60)

    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert rank_correlation(one, np.exp(one)) == pytest.approx(1)
    assert rank_correlation(one, np.zeros(60)) is None
