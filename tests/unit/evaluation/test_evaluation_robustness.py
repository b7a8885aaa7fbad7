"""What wrong inputs do to the answers, on models whose answer to them is known."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from modelway.evaluation.robustness import attack, robustness
from modelway.evaluation.scored import ScoredRows


@pytest.fixture(scope="module")
def found(subject):
    return {(each.kind, each.what): each for each in robustness(subject).disturbances}


def test_every_way_is_tried_once(found):
    assert [what for kind, what in found if kind == "missing"] == [
        "without 10% of all values",
        "without 30% of all values",
        "without amount",
        "without staff",
        "without new",
        "without state",
    ]
    assert len([1 for kind, _ in found if kind == "noise"]) == 2
    # `new` is a yes or no: nobody types it in thousands
    assert [what for kind, what in found if kind == "unit"] == ["1,000 times amount", "1,000 times staff"]


def test_an_input_that_is_never_read_can_be_lost(found):
    lost = found["missing", "without staff"]

    assert (lost.flip_rate, lost.mean_shift, lost.roc_auc_change.value) == (0, 0, 0)
    assert lost.rank_correlation == pytest.approx(1)


def test_losing_the_strongest_input_is_worst_and_agrees_with_scikit_learn(found, subject):
    lost = found["missing", "without amount"]
    X = subject.X.copy()
    X[:, 0] = np.nan
    scores = subject.answer(X)

    assert lost.roc_auc.value == pytest.approx(roc_auc_score(subject.rows.y, scores))
    assert lost.flip_rate == pytest.approx(((scores >= 0.4) != (subject.rows.scores >= 0.4)).mean())
    assert lost.mean_shift == pytest.approx(np.abs(scores - subject.rows.scores).mean())
    columns = [each for (kind, what), each in found.items() if kind == "missing" and "%" not in what]
    assert min(columns, key=lambda each: each.roc_auc_change.value) is lost
    assert lost.roc_auc_change.high < 0


def test_more_of_the_same_disturbs_more(found):
    little, much = (found["missing", f"without {share}% of all values"] for share in (10, 30))
    weak, strong = (found["noise", f"numbers moved by {size} spreads"] for size in (0.1, 0.5))

    assert 0 < little.mean_shift < much.mean_shift
    assert 0 < weak.mean_shift < strong.mean_shift
    assert strong.rank_correlation < weak.rank_correlation < 1


def test_answers_that_stop_being_probabilities_are_counted(subject_with):
    def fragile(X):
        return np.where(np.isnan(X).any(axis=1), np.nan, 0.3)

    subject = subject_with(200, answer=fragile, truth=lambda X: np.full(len(X), 0.3))
    whole = ~np.isnan(subject.X).any(axis=1)
    kept = replace(
        subject,
        X=subject.X[whole],
        rows=ScoredRows.of(subject.rows.y[whole], np.full(whole.sum(), 0.3), 0.4),
    )

    lost = next(each for each in robustness(kept).disturbances if each.what == "without amount")

    assert lost.invalid_scores == whole.sum()
    assert lost.roc_auc.value is None
    assert lost.mean_shift is None


def test_nothing_is_said_of_answers_that_are_no_probabilities_from_the_start(subject_with):
    assert robustness(subject_with(100, answer=lambda X: np.full(len(X), 2.0))) is None


def test_one_change_of_the_right_input_turns_what_hangs_on_it(subject_with):
    """Only the state decides: one change is always enough, and it is always that one."""
    subject = subject_with(
        150, answer=lambda X: np.where(X[:, 3] == 1, 0.9, 0.1), truth=lambda X: np.full(len(X), 0.3)
    )

    found = attack(subject)

    assert found.flipped == (1, 1, 1)
    assert found.moved == {"state": found.rows}
    assert found.mean_move[0] == pytest.approx(0.8)


def test_a_constant_answer_cannot_be_turned(subject_with):
    found = attack(subject_with(150, answer=lambda X: np.full(len(X), 0.3)))

    assert found.flipped == (0, 0, 0)
    assert found.mean_move == (0, 0, 0)
    assert found.moved == {}


def test_further_changes_turn_no_fewer(subject):
    one, two, three = attack(subject).flipped

    assert 0 < one <= two <= three <= 1


def test_numbers_move_only_to_values_that_were_seen(subject_with):
    """An answer that tells which values it was asked about."""
    seen: set[float] = set()

    def curious(X):
        seen.update(X[np.isfinite(X[:, 0]), 0].tolist())
        return np.full(len(X), 0.3)

    subject = subject_with(300, answer=curious, truth=lambda X: np.full(len(X), 0.3))
    known = set(subject.X[:, 0].tolist())
    seen.clear()
    attack(subject)

    assert seen
    assert seen <= known


def test_same_seed_same_findings(subject):
    assert robustness(subject) == robustness(subject)
