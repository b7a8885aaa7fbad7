"""How the settings of each trial are drawn: Optuna's TPE, decided by the trial's number and what came before.

A trial is drawn in a study of its own, filled with the finished trials that it may know: those before its
generation. So the same question gives the same trials whether one process asks, or several, or one that was
killed half way and started again.
"""

from dataclasses import dataclass, field
from typing import Any

import optuna

from modelway.contract import Candidate, Choice, FloatRange, IntRange
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Kind, Params, Value, complete
from modelway.training.candidates.imbalance import WEIGH_THE_LOSS
from modelway.training.policy import Search
from modelway.training.study import Book, PrivateBook

Range = FloatRange | IntRange | Choice


@dataclass(frozen=True)
class Plan:
    """How one candidate is searched."""

    candidate: Candidate
    trials: int
    how: Search = field(default_factory=Search)
    book: Book = field(default_factory=PrivateBook)

    @property
    def startup(self) -> int:
        """Trials drawn at random, knowing nothing: the first third, the defaults among them."""
        return max(2, self.trials // 3)

    def known_to(self, slot: int) -> range:
        """The trials that must be finished before this one is drawn: all before its generation."""
        if slot < self.startup:
            return range(0)
        generation = (slot - self.startup) // self.how.at_once
        return range(self.startup + generation * self.how.at_once)


@dataclass(frozen=True)
class Drawn:
    """One trial's settings, with Optuna's trial and the study that it was drawn in."""

    study: Any
    asked: Any
    params: Params


class Draws:
    """The trials of one plan, drawn in order by one sampler, those that others work on too.

    Its random numbers run through all trials, so that each finds them where a single process would.
    """

    def __init__(self, plan: Plan, seed: int) -> None:
        """Begin with none drawn; plan and seed alone decide what comes."""
        self.plan = plan
        self._sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=plan.startup)
        self._drawn: list[Drawn] = []

    def of(self, slot: int) -> Drawn:
        """The trial of that number; those that it may know must be finished."""
        while len(self._drawn) <= slot:
            self._drawn.append(self._next())
        return self._drawn[slot]

    def _next(self) -> Drawn:
        plan, slot, kind = self.plan, len(self._drawn), kind_named(self.plan.candidate.kind)
        study = optuna.create_study(direction="maximize", sampler=self._sampler, pruner=_pruner(plan))
        entries = plan.book.entries()
        study.add_trials([entries[known].frozen for known in plan.known_to(slot)])
        if slot == 0:
            study.enqueue_trial(_starting_point(plan.candidate, kind))
        asked = study.ask()
        return Drawn(study, asked, _suggested(plan.candidate, kind, asked))


def _pruner(plan: Plan) -> Any:
    if WEIGH_THE_LOSS.intersection(plan.candidate.space):
        return optuna.pruners.NopPruner()
    if plan.how.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=plan.startup, n_warmup_steps=1)
    if plan.how.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    return optuna.pruners.NopPruner()


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


def _suggested(candidate: Candidate, kind: Kind, asked: Any) -> Params:
    suggested = {name: _suggest(asked, name, candidate.space[name]) for name in sorted(candidate.space)}
    return complete(candidate.kind, kind.defaults, {**candidate.fixed, **suggested})


def _suggest(asked: Any, name: str, span: Range) -> Value:
    if isinstance(span, Choice):
        chosen: Value = asked.suggest_categorical(name, list(span.options))
    elif isinstance(span, IntRange):
        chosen = asked.suggest_int(name, span.low, span.high, log=span.log)
    else:
        chosen = asked.suggest_float(name, span.low, span.high, log=span.log)
    return chosen
