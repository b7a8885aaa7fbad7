"""What other thresholds would have made of the same scores."""

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from sklearn import metrics

from modelway.contract import CostMatrix
from modelway.evaluation import evaluate
from modelway.stats.thresholds import at_thresholds


def test_counts_by_hand():
    y, scores = [1, 0, 1, 0], [0.9, 0.8, 0.4, 0.1]

    found = at_thresholds(y, scores, [0.0, 0.4, 0.85, 1.0])

    assert found.caught.tolist() == [2, 2, 1, 0]
    assert found.alarms.tolist() == [2, 1, 0, 0]
    assert found.selection_rate.tolist() == [1, 0.75, 0.25, 0]
    assert found.recall.tolist() == [1, 1, 0.5, 0]
    assert found.precision.tolist()[:3] == pytest.approx([0.5, 2 / 3, 1])
    assert np.isnan(found.precision[3])
    # alarms cost 10, misses 100, over 4 rows
    assert found.cost_per_row((10, 100)).tolist() == [5, 2.5, 25, 50]


def test_every_point_agrees_with_scikit_learn(rows):
    given = rows.make(500)
    for point in evaluate(**given).thresholds.points:
        flagged = given["scores"] >= point.threshold
        assert point.selection_rate == pytest.approx(flagged.mean())
        assert point.recall == pytest.approx(metrics.recall_score(given["y"], flagged))
        if flagged.any():
            assert point.precision == pytest.approx(metrics.precision_score(given["y"], flagged))
        else:
            assert point.precision is None


def test_the_threshold_in_use_has_the_cost_of_the_whole_evaluation(rows):
    found = evaluate(**rows.make())

    assert found.thresholds.in_use.threshold == found.threshold
    assert found.thresholds.in_use.cost_per_row.value == pytest.approx(found.values()["cost_per_row"])
    assert found.thresholds.saving.low >= 0
    cheapest = min(point.cost_per_row.value for point in found.thresholds.points)
    assert found.thresholds.cheapest.cost_per_row.value == cheapest
    assert found.thresholds.saving.value == pytest.approx(
        found.thresholds.in_use.cost_per_row.value - cheapest
    )


def test_the_ends_flag_everybody_and_nobody(rows):
    points = evaluate(**rows.make(400)).thresholds.points

    assert points[0].selection_rate == 1
    assert points[-1].selection_rate == 0


def test_scores_that_are_no_probabilities_have_no_thresholds(rows):
    given = rows.make(50)
    given["scores"] = np.full(50, np.nan)

    assert evaluate(**given).thresholds is None


@settings(max_examples=30, deadline=None)
@examples(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=30))
def test_a_higher_threshold_never_flags_more(drawn):
    y, scores = np.array([d[0] for d in drawn], dtype=float), np.array([d[1] for d in drawn])

    found = at_thresholds(y, scores, np.linspace(0, 1, 11))

    assert (np.diff(found.caught) <= 0).all()
    assert (np.diff(found.alarms) <= 0).all()


def test_costs_decide_which_threshold_is_cheapest(rows):
    given = rows.make(3000)
    dear_misses = evaluate(**given | {"costs": CostMatrix(false_positive=1, false_negative=100)})
    dear_alarms = evaluate(**given | {"costs": CostMatrix(false_positive=100, false_negative=1)})

    assert dear_misses.thresholds.cheapest.threshold < dear_alarms.thresholds.cheapest.threshold
