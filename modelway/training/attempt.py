"""One setting, fitted and scored on every fold; given up early where its losses lag."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import optuna

from modelway.optimize.export import to_onnx
from modelway.stats.calibration import log_loss
from modelway.stats.ranking import pr_auc, roc_auc
from modelway.training.calibration import Calibrator, sigmoid
from modelway.training.candidates.base import Epoch, FittedModel, Kind, Margins, OnEpoch, Params, Recipe, Rows
from modelway.training.costs import operations
from modelway.training.policy import Cost

if TYPE_CHECKING:
    from modelway.training.search import Task

AS_IT_IS = Calibrator(method="none", slope=1.0, intercept=0.0)


@dataclass
class Attempt:
    """What one trial leaves in its run."""

    params: Params
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Means over the folds."""
    epochs: list[Epoch] = field(default_factory=list)
    """Of the first fold."""
    rounds: int = 0
    """Median over the folds."""
    margins: Margins = field(default_factory=lambda: np.empty(0))
    """Of the validation rows, all folds' one after the other."""
    graph: bytes = b""
    state: Literal["finished", "pruned", "diverged"] = "finished"
    costs: Mapping[Cost, int] = field(default_factory=dict)
    fit_seconds: float = 0.0


def attempt(kind: Kind, params: Params, task: "Task", asked: Any) -> Attempt:
    """Fit and score one setting.

    Only the first fold's epochs can end it early, and only where the kind reports them while it learns: one
    that reports them afterwards has nothing left to save.

    Args:
        kind: What is fitted.
        params: Every hyper-parameter.
        task: Folds, inputs, seed.
        asked: Optuna's trial, which the losses are reported to.
    """
    made, recipe = Attempt(params=params), Recipe(inputs=task.columns, params=params, seed=task.seed)
    started = time.perf_counter()
    try:
        models = [
            kind.fit(fold.train, fold.validation, recipe, _ignore if n else _listener(kind, made, asked))
            for n, fold in enumerate(task.folds)
        ]
    except optuna.TrialPruned:
        made.state, made.rounds = "pruned", len(made.epochs)
        return made
    finally:
        made.fit_seconds = time.perf_counter() - started
    _score(made, models, task)
    return made


def _ignore(_epoch: Epoch) -> None:
    """Losses of later folds are not drawn: one curve says enough."""


def _listener(kind: Kind, made: Attempt, asked: Any) -> OnEpoch:
    live = getattr(kind, "reports_while_learning", False)

    def on_epoch(epoch: Epoch) -> None:
        made.epochs.append(epoch)
        asked.report(-epoch.validation_loss, epoch.number)
        if live and asked.should_prune():
            raise optuna.TrialPruned

    return on_epoch


def _score(made: Attempt, models: list[FittedModel], task: "Task") -> None:
    scored = [
        (fold.validation, model.margins(fold.validation.X))
        for fold, model in zip(task.folds, models, strict=True)
    ]
    made.margins = np.concatenate([margins for _, margins in scored])
    each = [_metrics(rows, margins) for rows, margins in scored]
    made.metrics = {name: float(np.mean([m[name] for m in each])) for name in each[0]}
    made.rounds = round(float(np.median([model.rounds for model in models])))
    if not np.isfinite(made.metrics["pr_auc"]):
        made.state = "diverged"
        return
    made.graph = to_onnx(models[-1], AS_IT_IS, task.inputs, task.derived)
    made.costs = {
        "operations": operations(made.graph),
        "bytes": len(made.graph),
        "row_visits": made.rounds * sum(len(fold.train.y) for fold in task.folds),
    }


def _metrics(rows: Rows, margins: Margins) -> dict[str, float]:
    return {
        "pr_auc": float(pr_auc(rows.y, margins)),
        "roc_auc": float(roc_auc(rows.y, margins)),
        "log_loss": float(log_loss(rows.y, sigmoid(margins))),
    }
