"""What a rollout will do, step by step, and how much evidence each step asks for."""

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from modelway.contract import Frozen, Slo
from modelway.stats.sequential import trials_to_show_below
from serving.rollout.experiment import Experiment
from serving.rollout.strategies import FULL, OutputLimits, Step, Strategy, steps_of
from serving.rollout.target import Revision

__all__ = [
    "FULL",
    "OUTPUT_TESTS",
    "PROMISED",
    "Limits",
    "Metric",
    "Plan",
    "Risk",
    "requests_needed",
    "step_limits",
]


class Metric(StrEnum):
    """What an arm is judged by."""

    ERRORS = "errors"
    SLOW = "slow"
    REJECTED = "rejected"


OUTPUT_TESTS = 2
"""Changed decisions and shifted probabilities, where answers are compared."""
PROMISED = (Metric.ERRORS, Metric.SLOW)
"""Metrics with an SLO of their own; a rejection is only wrong when the stable arm would not have rejected."""


class Risk(Frozen):
    """How often the judge may err, and how much harm a step may do meanwhile."""

    false_rollback: float = Field(default=0.01, gt=0, lt=1)
    """Chance to roll back a canary that keeps every limit, over the whole rollout."""
    false_promotion: float = Field(default=0.05, gt=0, lt=1)
    """Chance to promote one that breaks its SLO: the last step's proof alone decides it."""
    false_step: float = Field(default=0.2, gt=0, lt=1)
    """Chance to go on with one that breaks the present step's limit; the next step sees it sooner."""
    false_lean: float = Field(default=0.05, gt=0, lt=1)
    """A broken limit is the canary's where the comparison says so too, at this level: on a bad day of both
    arms chance alone decides whose breach is proven first."""
    max_step_rate: float = Field(default=0.25, gt=0, lt=1)
    """No step accepts a larger share of bad answers, however little traffic it has."""
    tolerance: float = Field(default=0.5, ge=0, le=1)
    """How much worse than the stable arm is accepted, as a share of the step's limit."""
    max_extra_rejections: float = Field(default=0.01, gt=0, lt=1)
    """How many more requests than the stable arm the canary may call invalid, at 100 % weight."""
    burst_errors: int = Field(default=8, ge=1)
    burst_share: float = Field(default=0.5, gt=0, le=1)
    """Between two looks: so many errors at that share of requests roll back at once."""
    max_restarts: int = Field(default=2, ge=0)
    """A replica that crashes more often than this is a crash loop."""


class Limits(Frozen):
    """One step's numbers: rates that count as broken, and log evidence that decides."""

    rates: dict[Metric, float]
    """Per promised metric: the share of bad answers that breaks the step."""
    margins: dict[Metric, float]
    """Per metric: how much worse than the stable arm is accepted."""
    log_fail: float
    """Evidence from which on a breach is proven: log(1/alpha) of one test of one step."""
    log_pass: float
    """Evidence from which on a promise is shown to be kept."""
    log_lean: float
    """Evidence of being worse than stable that a broken limit needs beside it, where stable has traffic."""
    outputs: OutputLimits | None = None
    """Where answers are compared; None where they are not."""


def climbs(weights: Sequence[int]) -> bool:
    """Whether these are the shares of a rollout: from 1 percent or more, rising, to all traffic."""
    rising = all(a < b for a, b in pairwise(weights))
    return bool(weights) and rising and weights[0] >= 1 and weights[-1] == FULL


class Plan(Frozen):
    """A whole rollout, fixed before it begins."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Unique: the same plan started again goes on where it stopped."""
    service: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    stable: Revision
    canary: Revision
    slo: Slo
    weights: tuple[int, ...] = (5, 25, 50, 100)
    strategy: Strategy = Strategy.CANARY
    outputs: OutputLimits = OutputLimits()
    """Kept where the strategy compares answers."""
    watch_s: float = Field(default=60.0, ge=0)
    """How long blue-green watches after its switch before the old revision is no longer needed."""
    mirror_first: bool = True
    """Blue-green shadows live traffic before its switch; where nothing can mirror, the watch alone judges."""
    experiment: Experiment | None = None
    """Of an a-b test, and of no other strategy."""
    replicas: int = Field(default=1, ge=1)
    keep: tuple[str, ...] = ()
    """Revisions that are no part of this rollout and stay loaded at its end."""
    look_every_s: float = Field(default=0.5, gt=0)
    ready_deadline_s: float = Field(default=60.0, gt=0)
    step_deadline_s: float = Field(default=300.0, gt=0)
    """A step without enough evidence by then is rolled back."""
    restore_deadline_s: float = Field(default=60.0, gt=0)
    """Traffic that is not restored by then is an infrastructure error."""
    risk: Risk = Risk()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not climbs(self.weights):
            raise ValueError(f"weights must rise from 1 or more to 100, got {self.weights}")
        if self.slo.max_error_rate <= 0:
            raise ValueError("no number of requests shows an error rate of 0: set max_error_rate above 0")
        if (self.experiment is not None) is not (self.strategy is Strategy.A_B):
            raise ValueError("an a-b test needs its experiment, and no other strategy has one")
        names = [self.stable.id, *(arm.id for arm in self.challengers)]
        if len(set(names)) < len(names):
            raise ValueError(f"every arm needs a revision of its own, got {names}")
        return self

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every stop, in order."""
        test_s = self.experiment.deadline_s if self.experiment else 0.0
        return steps_of(
            self.strategy, self.weights, watch_s=self.watch_s, test_s=test_s, mirror_first=self.mirror_first
        )

    @property
    def challengers(self) -> tuple[Revision, ...]:
        """The canary, and the further arms of an a-b test."""
        return (self.canary, *(self.experiment.more_arms if self.experiment else ()))

    def deadline_s(self, step: int) -> float:
        """Seconds after which stop number `step` is rolled back without a verdict."""
        stop = self.steps[step]
        return stop.deadline_s or stop.least_s + self.step_deadline_s

    def limits(self, step: int) -> Limits:
        """What step number `step` asks for."""
        steps, now = self.steps, self.steps[step]
        more_tests = OUTPUT_TESTS * sum(each.compare for each in steps)
        judged = sum(len(self.challengers) if each.split else each.judged for each in steps)
        limits = step_limits(self.slo, now.share, self.risk, steps=judged, more_tests=more_tests)
        return limits.model_copy(update={"outputs": self.outputs if now.compare else None})


def step_limits(slo: Slo, weight: int, risk: Risk, *, steps: int, more_tests: int = 0) -> Limits:
    """Limits at `weight` percent of traffic: the step may do as much harm as the SLO allows the service.

    A canary with w of the traffic whose bad share is below limit/w adds less than `limit` to the
    service's bad share. The last step has w = 1 and enforces the SLO itself. The chance to err is split
    evenly over steps, metrics and tests (docs/adr/0060).

    Args:
        slo: What the service promises.
        weight: Percent of traffic whose limits apply.
        risk: How often the judge may err.
        steps: Judged stops of the whole rollout, which share the error budget.
        more_tests: Further tests that share it: those on compared answers.
    """
    share = max(weight, 1) / 100.0
    rates = {
        metric: min(rate / share, risk.max_step_rate)
        for metric, rate in ((Metric.ERRORS, slo.max_error_rate), (Metric.SLOW, slo.max_exceedance))
    }
    margins = {metric: risk.tolerance * rate for metric, rate in rates.items()}
    margins[Metric.REJECTED] = min(risk.max_extra_rejections / share, risk.max_step_rate)
    tests = steps * (len(PROMISED) + len(Metric)) + more_tests
    return Limits(
        rates=rates,
        margins=margins,
        log_fail=math.log(tests / risk.false_rollback),
        log_pass=-math.log(risk.false_promotion if weight == FULL else risk.false_step),
        log_lean=-math.log(risk.false_lean),
    )


def requests_needed(limits: Limits) -> int:
    """Canary requests that pass the step when none of them is bad: the smallest possible evidence."""
    alpha = math.exp(-limits.log_pass)
    return max(trials_to_show_below(rate, alpha) for rate in limits.rates.values())
