"""Cards and merchants: who lives where, who sells what, who goes where."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from usecases.fraud.simulator.scenario import RING_MERCHANTS, Scenario

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

CATEGORIES = (
    "groceries",
    "fuel",
    "restaurant",
    "pharmacy",
    "clothing",
    "electronics",
    "jewellery",
    "online_retail",
    "digital_goods",
    "travel",
)
_MEDIAN_EUR = np.array([35.0, 50.0, 28.0, 18.0, 60.0, 140.0, 220.0, 45.0, 15.0, 260.0])
_SHARE = np.array([0.22, 0.1, 0.16, 0.08, 0.1, 0.06, 0.03, 0.13, 0.08, 0.04])
FIRST_ONLINE = 7
"""Categories from here on sell online: they are nowhere, so there is no distance to them."""
FIRST_DEAR = 5
"""Electronics and jewellery: what is stolen is sold again."""
EDGE_KM = 500.0
_NEAR, _LIKED = 6, 6
_BATCH = 2_000
"""Cards whose distances to all merchants are held at once."""


@dataclass(frozen=True, slots=True)
class World:
    """Who buys and who sells. Cards and merchants are numbered from 0; one row or entry each."""

    card_at: Floats
    """Shape (cards, 2): home, kilometres."""
    card_limit_eur: Floats
    card_habit: Floats
    """Logarithm of how much dearer than others the card buys."""
    card_pace: Floats
    """Share of all purchases."""
    favourites: Ints
    """Shape (cards, 12): merchants a card goes to mostly."""
    merchant_at: Floats
    category: Ints
    popularity: Floats
    """Share of purchases away from the favourites."""
    rings: Ints
    """Shape (rings, 3): merchants that work together."""

    @property
    def online(self) -> Bools:
        """Per merchant."""
        return self.category >= FIRST_ONLINE

    @property
    def median_eur(self) -> Floats:
        """What a purchase costs at each merchant."""
        return np.asarray(_MEDIAN_EUR[self.category])


def make_world(scenario: Scenario, chance: np.random.Generator) -> World:
    """Draw cards and merchants."""
    category = chance.choice(len(CATEGORIES), scenario.merchants, p=_SHARE)
    merchant_at = chance.uniform(0, EDGE_KM, (scenario.merchants, 2))
    popularity = _shares(chance.pareto(1.5, scenario.merchants) + 0.1)
    card_at = chance.uniform(0, EDGE_KM, (scenario.cards, 2))
    in_rings = chance.permutation(scenario.merchants)[: scenario.rings * RING_MERCHANTS]
    return World(
        card_at=card_at,
        card_limit_eur=np.exp(chance.normal(7.8, 0.5, scenario.cards)).round(-2),
        card_habit=chance.normal(0.0, 0.3, scenario.cards),
        card_pace=_shares(chance.gamma(2.0, 0.5, scenario.cards)),
        favourites=_favourites(card_at, merchant_at, category, chance),
        merchant_at=merchant_at,
        category=category,
        popularity=popularity,
        rings=in_rings.reshape(scenario.rings, RING_MERCHANTS),
    )


def _favourites(card_at: Floats, merchant_at: Floats, category: Ints, chance: np.random.Generator) -> Ints:
    """The nearest shops, and some merchants liked wherever they are."""
    shops = np.flatnonzero(category < FIRST_ONLINE)
    near = [
        shops[_nearest(card_at[start : start + _BATCH], merchant_at[shops])]
        for start in range(0, len(card_at), _BATCH)
    ]
    liked = chance.integers(0, len(merchant_at), (len(card_at), _LIKED))
    return np.hstack([np.vstack(near), liked])


def _nearest(cards: Floats, shops: Floats) -> Ints:
    squared = ((cards[:, None, :] - shops[None, :, :]) ** 2).sum(axis=2)
    count = min(_NEAR, squared.shape[1] - 1)
    return np.argpartition(squared, count, axis=1)[:, :count]


def _shares(weights: Floats) -> Floats:
    return np.asarray(weights / weights.sum())
