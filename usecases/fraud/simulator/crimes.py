"""Three kinds of fraud, each with a face before and another after concept drift."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from usecases.fraud.simulator.purchases import (
    DAY_S,
    PATTERNS,
    Purchases,
    drifted,
    joined,
    moments,
    priced,
    usual_eur,
    usual_merchants,
)
from usecases.fraud.simulator.scenario import Scenario
from usecases.fraud.simulator.world import FIRST_DEAR, Bools, Floats, Ints, World

MORE = 4
"""How many times as much fraud there is after prior drift."""
_RING_DAYS, _RING_CARDS = 30, 40
_QUICK_S, _SLOW_S = 240.0, 20 * 3_600.0
"""Mean gap within a burst, before and after concept drift."""

Crime: TypeAlias = Callable[[Scenario, World, np.random.Generator], Purchases]


def crimes(scenario: Scenario, world: World, chance: np.random.Generator) -> Purchases:
    """Every fraud within the scenario's days."""
    made = joined([crime(scenario, world, chance) for crime in (singles, bursts, rings)])
    return _within(made, (made.second >= 0) & (made.second < scenario.days * DAY_S))


def singles(scenario: Scenario, world: World, chance: np.random.Generator) -> Purchases:
    """One dear purchase, far away, at night. After concept drift: a cheap one at a favourite shop by day."""
    mean = scenario.cards * scenario.days * scenario.purchases_per_day * scenario.fraud_rate
    second = _starts(scenario, mean, chance)
    card = chance.integers(0, scenario.cards, len(second))
    hidden = drifted(scenario, "concept", second)
    night = np.floor(second / DAY_S) * DAY_S + chance.uniform(0, 5 * 3_600.0, len(second))
    second = np.where(hidden | (chance.random(len(second)) < 0.3), second, night)  # noqa: PLR2004 - 3 in 10 by day
    dear = chance.choice(np.flatnonzero(world.category >= FIRST_DEAR), len(second))
    merchant = np.where(hidden, usual_merchants(world, card, chance), dear)
    usual = usual_eur(scenario, world, (card, merchant, second), chance)
    factor = np.where(hidden, 0.7, chance.uniform(1.5, 5.0, len(second)))
    return _as("single", card, merchant, second, np.round(usual * factor, 2))


def bursts(scenario: Scenario, world: World, chance: np.random.Generator) -> Purchases:
    """A stolen card: small trials, then large sums, minutes apart. After concept drift: a few a week."""
    starts = _starts(scenario, scenario.bursts_per_day * scenario.cards / 1_000 * scenario.days, chance)
    sizes = 5 + chance.poisson(5, len(starts))
    of, step = np.repeat(np.arange(len(starts)), sizes), _counting(sizes)
    slow = drifted(scenario, "concept", starts)[of]
    gaps = chance.exponential(np.where(slow, _SLOW_S, _QUICK_S)) * (step > 0)
    second = starts[of] + _running_within(gaps, sizes)
    card = chance.integers(0, scenario.cards, len(starts))[of]
    online = chance.choice(np.flatnonzero(world.online), len(of))
    merchant = np.where(slow, usual_merchants(world, card, chance), online)
    trial = chance.uniform(1, 20, len(of))
    large = chance.uniform(80, 400, len(of))
    quick = priced(scenario, second, np.where(step < sizes[of] / 3, trial, large))
    usual = usual_eur(scenario, world, (card, merchant, second), chance)
    return _as("burst", card, merchant, second, np.where(slow, usual, quick))


def rings(scenario: Scenario, world: World, chance: np.random.Generator) -> Purchases:
    """Merchants charge skimmed cards for a month. After concept drift the cards are used anywhere."""
    ring = np.repeat(np.arange(scenario.rings), _RING_CARDS)
    skimmed = chance.integers(0, scenario.cards, len(ring))
    times = 2 + chance.poisson(2, len(ring))
    of, card = np.repeat(ring, times), np.repeat(skimmed, times)
    begins = ((of + 0.5) / max(scenario.rings, 1) * scenario.days - _RING_DAYS / 2) * DAY_S
    second = begins + chance.uniform(0, _RING_DAYS * DAY_S, len(of))
    hidden = drifted(scenario, "concept", second)
    own = world.rings[of, chance.integers(0, world.rings.shape[1], len(of))]
    merchant = np.where(hidden, usual_merchants(world, card, chance), own)
    charged = priced(scenario, second, chance.uniform(60, 180, len(of)))
    usual = usual_eur(scenario, world, (card, merchant, second), chance)
    return _as("ring", card, merchant, second, np.where(hidden, usual, charged))


def _starts(scenario: Scenario, mean: float, chance: np.random.Generator) -> Floats:
    """Moments of a Poisson process, `MORE` times as dense after prior drift."""
    second = moments(scenario, int(chance.poisson(mean * MORE)), chance)
    kept = drifted(scenario, "prior", second) | (chance.random(len(second)) < 1 / MORE)
    return np.asarray(second[kept])


def _counting(sizes: Ints) -> Ints:
    """0, 1, … within each group: sizes 2 and 3 give 0 1 0 1 2."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _running_within(gaps: Floats, sizes: Ints) -> Floats:
    """Running sum of the gaps, anew for each group; the first gap of a group is 0."""
    total = np.cumsum(gaps)
    first = np.cumsum(sizes) - sizes
    return np.asarray(total - np.repeat(total[first], sizes))


def _as(pattern: str, card: Ints, merchant: Ints, second: Floats, eur: Floats) -> Purchases:
    return Purchases(card, merchant, second, eur, np.full(len(card), PATTERNS.index(pattern), np.int64))


def _within(made: Purchases, kept: Bools) -> Purchases:
    return Purchases(
        made.card[kept], made.merchant[kept], made.second[kept], made.eur[kept], made.pattern[kept]
    )
