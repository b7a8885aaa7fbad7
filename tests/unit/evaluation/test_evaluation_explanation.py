"""Which inputs move the answers, and where the model is wrong, in worlds where both are known."""

from dataclasses import replace

import numpy as np
import pytest

from modelway.bundle.signature import Input
from modelway.evaluation.error_groups import error_groups
from modelway.evaluation.errors_report import error_report
from modelway.evaluation.explanation import contributions_of, explanation
from modelway.evaluation.scored import ScoredRows
from modelway.evaluation.unfamiliar import Familiarity, unfamiliarity


def test_the_importance_ranks_what_the_model_reads(subject):
    found = explanation(subject)

    names = [each.feature for each in found.importance]
    assert names[:2] == ["amount", "state"]
    silent = {each.feature: each.mean_absolute.value for each in found.importance[2:]}
    assert silent == {"staff": 0, "new": 0}
    first = found.importance[0]
    assert (first.rank_low, first.rank_high) == (1, 1)
    assert first.mean_absolute.low < first.mean_absolute.value < first.mean_absolute.high
    assert found.stability > 0.9


def test_contributions_of_a_test_row_add_up_to_its_answer(subject):
    chosen = np.array([3, 77])

    found = contributions_of(subject, chosen)

    expected = subject.answer(subject.X[chosen]) - found.base
    assert found.values.sum(axis=1) == pytest.approx(expected)


def test_hard_rows_are_the_most_surely_wrong_of_either_outcome(subject):
    hard = error_report(subject).hard_rows

    assert [each.label for each in hard] == [1] * 5 + [0] * 5
    missed = np.flatnonzero(subject.rows.y == 1)
    worst = missed[np.argmin(subject.rows.scores[missed])]
    assert hard[0].key == subject.keys[worst]
    assert hard[0].score == pytest.approx(subject.rows.scores[worst])
    assert hard[0].loss == pytest.approx(-np.log(subject.rows.scores[worst]))
    assert [each.loss for each in hard[:5]] == sorted((each.loss for each in hard[:5]), reverse=True)


def test_a_hard_row_tells_its_inputs_in_words(subject):
    told = {each.feature: each.value for each in error_report(subject).hard_rows[0].contributions}

    row = subject.keys.index(error_report(subject).hard_rows[0].key)
    assert told["state"] == ("CA", "NY", "TX")[int(subject.X[row, 3])]
    assert told["amount"] == f"{subject.X[row, 0]:,.6g}"


def test_a_group_that_the_model_knows_nothing_of_is_found_and_named(subject_with):
    """In truth TX is far riskier; the model does not know that."""

    def with_texas(X):
        return np.where(X[:, 3] == 2, 0.8, 0.2)

    groups = error_groups(subject_with(2000, answer=lambda X: np.full(len(X), 0.2), truth=with_texas))

    assert groups[0].surely_off
    assert "state is TX" in groups[0].words
    assert groups[0].gap.value == pytest.approx(0.6, abs=0.08)
    assert groups[0].observed - groups[0].mean_score == pytest.approx(groups[0].gap.value)
    assert all("state is not TX" in each.words for each in groups if not each.surely_off)


def test_groups_share_out_the_cost_and_the_measuring_half(subject_with):
    subject = subject_with(2000)

    groups = error_groups(subject)

    assert sum(each.cost_share for each in groups) == pytest.approx(1)
    assert 800 < sum(each.rows for each in groups) < 1200


def test_a_model_that_keeps_its_promises_is_seldom_accused(subject_with):
    accused = sum(
        any(each.surely_off for each in error_groups(subject_with(800, seed=seed))) for seed in range(40)
    )

    # at 5 % two are expected among forty
    assert accused <= 6


def test_a_handful_of_rows_is_not_split(subject_with):
    assert error_groups(subject_with(80)) == ()


@pytest.mark.parametrize("look", [explanation, error_report])
def test_answers_that_are_no_probabilities_are_not_explained(subject_with, look):
    assert look(subject_with(100, answer=lambda X: np.full(len(X), np.nan), truth=lambda X: X[:, 2])) is None


@pytest.mark.parametrize("look", [explanation, error_report, unfamiliarity])
def test_no_rows_say_nothing(subject, look):
    empty = replace(
        subject,
        X=subject.X[:0],
        rows=ScoredRows.of([], [], 0.4),
        keys=(),
        newest=subject.newest[:0],
    )

    assert look(empty) is None


@pytest.mark.parametrize("look", [explanation, error_report, unfamiliarity])
def test_same_seed_same_findings(subject, look):
    assert look(subject) == look(subject)


def test_made_shifts_are_noticed_and_test_rows_are_not_strange(subject):
    found = unfamiliarity(subject)

    shifts = {each.what: each.roc_auc.value for each in found.shifts}
    assert 0.45 < shifts.pop("newest quarter of the test rows") < 0.55  # nothing changed there
    assert shifts["1,000 times one number a row"] > 0.9
    assert shifts["numbers moved by two spreads"] > 0.8
    assert shifts["without 30% of all values"] > 0.75
    assert found.beyond_limit < 0.03
    assert found.median < found.limit


def test_rows_of_independent_inputs_dealt_anew_are_rows_like_any_other(subject):
    """A check on the check: here no correlation can be broken, so nothing may be noticed."""
    (dealt,) = [each.roc_auc for each in unfamiliarity(subject).shifts if "dealt" in each.what]

    assert dealt.low < 0.5 < dealt.high


def test_a_value_that_training_never_saw_is_further_than_a_common_one(subject):
    reference = subject.reference.copy()
    reference[reference[:, 3] == 2, 3] = 0  # nobody from TX
    score = Familiarity.of(subject.inputs, reference)
    common, unseen, unknown = (np.array([[0.0, 4.0, 0.0, code]], dtype=np.float32) for code in (0, 2, np.nan))

    assert score.distance(common)[0] < score.distance(unseen)[0]
    assert score.distance(unseen)[0] == pytest.approx(score.distance(unknown)[0])


def test_few_training_rows_fit_no_score(subject):
    assert unfamiliarity(replace(subject, reference=subject.reference[:20])) is None


def six_numbers(subject, answer):
    """The same question about six inputs that are drawn alike."""
    X = np.random.default_rng(1).normal(size=(600, 6)).astype(np.float32)
    inputs = tuple(Input(name=f"x{i}", kind="numeric") for i in range(6))
    return replace(subject, answer=answer, inputs=inputs, X=X, reference=X[-200:])


def test_stability_is_high_for_a_steady_model_and_falls_for_an_erratic_one(subject):
    """Steady: weights 6 to 1. Erratic: no input leads, so that the rows at hand say which does."""
    steady = six_numbers(subject, lambda X: 1 / (1 + np.exp(-X @ np.arange(6, 0, -1) / 6)))
    level = six_numbers(subject, lambda X: 1 / (1 + np.exp(-X.sum(axis=1))))
    rare = six_numbers(subject, lambda X: 0.2 + 0.1 * (X > 2.3).sum(axis=1))

    assert explanation(steady).stability > 0.97
    assert explanation(level).stability < 0.2
    assert explanation(rare).stability < 0.6


def test_a_sample_in_which_nothing_moves_the_answers_speaks_against_a_ranking(subject_with):
    """One row in some two hundred moves: many samples hold none, and rank nothing."""
    rare = subject_with(1200, answer=lambda X: np.where(X[:, 0] > 2.6, 0.8, 0.2))

    assert explanation(rare).stability < 0.95
    assert explanation(subject_with(1200, answer=lambda X: np.full(len(X), 0.2))).stability is None
