from itertools import pairwise

import numpy as np
import pytest

from modelway.errors import ConfigError, GateError
from modelway.stats.ranking import pr_auc
from modelway.training.artifacts import Trial
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import complete
from modelway.training.choice import Tried, choose

Y = np.array([1, 0, 0, 0] * 60, dtype=np.int8)


def tried(kind: str, number: int, margins) -> Tried:
    score = float(pr_auc(Y, margins))
    trial = Trial(
        kind=kind,
        number=number,
        params={},
        rounds=1,
        metrics={"pr_auc": score, "log_loss": 0.1},
        run_id="r",
        fit_seconds=0,
    )
    return Tried(trial, margins)


def noisy(share: float, seed: int):
    """The truth in `share` of the rows, noise in the rest."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(Y)) < share, Y * 1.0, rng.random(len(Y)))


def test_a_clearly_better_trial_wins_wherever_it_stands():
    decision = choose([tried("hgb", 0, noisy(0.0, 1)), tried("mlp", 0, noisy(0.95, 2))], Y, seed=1)

    assert decision.best.kind == "mlp"
    assert "highest" in decision.reason


def test_within_noise_the_first_trial_wins_and_the_reason_names_both():
    luck = sorted((noisy(0.5, seed) for seed in range(5)), key=lambda margins: pr_auc(Y, margins))
    plain, better = luck[2], luck[3]

    decision = choose([tried("hgb", 0, plain), tried("mlp", 2, better)], Y, seed=1)

    assert pr_auc(Y, better) > pr_auc(Y, plain)
    assert (decision.best.kind, decision.best.number) == ("hgb", 0)
    assert "mlp trial 2" in decision.reason
    assert "standard error" in decision.reason


def test_a_later_trial_that_is_worse_never_wins_for_being_noisier():
    """The earlier one resembles the highest: its error is so small that its small gap is beyond it."""
    highest = noisy(0.5, 1)
    near = highest - np.where(np.arange(len(Y)) % 20 == 0, 0.05, 0.0) * Y
    apart = max(
        (noisy(0.49, s) for s in range(40) if _below(noisy(0.49, s), near)), key=lambda m: pr_auc(Y, m)
    )

    alone = choose([tried("hgb", 1, apart), tried("hgb", 2, highest)], Y, seed=1)
    decision = choose([tried("hgb", 0, near), tried("hgb", 1, apart), tried("hgb", 2, highest)], Y, seed=1)
    without = choose([tried("hgb", 0, near), tried("hgb", 2, highest)], Y, seed=1)

    assert [alone.best.number, without.best.number] == [1, 2]  # the one is noise, the other is not
    assert decision.best.number == 0


def _below(margins, others) -> bool:
    return bool(pr_auc(Y, margins) < pr_auc(Y, others))


def test_diverged_trials_are_passed_over_and_all_diverged_is_an_error():
    lost = tried("mlp", 0, np.full(len(Y), np.nan))

    assert choose([lost, tried("hgb", 0, noisy(0.5, 1))], Y, seed=1).best.kind == "hgb"
    with pytest.raises(GateError, match="none of 1 trials"):
        choose([lost], Y, seed=1)


def test_many_folds_of_one_positive_each_still_have_an_error():
    """A resample without a positive has no PR-AUC; hardly one of them has a positive in all forty folds."""
    folds, rows = 40, 12
    y = np.tile(np.eye(1, rows, dtype=np.int8)[0], folds)

    def scored(number: int):
        margins = np.random.default_rng(number).normal(size=y.size)
        each = zip(np.split(y, folds), np.split(margins, folds), strict=True)
        found = float(np.mean([pr_auc(labels, part) for labels, part in each]))
        made = tried("hgb", number, margins[: len(Y)]).trial
        return Tried(made.model_copy(update={"metrics": {"pr_auc": found}}), margins)

    ordered = sorted((scored(number) for number in range(5)), key=lambda one: one.pr_auc)
    plain, better = min(pairwise(ordered), key=lambda two: two[1].pr_auc - two[0].pr_auc)

    decision = choose([plain, better], y, seed=1, folds=[rows] * folds)

    assert plain.pr_auc < better.pr_auc
    assert decision.best == plain.trial
    assert "standard error" in decision.reason


def test_unknown_kinds_and_hyper_parameters_name_those_that_exist():
    with pytest.raises(ConfigError, match="forest") as caught:
        kind_named("forest")
    assert "hgb" in caught.value.expected
    with pytest.raises(ConfigError, match="depth") as caught:
        complete("mlp", {"hidden": 8}, {"depth": 3})
    assert "hidden" in caught.value.expected
