import math
from itertools import product

import numpy as np
import pytest

from modelway.stats.difference import bet_better, bet_level, missed, trials_to_tell
from modelway.stats.sequential import Bets, Counts, log_two_sample

WON = math.log(20)


def run(control: float, arm: float, *, effect: float, seed: int) -> str:
    looks, block = 60, 50
    generator = np.random.default_rng(seed)
    better = level = Bets()
    past = Counts()
    for _ in range(looks):
        a = Counts(trials=block, events=int(generator.binomial(block, control)))
        b = Counts(trials=block, events=int(generator.binomial(block, arm)))
        better, level = bet_better(better, effect, past, a, b), bet_level(level, effect, past, a, b)
        past = past + a
        if better.log_wealth >= WON:
            return "better"
        if level.log_wealth >= WON:
            return "level"
    return "open"


@pytest.mark.parametrize(("margin", "p"), [(0.0, 0.3), (-0.1, 0.3), (-0.1, 0.15), (0.05, 0.3)])
def test_the_factor_is_fair_at_the_edge_of_the_hypothesis(margin: float, p: float) -> None:
    # Every outcome of 3 + 3 trials, weighted by its probability: the expectation must not exceed 1.
    n, expected = 3, 0.0
    for a, b in product(range(n + 1), repeat=2):
        weight = math.comb(n, a) * p**a * (1 - p) ** (n - a)
        q = p + margin
        weight *= math.comb(n, b) * q**b * (1 - q) ** (n - b)
        stable, canary = Counts(trials=n, events=a), Counts(trials=n, events=b)
        expected += weight * math.exp(log_two_sample(p, q + 0.2, margin, stable, canary))

    assert expected <= 1 + 1e-9


def test_equal_arms_are_seldom_called_better() -> None:
    ends = [run(0.3, 0.3, effect=0.1, seed=seed) for seed in range(300)]

    assert ends.count("better") <= 300 * 0.05
    assert ends.count("level") >= 300 * 0.9


def test_an_arm_better_by_the_effect_wins_and_is_seldom_called_level() -> None:
    ends = [run(0.3, 0.4, effect=0.1, seed=seed) for seed in range(300)]

    assert ends.count("better") >= 300 * 0.9
    assert ends.count("level") <= 300 * 0.05


def test_a_worse_arm_is_never_better() -> None:
    assert {run(0.3, 0.15, effect=0.1, seed=seed) for seed in range(50)} == {"level"}


def test_labels_that_come_in_one_batch_are_enough() -> None:
    batch = bet_better(
        Bets(), 0.1, Counts(), Counts(trials=3000, events=300), Counts(trials=3000, events=600)
    )

    assert batch.log_wealth > WON


def test_an_arm_without_rewards_changes_nothing() -> None:
    assert bet_better(Bets(), 0.1, Counts(), Counts(), Counts(trials=5, events=5)) == Bets()


def test_missed_rewards() -> None:
    assert missed(Counts(trials=10, events=3)) == Counts(trials=10, events=7)


def test_the_number_of_units_is_what_the_expected_counts_need() -> None:
    needed = trials_to_tell(0.3, 0.1, WON)
    short, enough = needed * 9 // 10, needed

    def evidence(n: int) -> float:
        control, arm = Counts(trials=n, events=round(n * 0.3)), Counts(trials=n, events=round(n * 0.4))
        return bet_better(Bets(), 0.1, Counts(), control, arm).log_wealth

    assert evidence(short) < WON <= evidence(enough)
    with pytest.raises(ValueError, match="cannot be told"):
        trials_to_tell(0.3, 1e-7, WON)
