"""Quality expected from scores alone: by hand, against scikit-learn, by property."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from modelway.stats.label_free import expected_metrics

SCORES = st.lists(st.integers(0, 20).map(lambda k: k / 20), min_size=2, max_size=60).map(np.array)


def test_expected_metrics_by_hand() -> None:
    # weights as positive .2 .6, as negative .8 .4; pairs: (.6 above .2) .6*.8, ties half: .2*.8/2, .6*.4/2
    found = expected_metrics(np.array([0.2, 0.6]))

    assert found.roc_auc == pytest.approx((0.48 + 0.08 + 0.12) / (0.8 * 1.2))
    assert found.brier == pytest.approx((0.16 + 0.24) / 2)
    assert found.positive_rate == pytest.approx(0.4)


@given(SCORES.filter(lambda s: 0 < s.sum() < s.size))
def test_without_labels_they_are_scikit_learns_on_every_row_taken_both_ways(scores: np.ndarray) -> None:
    both = np.concatenate([scores, scores])
    labels = np.repeat([1, 0], scores.size)
    weights = np.concatenate([scores, 1 - scores])
    found = expected_metrics(scores)

    assert found.roc_auc == pytest.approx(roc_auc_score(labels, both, sample_weight=weights))
    assert found.pr_auc == pytest.approx(average_precision_score(labels, both, sample_weight=weights))
    assert found.brier == pytest.approx(float((weights * (labels - both) ** 2).sum() / scores.size))


def test_the_estimate_meets_the_truth_when_scores_are_calibrated() -> None:
    draw = np.random.default_rng(7)
    p = draw.beta(1, 6, 40_000)
    labels = (draw.random(p.size) < p).astype(int)
    found = expected_metrics(p)

    assert found.roc_auc == pytest.approx(roc_auc_score(labels, p), abs=0.01)
    assert found.pr_auc == pytest.approx(average_precision_score(labels, p), abs=0.015)
    assert found.positive_rate == pytest.approx(labels.mean(), abs=0.005)


def test_the_estimate_is_blind_to_a_relation_that_turned_around() -> None:
    draw = np.random.default_rng(8)
    p = draw.beta(1, 6, 20_000)
    turned = (draw.random(p.size) < p[::-1]).astype(int)

    assert expected_metrics(p).roc_auc > 0.7
    assert roc_auc_score(turned, p) == pytest.approx(0.5, abs=0.02)


def test_without_a_possible_positive_there_is_nothing_to_rank() -> None:
    found = expected_metrics(np.zeros(3))

    assert np.isnan(found.roc_auc)
    assert np.isnan(found.pr_auc)
    assert found.brier == 0.0


@pytest.mark.parametrize("bad", [[], [0.2, np.nan], [1.2]])
def test_what_is_no_probability_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        expected_metrics(np.array(bad))
