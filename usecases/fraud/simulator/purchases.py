"""Honest purchases: near home, by day, at the price of the shop."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from usecases.fraud.simulator.scenario import Scenario
from usecases.fraud.simulator.world import Floats, Ints, World

PATTERNS = ("none", "single", "burst", "ring")
"""What made a row; its number is its place here."""
DAY_S = 86_400.0
_BY_HOUR = np.array([1, 1, 1, 1, 1, 2, 4, 7, 9, 9, 10, 11, 12, 11, 10, 10, 11, 13, 13, 11, 8, 6, 4, 2], float)
_AWAY_SHARE = 0.15
_PRICE_SPREAD = 0.6
_PRICE_RISE = 1.7
"""What covariate drift multiplies every price by."""
_LEAST_EUR = 0.5


@dataclass(frozen=True, slots=True)
class Purchases:
    """Columns of equal length: who, where, when, how much, and the truth about it."""

    card: Ints
    merchant: Ints
    second: Floats
    """Since the start of day 0."""
    eur: Floats
    pattern: Ints
    """Place in `PATTERNS`."""

    def __len__(self) -> int:
        return len(self.card)


def joined(parts: Sequence[Purchases]) -> Purchases:
    """All of them, one after the other."""
    return Purchases(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Purchases)))


def drifted(scenario: Scenario, kind: str, second: Floats) -> np.ndarray:
    """Per moment: has drift of this kind begun?"""
    drift = scenario.drift
    begins = drift.from_day * DAY_S if drift and drift.kind == kind else np.inf
    return second >= begins


def honest(scenario: Scenario, world: World, chance: np.random.Generator) -> Purchases:
    """Purchases of the cards' owners."""
    count = int(chance.poisson(scenario.cards * scenario.days * scenario.purchases_per_day))
    card = chance.choice(scenario.cards, count, p=world.card_pace)
    merchant = usual_merchants(world, card, chance)
    second = moments(scenario, count, chance)
    eur = usual_eur(scenario, world, (card, merchant, second), chance)
    return Purchases(card, merchant, second, eur, np.zeros(count, np.int64))


def usual_merchants(world: World, card: Ints, chance: np.random.Generator) -> Ints:
    """Mostly favourites; some anywhere, the popular ones oftener."""
    favourite = world.favourites[card, chance.integers(0, world.favourites.shape[1], len(card))]
    anywhere = chance.choice(len(world.popularity), len(card), p=world.popularity)
    return np.where(chance.random(len(card)) < _AWAY_SHARE, anywhere, favourite)


def moments(scenario: Scenario, count: int, chance: np.random.Generator) -> Floats:
    """Seconds since day 0: any day, mostly in daytime."""
    day = chance.integers(0, scenario.days, count)
    hour = chance.choice(24, count, p=_BY_HOUR / _BY_HOUR.sum())
    return np.asarray((day * 24.0 + hour + chance.random(count)) * 3_600.0)


def usual_eur(
    scenario: Scenario, world: World, made: tuple[Ints, Ints, Floats], chance: np.random.Generator
) -> Floats:
    """What the owners of the cards would pay there. `made` is card, merchant, second."""
    card, merchant, second = made
    usual = world.median_eur[merchant] * np.exp(world.card_habit[card])
    return priced(scenario, second, usual * np.exp(chance.normal(0, _PRICE_SPREAD, len(card))))


def priced(scenario: Scenario, second: Floats, eur: Floats) -> Floats:
    """Amounts at the prices of their day, in whole cents."""
    rise = np.where(drifted(scenario, "covariate", second), _PRICE_RISE, 1.0)
    return np.asarray(np.maximum(eur * rise, _LEAST_EUR)).round(2)
