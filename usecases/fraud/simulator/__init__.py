"""A seeded simulator of card payments. Every row is made up: no licence-clean real card-fraud data exists."""

from usecases.fraud.simulator.run import Simulated, simulate
from usecases.fraud.simulator.scenario import Drift, Scenario

__all__ = ["Drift", "Scenario", "Simulated", "simulate"]
