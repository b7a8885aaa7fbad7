import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.stats.sequential import (
    ODDS_ABOVE,
    SHARES_BELOW,
    Bets,
    Counts,
    bet_above,
    bet_worse,
    evidence_below,
    log_sum_exp,
    log_two_sample,
    trials_to_show_below,
)

rates = st.floats(0.001, 0.999)


def binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def test_fresh_bets_are_worth_one() -> None:
    assert Bets().log_wealth == 0.0


def test_first_look_by_hand() -> None:
    # Half of the wealth is staked in equal parts; 2 events of 3 against a limit of 0.5 (odds 1).
    after = bet_above(Bets(), 0.5, Counts(trials=3, events=2))

    pots = [(t / (1 + t) / 0.5) ** 2 * ((1 / (1 + t)) / 0.5) for t in ODDS_ABOVE]
    assert math.exp(after.log_wealth) == pytest.approx(0.5 + 0.5 * sum(pots) / len(pots))


def test_a_look_without_answers_changes_nothing() -> None:
    bets = bet_above(Bets(), 0.1, Counts(trials=5, events=1))

    assert bet_above(bets, 0.1, Counts()) == bets
    assert bet_worse(bets, 0.1, Counts(), Counts(trials=3), Counts()) == bets


@given(rate=rates, limit=st.floats(0.001, 0.9), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3))
@settings(deadline=None)
def test_wealth_is_not_expected_to_grow_while_the_limit_is_kept(
    rate: float, limit: float, sizes: list[int]
) -> None:
    rate *= limit

    def expected(bets: Bets, left: list[int]) -> float:
        if not left:
            return math.exp(bets.log_wealth)
        chances = binomial(left[0], rate)
        return sum(
            chance * expected(bet_above(bets, limit, Counts(trials=left[0], events=events)), left[1:])
            for events, chance in enumerate(chances)
        )

    assert expected(Bets(), sizes) <= 1 + 1e-9


@given(
    stable_rate=rates,
    better=st.floats(0, 1),
    margin=st.floats(0, 0.3),
    sizes=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    past=st.tuples(st.integers(0, 200), st.floats(0, 1)),
)
@settings(max_examples=150, deadline=None)
def test_comparison_is_not_expected_to_grow_while_the_canary_is_no_worse(
    stable_rate: float, better: float, margin: float, sizes: tuple[int, int], past: tuple[int, float]
) -> None:
    canary_rate = better * min(1.0, stable_rate + margin)
    before = Counts(trials=past[0], events=int(past[0] * past[1]))

    expected = sum(
        chance_a
        * chance_b
        * math.exp(
            bet_worse(
                Bets(), margin, before, Counts(trials=sizes[0], events=a), Counts(trials=sizes[1], events=b)
            ).log_wealth
        )
        for a, chance_a in enumerate(binomial(sizes[0], stable_rate))
        for b, chance_b in enumerate(binomial(sizes[1], canary_rate))
    )

    assert expected <= 1 + 1e-9


def test_without_a_margin_it_is_the_variable_of_turner_ly_and_grunwald() -> None:
    base, worse = 0.02, 0.2
    stable, canary = Counts(trials=40, events=2), Counts(trials=10, events=3)
    pooled = (40 * base + 10 * worse) / 50

    def likelihood(p: float, counts: Counts) -> float:
        return p**counts.events * (1 - p) ** (counts.trials - counts.events)

    ours = math.exp(log_two_sample(base, worse, 0.0, stable, canary))
    theirs = likelihood(base, stable) * likelihood(worse, canary)
    theirs /= likelihood(pooled, stable) * likelihood(pooled, canary)
    assert ours == pytest.approx(theirs)


def test_nothing_is_worse_than_a_stable_arm_that_always_fails() -> None:
    bets = bet_worse(
        Bets(), 0.3, Counts(trials=117, events=117), Counts(trials=1), Counts(trials=1, events=1)
    )

    assert bets.log_wealth == pytest.approx(0.0)


def test_evidence_below_by_hand() -> None:
    # 10 good answers against "at least 20 % bad".
    expected = sum(stake * ((1 - 0.2 * share) / 0.8) ** 10 for share, stake in SHARES_BELOW.items())

    assert math.exp(evidence_below(0.2, 10, 0)) == pytest.approx(expected)


@given(rate=rates, bound=st.floats(0.01, 0.9), trials=st.integers(1, 40))
@settings(deadline=None)
def test_evidence_below_is_not_expected_to_grow_while_the_bound_is_broken(
    rate: float, bound: float, trials: int
) -> None:
    rate = bound + (1 - bound) * rate

    expected = sum(
        chance * math.exp(evidence_below(bound, trials, events))
        for events, chance in enumerate(binomial(trials, rate))
    )

    assert expected <= 1 + 1e-9


def test_the_requests_needed_are_the_fewest_that_do() -> None:
    needed = trials_to_show_below(0.01, 0.05)

    assert evidence_below(0.01, needed, 0) >= math.log(20) > evidence_below(0.01, needed - 1, 0)
    assert needed > math.log(0.05) / math.log(0.99)  # looking at any time costs something
    assert trials_to_show_below(0.01, 0.05, rate=0.005) > 3 * needed


def test_a_rate_at_the_bound_can_never_be_shown_to_lie_below_it() -> None:
    with pytest.raises(ValueError, match="cannot be shown"):
        trials_to_show_below(0.01, 0.05, rate=0.01)


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=6))
@settings(deadline=None)
def test_log_sum_exp_agrees_with_numpy(logs: list[float]) -> None:
    assert log_sum_exp(logs) == pytest.approx(float(np.logaddexp.reduce(logs)))


def crossings(step: Callable[[Bets, Counts, Counts], Bets], p: float, q: float, alpha: float) -> float:
    """Share of generated traces whose wealth ever reaches 1/alpha, looked at after every block."""
    generator = np.random.default_rng(7)
    crossed, traces = 0, 200
    for _ in range(traces):
        bets = Bets()
        for _ in range(80):
            a = Counts(trials=90, events=int(generator.binomial(90, p)))
            b = Counts(trials=10, events=int(generator.binomial(10, q)))
            bets = step(bets, a, b)
            if bets.log_wealth >= math.log(1 / alpha):
                crossed += 1
                break
    return crossed / traces


def test_false_alarms_stay_within_the_level_however_often_one_looks() -> None:
    above = crossings(lambda bets, _, b: bet_above(bets, 0.02, b), 0.02, 0.02, alpha=0.1)
    worse = crossings(
        lambda bets, a, b: bet_worse(bets, 0.01, Counts(trials=1000, events=20), a, b), 0.02, 0.03, alpha=0.1
    )

    assert above <= 0.1
    assert worse <= 0.1


def test_real_harm_is_found() -> None:
    above = crossings(lambda bets, _, b: bet_above(bets, 0.02, b), 0.0, 0.08, alpha=0.001)
    worse = crossings(
        lambda bets, a, b: bet_worse(bets, 0.01, Counts(trials=1000, events=20), a, b),
        0.02,
        0.12,
        alpha=0.001,
    )

    assert above > 0.97
    assert worse > 0.97


def test_a_fault_after_long_good_service_is_found_soon() -> None:
    bets = Bets()
    for _ in range(200):
        bets = bet_above(bets, 0.02, Counts(trials=50, events=0))
    looks = 0
    while bets.log_wealth < math.log(1 / 0.001):
        bets = bet_above(bets, 0.02, Counts(trials=50, events=25))
        looks += 1

    assert looks == 1
