"""The gates: what passes, what fails, and what nobody can tell."""

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from modelway.contract import Gates, Outcome
from modelway.evaluation import evaluate, gates

LIMITS = Gates(min_slice_rows=150)


def outcomes(verdict):
    return {reason.metric: reason.outcome for reason in verdict.reasons}


def reason(verdict, metric):
    return next(each for each in verdict.reasons if each.metric == metric)


def test_a_good_first_model_passes_and_says_that_there_was_no_champion(rows):
    verdict = gates(evaluate(**rows.make()), LIMITS)

    assert verdict.passed
    assert set(outcomes(verdict)) == {
        "rows",
        "positives",
        "scores",
        "roc_auc",
        "pr_auc_lift",
        "ece",
        "champion.roc_auc",
        "test_openings",
        "slice.state.roc_auc",
        "slice.new.roc_auc",
    }
    assert "no champion" in reason(verdict, "champion.roc_auc").message
    assert verdict.evidence["compared_with_champion"] is False


def test_every_reason_says_what_was_found_the_limit_and_on_how_many_rows(rows):
    verdict = gates(evaluate(**rows.make(champion_skill=1.0)), LIMITS)

    for each in verdict.reasons:
        assert each.found is not None, each.metric
        assert each.limit is not None, each.metric
        assert each.samples, each.metric


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        ({"min_roc_auc": 0.99}, "roc_auc"),
        ({"min_pr_auc_lift": 50}, "pr_auc_lift"),
        ({"max_calibration_error": 1e-6}, "ece"),
    ],
)
def test_a_broken_limit_fails_and_names_itself(rows, limits, broken):
    verdict = gates(evaluate(**rows.make()), LIMITS.model_copy(update=limits))

    assert verdict.outcome is Outcome.FAIL
    assert [m for m, outcome in outcomes(verdict).items() if outcome is Outcome.FAIL] == [broken]


def test_a_limit_met_exactly_is_kept(rows):
    found = evaluate(**rows.make())
    at = found.metric("roc_auc").value

    assert outcomes(gates(found, LIMITS.model_copy(update={"min_roc_auc": at})))["roc_auc"] is Outcome.PASS


def test_surely_worse_than_the_champion_fails(rows):
    given = rows.make(champion_skill=0.3)
    given["scores"], given["champion_scores"] = given["champion_scores"], given["scores"]

    verdict = gates(evaluate(**given), LIMITS.model_copy(update={"max_calibration_error": 0.9}))

    assert reason(verdict, "champion.roc_auc").outcome is Outcome.FAIL
    assert reason(verdict, "champion.roc_auc").found < -0.05


def test_as_good_as_the_champion_passes_and_so_does_worse_by_chance(rows):
    given = rows.make()
    noise = np.random.default_rng(1).normal(scale=0.02, size=2000)
    given["champion_scores"] = given["scores"]
    given["scores"] = np.clip(given["scores"] + noise, 0, 1)

    found = gates(evaluate(**given), LIMITS)

    assert reason(found, "champion.roc_auc").found < 0
    assert reason(found, "champion.roc_auc").outcome is Outcome.PASS


def test_a_group_that_is_surely_left_behind_fails_and_is_named(rows):
    given = rows.make(4000)
    ny = given["slices"]["state"] == "NY"
    given["scores"] = np.where(ny, np.random.default_rng(0).permutation(given["scores"]), given["scores"])

    verdict = gates(evaluate(**given), LIMITS.model_copy(update={"max_slice_roc_auc_gap": 0.1}))

    left = reason(verdict, "slice.state.roc_auc")
    assert left.outcome is Outcome.FAIL
    assert "NY" in left.message
    assert reason(verdict, "slice.new.roc_auc").outcome is Outcome.PASS


def test_groups_too_small_to_be_judged_are_no_pass(rows):
    verdict = gates(evaluate(**rows.make(600) | {"min_slice_rows": 500}), LIMITS)

    assert reason(verdict, "slice.state.roc_auc").outcome is Outcome.INCONCLUSIVE
    assert verdict.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("limits", "short"),
    [({"min_rows": 3000}, "rows"), ({"min_positives": 2000}, "positives")],
)
def test_too_few_rows_are_inconclusive_and_so_is_what_they_seem_to_say(rows, limits, short):
    verdict = gates(evaluate(**rows.make()), LIMITS.model_copy(update={**limits, "min_roc_auc": 0.99}))

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert outcomes(verdict)[short] is Outcome.INCONCLUSIVE
    assert outcomes(verdict)["roc_auc"] is Outcome.INCONCLUSIVE


def test_scores_that_are_no_probabilities_fail(rows):
    given = rows.make()
    given["scores"] = np.full(2000, np.nan)

    verdict = gates(evaluate(**given), LIMITS)

    assert verdict.outcome is Outcome.FAIL
    assert "2,000 of 2,000 scores are no probabilities" in verdict.summary()
    assert outcomes(verdict)["roc_auc"] is Outcome.INCONCLUSIVE


def test_a_champion_that_cannot_be_compared_is_no_pass(rows):
    given = rows.make(champion_skill=1.0)
    given["champion_scores"][0] = np.nan

    verdict = gates(evaluate(**given), LIMITS)

    assert reason(verdict, "champion.roc_auc").outcome is Outcome.INCONCLUSIVE
    assert "1 of the champion's scores" in verdict.summary()


@settings(max_examples=20, deadline=None)
@examples(
    n=st.integers(0, 60),
    label=st.sampled_from([None, 0, 1]),
    score=st.sampled_from([None, np.nan, 0.0, 1.0, 0.5, 7.0]),
    champion=st.sampled_from([None, np.nan, 0.5]),
)
def test_whatever_the_rows_the_gates_give_a_verdict_and_never_pass_the_undefined(
    rows, n, label, score, champion
):
    given = rows.make(n) | {"resamples": 20}
    given["y"] = given["y"] if label is None else np.full(n, label)
    given["scores"] = given["scores"] if score is None else np.full(n, score)
    given["champion_scores"] = None if champion is None else np.full(n, champion)
    limits = Gates(min_rows=1, min_positives=1, max_calibration_error=1, min_roc_auc=0, min_pr_auc_lift=0)

    verdict = gates(evaluate(**given), limits)

    if verdict.passed:
        assert n > 0
        assert not any(each.found is not None and np.isnan(each.found) for each in verdict.reasons)
        assert verdict.evidence["metrics"]["roc_auc"] is not None


def test_rows_on_which_too_many_models_were_measured_are_used_up(rows):
    made = rows.make()
    limits = LIMITS.model_copy(update={"max_test_openings": 3})

    kept = gates(evaluate(**made | {"test_openings": 3}), limits)
    broken = gates(evaluate(**made | {"test_openings": 4}), limits)

    assert kept.passed
    assert outcomes(broken)["test_openings"] is Outcome.FAIL
    assert "used up" in reason(broken, "test_openings").message


def test_openings_that_nobody_counted_are_no_pass(rows):
    uncounted = evaluate(**rows.make() | {"test_openings": None})

    assert outcomes(gates(uncounted, LIMITS))["test_openings"] is Outcome.INCONCLUSIVE
    assert "test_openings" not in outcomes(
        gates(uncounted, LIMITS.model_copy(update={"max_test_openings": None}))
    )


def test_fairness_is_judged_only_where_a_limit_is_named(rows):
    given = rows.make(3000)
    # one group is scored far higher than the other, though both default alike
    new = given["slices"]["new"] == "yes"
    given["scores"] = np.where(new, np.minimum(1, given["scores"] * 3), given["scores"] / 3)
    evaluation = evaluate(**given)
    limits = {"max_demographic_parity_difference": 0.1, "max_equalized_odds_difference": 0.1}

    shown = outcomes(gates(evaluation, LIMITS))
    judged = outcomes(gates(evaluation, LIMITS.model_copy(update=limits)))

    assert not any("parity" in name or "odds" in name for name in shown)
    assert judged["slice.new.demographic_parity"] is Outcome.FAIL
    assert judged["slice.new.equalized_odds"] is Outcome.FAIL
    assert judged["slice.state.demographic_parity"] is Outcome.PASS


def test_fairness_that_nobody_can_tell_is_no_pass(rows):
    given = rows.make(600)
    given["slices"] = {"only": np.array(["one"] * 600)}
    limits = LIMITS.model_copy(update={"max_demographic_parity_difference": 0.5})

    verdict = gates(evaluate(**given), limits)

    assert outcomes(verdict)["slice.only.demographic_parity"] is Outcome.INCONCLUSIVE
