"""From what happened to what arrives: delays, disorder, charge-backs, dirt."""

import numpy as np

from usecases.fraud.simulator.purchases import DAY_S
from usecases.fraud.simulator.scenario import Scenario
from usecases.fraud.simulator.world import Bools, Floats

_OVERTAKEN_S = 300.0
_CHARGED_BACK_SHARE = 0.92
"""Frauds that the owner notices and disputes; the others keep the label 0."""
_DISPUTE_SHARE = 0.0005
"""Honest purchases that are disputed all the same."""
_CLOCK_AHEAD_S = 600.0


def delays_s(scenario: Scenario, count: int, chance: np.random.Generator) -> Floats:
    """Seconds from a purchase to its arrival: mostly under a second, some minutes, a few hours."""
    usual = np.exp(chance.normal(-1.0, 0.5, count))
    overtaken = chance.uniform(1, _OVERTAKEN_S, count)
    late = chance.exponential(scenario.late_hours * 3_600.0, count)
    luck = chance.random(count)
    minutes = luck < scenario.late_share + scenario.disordered_share
    return np.where(luck < scenario.late_share, late, np.where(minutes, overtaken, usual))


def chargebacks_s(scenario: Scenario, second: Floats, fraud: Bools, chance: np.random.Generator) -> Floats:
    """When each purchase is charged back, seconds since day 0; NaN where it never is."""
    share = np.where(fraud, _CHARGED_BACK_SHARE, _DISPUTE_SHARE)
    logs = chance.normal(np.log(scenario.chargeback_median_days), scenario.chargeback_spread, len(second))
    return np.where(chance.random(len(second)) < share, second + np.exp(logs) * DAY_S, np.nan)


def clocks_ahead_s(scenario: Scenario, count: int, chance: np.random.Generator) -> Floats:
    """How far terminals' clocks run ahead: 0 for almost all, minutes for the dirty share."""
    ahead = chance.uniform(60, _CLOCK_AHEAD_S, count)
    return np.where(chance.random(count) < scenario.dirty_share, ahead, 0.0)
