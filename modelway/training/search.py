"""Hyper-parameter search over all candidates, by one process or by several that share their books."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import optuna

from modelway.bundle.derived import Derived
from modelway.bundle.signature import Input, columns
from modelway.training.artifacts import Trial
from modelway.training.attempt import Attempt, attempt
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Rows, complete
from modelway.training.choice import Tried
from modelway.training.draws import Draws, Plan
from modelway.training.study import Claim, Entry

logger = logging.getLogger(__name__)

POLL_S = 0.2
"""How often a process that has nothing to do looks whether another has finished, or died."""


@dataclass(frozen=True)
class FoldRows:
    """Rows to learn from and rows to validate on."""

    train: Rows
    validation: Rows


@dataclass(frozen=True)
class Task:
    """What trials are scored on: one fold, or several whose scores are averaged."""

    folds: tuple[FoldRows, ...]
    inputs: tuple[Input, ...]
    seed: int
    derived: tuple[Derived, ...] = ()

    @property
    def columns(self) -> tuple[Input, ...]:
        """Of the rows: the inputs, then what is derived from them."""
        return columns(self.inputs, self.derived)


class Notebook(Protocol):
    """Where attempts are written down."""

    def attempt(self, kind: str, number: int) -> AbstractContextManager[str]:
        """Open a page for one trial; gives its run id."""
        ...

    def write(self, run_id: str, attempt: Attempt) -> None:
        """Fill the page."""
        ...

    def bury(self, run_id: str) -> None:
        """Close the page of a process that died over it."""
        ...


def search(plans: Sequence[Plan], task: Task, notebook: Notebook) -> tuple[Tried, ...]:
    """Try each candidate's settings, its kind's defaults first; all trials are returned, in order.

    Processes that share the plans' books share the work; each returns all trials.

    Raises:
        ConfigError: A kind, or a hyper-parameter of a candidate, does not exist.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for plan in plans:
        kind = kind_named(plan.candidate.kind)
        space, fixed = plan.candidate.space, plan.candidate.fixed
        complete(plan.candidate.kind, kind.defaults, {**dict.fromkeys(space, 0), **fixed})
    draws = [Draws(plan, task.seed) for plan in plans]
    while any(len(plan.book.entries()) < plan.trials for plan in plans):
        if not any(_advance(each, task, notebook) for each in draws):
            time.sleep(POLL_S)
    return tuple(plan.book.entries()[slot].tried for plan in plans for slot in range(plan.trials))


def _advance(draws: Draws, task: Task, notebook: Notebook) -> bool:
    """Work on the first trial that can be drawn and that nobody works on; False when there is none."""
    book = draws.plan.book
    for slot in _open(draws.plan):
        with book.claim(slot) as claim:
            if claim is not None and slot not in book.entries():
                book.enter(slot, _tried(draws, slot, task, notebook, claim))
                return True
    return False


def _open(plan: Plan) -> Iterator[int]:
    done = set(plan.book.entries())
    return (s for s in range(plan.trials) if s not in done and done.issuperset(plan.known_to(s)))


def _tried(draws: Draws, slot: int, task: Task, notebook: Notebook, claim: Claim) -> Entry:
    name, drawn = draws.plan.candidate.kind, draws.of(slot)
    if abandoned := claim.abandoned_run():
        notebook.bury(abandoned)
    with notebook.attempt(name, slot) as run_id:
        claim.begun(run_id)
        made = attempt(kind_named(name), drawn.params, task, drawn.asked)
        notebook.write(run_id, made)
    trial = Trial(
        kind=name,
        number=slot,
        params=drawn.params,
        rounds=made.rounds,
        metrics={key: value for key, value in made.metrics.items() if np.isfinite(value)},
        run_id=run_id,
        fit_seconds=made.fit_seconds,
        state=made.state,
        costs=made.costs,
    )
    tried = Tried(trial, made.margins, made.graph)
    logger.info(
        "%s trial %d: %s, PR-AUC %.4f, %.1f s", name, slot, made.state, tried.pr_auc, made.fit_seconds
    )
    value = tried.pr_auc if made.state == "finished" else None
    return Entry(drawn.study.tell(drawn.asked, value, state=_STATES[made.state]), tried)


_STATES: Mapping[str, Any] = {
    "finished": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
    "diverged": optuna.trial.TrialState.FAIL,
}
