"""Hyper-parameter search for one kind of model: Optuna's TPE, seeded, a few trials."""

import logging
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import optuna

from modelway.bundle.signature import Input
from modelway.contract import Candidate, Choice, FloatRange, IntRange
from modelway.stats.calibration import log_loss
from modelway.stats.ranking import pr_auc, roc_auc
from modelway.training.artifacts import Trial
from modelway.training.calibration import sigmoid
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Epoch, Kind, Margins, Params, Recipe, Rows, Value, complete
from modelway.training.choice import Tried

logger = logging.getLogger(__name__)

Range = FloatRange | IntRange | Choice


@dataclass(frozen=True)
class Task:
    """Rows to learn from and rows to choose by, newer than the former."""

    train: Rows
    validation: Rows
    inputs: tuple[Input, ...]
    seed: int


@dataclass
class Attempt:
    """What one trial leaves in its run."""

    params: Params
    metrics: Mapping[str, float] = field(default_factory=dict)
    epochs: list[Epoch] = field(default_factory=list)
    rounds: int = 0
    margins: Margins = field(default_factory=lambda: np.empty(0))
    """Of the validation rows."""


class Notebook(Protocol):
    """Where attempts are written down."""

    def attempt(self, kind: str, number: int) -> AbstractContextManager[str]:
        """Open a page for one trial; gives its run id."""
        ...

    def write(self, run_id: str, attempt: Attempt) -> None:
        """Fill the page."""
        ...


def search(candidate: Candidate, task: Task, notebook: Notebook, trials: int) -> tuple[Tried, ...]:
    """Try `trials` settings, the kind's defaults first; all of them are returned, in order.

    Raises:
        ConfigError: The kind, or a hyper-parameter of the candidate, does not exist.
    """
    kind = kind_named(candidate.kind)
    complete(candidate.kind, kind.defaults, {**dict.fromkeys(candidate.space, 0), **candidate.fixed})
    study = _study(candidate, kind, task.seed, trials)
    return tuple(_try(study, candidate, kind, task, notebook) for _ in range(trials))


def _study(candidate: Candidate, kind: Kind, seed: int, trials: int) -> Any:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(2, trials // 3))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial(_starting_point(candidate, kind))
    return study


def _starting_point(candidate: Candidate, kind: Kind) -> dict[str, Value]:
    return {
        name: kind.defaults[name]
        for name, span in candidate.space.items()
        if _within(span, kind.defaults[name])
    }


def _within(span: Range, value: Value) -> bool:
    if isinstance(span, Choice):
        return value in span.options
    return not isinstance(value, str) and span.low <= value <= span.high


def _try(study: Any, candidate: Candidate, kind: Kind, task: Task, notebook: Notebook) -> Tried:
    asked = study.ask()
    suggested = {name: _suggest(asked, name, candidate.space[name]) for name in sorted(candidate.space)}
    params = complete(candidate.kind, kind.defaults, {**candidate.fixed, **suggested})
    with notebook.attempt(candidate.kind, asked.number) as run_id:
        started = time.perf_counter()
        attempt = _attempt(kind, params, task)
        seconds = time.perf_counter() - started
        notebook.write(run_id, attempt)
    score = attempt.metrics["pr_auc"]
    study.tell(asked, score if np.isfinite(score) else None, state=_state(score))
    logger.info("%s trial %d: PR-AUC %.4f in %.1f s", candidate.kind, asked.number, score, seconds)
    trial = Trial(
        kind=candidate.kind,
        number=asked.number,
        params=params,
        rounds=attempt.rounds,
        metrics=attempt.metrics,
        run_id=run_id,
        fit_seconds=seconds,
    )
    return Tried(trial, attempt.margins)


def _state(score: float) -> Any:
    return optuna.trial.TrialState.COMPLETE if np.isfinite(score) else optuna.trial.TrialState.FAIL


def _suggest(asked: Any, name: str, span: Range) -> Value:
    if isinstance(span, Choice):
        chosen: Value = asked.suggest_categorical(name, list(span.options))
    elif isinstance(span, IntRange):
        chosen = asked.suggest_int(name, span.low, span.high, log=span.log)
    else:
        chosen = asked.suggest_float(name, span.low, span.high, log=span.log)
    return chosen


def _attempt(kind: Kind, params: Params, task: Task) -> Attempt:
    attempt = Attempt(params=params)
    recipe = Recipe(inputs=task.inputs, params=params, seed=task.seed)
    fitted = kind.fit(task.train, task.validation, recipe, attempt.epochs.append)
    margins = fitted.margins(task.validation.X)
    attempt.rounds, attempt.margins = fitted.rounds, margins
    attempt.metrics = {
        "pr_auc": float(pr_auc(task.validation.y, margins)),
        "roc_auc": float(roc_auc(task.validation.y, margins)),
        "log_loss": float(log_loss(task.validation.y, sigmoid(margins))),
    }
    return attempt
