"""Which trial wins, and why."""

import math
from collections.abc import Sequence

from modelway.errors import GateError
from modelway.training.artifacts import Trial


def choose(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest PR-AUC on the validation rows; among equals, the lowest log loss.

    Raises:
        GateError: No trial has a finite PR-AUC: they all diverged.
    """
    finite = _finite(trials)
    if not finite:
        raise GateError(
            f"none of {len(trials)} trials gave finite scores",
            expected="at least one that learns",
            remedy="lower the learning rates in the use case's candidates",
        )
    return max(finite, key=lambda trial: (trial.metrics["pr_auc"], -trial.metrics["log_loss"]))


def explain(best: Trial, trials: Sequence[Trial]) -> str:
    """Why `best` was chosen, held against the best of every other kind."""
    finite = _finite(trials)
    rivals = [choose([t for t in finite if t.kind == kind]) for kind in dict.fromkeys(t.kind for t in finite)]
    others = [f"{rival.kind} {rival.metrics['pr_auc']:.4f}" for rival in rivals if rival.kind != best.kind]
    against = f", against {', '.join(others)}" if others else ""
    return (
        f"{best.kind} trial {best.number} ranks the validation rows (the newest of the train rows) best: "
        f"PR-AUC {best.metrics['pr_auc']:.4f}{against}"
    )


def _finite(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if math.isfinite(trial.metrics["pr_auc"])]
