"""What a rollout will do, step by step, and how much evidence each step asks for."""

import math
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from modelway.contract import Frozen, Slo
from modelway.stats.sequential import trials_to_show_below
from serving.rollout.target import Revision


class Metric(StrEnum):
    """What an arm is judged by."""

    ERRORS = "errors"
    SLOW = "slow"
    REJECTED = "rejected"


FULL = 100
"""All traffic, in percent."""
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


class Step(Frozen):
    """One stop on the way: a share of live traffic, or a mirror of it."""

    weight: int = Field(ge=0, le=100)
    mirror: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return "shadow" if self.mirror else f"{self.weight} %"


class Plan(Frozen):
    """A whole rollout, fixed before it begins."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Unique: the same plan started again goes on where it stopped."""
    service: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    stable: Revision
    canary: Revision
    slo: Slo
    weights: tuple[int, ...] = (5, 25, 50, 100)
    shadow: bool = False
    """Mirror live traffic to the canary first; nobody sees its answers."""
    replicas: int = Field(default=1, ge=1)
    look_every_s: float = Field(default=0.5, gt=0)
    ready_deadline_s: float = Field(default=60.0, gt=0)
    step_deadline_s: float = Field(default=300.0, gt=0)
    """A step without enough evidence by then is rolled back."""
    restore_deadline_s: float = Field(default=60.0, gt=0)
    """Traffic that is not restored by then is an infrastructure error."""
    risk: Risk = Risk()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        rising = all(a < b for a, b in zip(self.weights, self.weights[1:], strict=False))
        if not self.weights or not rising or self.weights[0] < 1 or self.weights[-1] != FULL:
            raise ValueError(f"weights must rise from 1 or more to 100, got {self.weights}")
        if self.stable.id == self.canary.id:
            raise ValueError(f"stable and canary are both {self.stable.id!r}")
        if self.slo.max_error_rate <= 0:
            raise ValueError("no number of requests shows an error rate of 0: set max_error_rate above 0")
        return self

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every stop, in order."""
        shadow = (Step(weight=0, mirror=True),) if self.shadow else ()
        return shadow + tuple(Step(weight=weight) for weight in self.weights)

    def limits(self, step: int) -> Limits:
        """What step number `step` asks for."""
        return step_limits(self.slo, self.steps[step].weight, self.risk, steps=len(self.steps))


def step_limits(slo: Slo, weight: int, risk: Risk, *, steps: int) -> Limits:
    """Limits at `weight` percent of traffic: the step may do as much harm as the SLO allows the service.

    A canary with w of the traffic whose bad share is below limit/w adds less than `limit` to the
    service's bad share. The last step has w = 1 and enforces the SLO itself. The chance to err is split
    evenly over steps, metrics and tests (docs/adr/0060).
    """
    share = max(weight, 1) / 100.0
    rates = {
        metric: min(rate / share, risk.max_step_rate)
        for metric, rate in ((Metric.ERRORS, slo.max_error_rate), (Metric.SLOW, slo.max_exceedance))
    }
    margins = {metric: risk.tolerance * rate for metric, rate in rates.items()}
    margins[Metric.REJECTED] = min(risk.max_extra_rejections / share, risk.max_step_rate)
    tests = steps * (len(PROMISED) + len(Metric))
    return Limits(
        rates=rates,
        margins=margins,
        log_fail=math.log(tests / risk.false_rollback),
        log_pass=-math.log(risk.false_promotion if weight == FULL else risk.false_step),
    )


def requests_needed(limits: Limits) -> int:
    """Canary requests that pass the step when none of them is bad: the smallest possible evidence."""
    alpha = math.exp(-limits.log_pass)
    return max(trials_to_show_below(rate, alpha) for rate in limits.rates.values())
