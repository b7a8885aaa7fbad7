"""Held-out truth about a model: metrics with intervals, calibration, subgroups, gates, a report."""

from modelway.evaluation.evaluate import evaluate
from modelway.evaluation.gates import gates
from modelway.evaluation.record import Evaluation

__all__ = ["Evaluation", "evaluate", "gates"]
