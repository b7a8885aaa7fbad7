"""How much evidence each stop will ask for, said before anything begins. Pure."""

import math

from pydantic import Field

from modelway.contract import Frozen
from modelway.stats.bounded import evidence_mean_below
from modelway.stats.sequential import evidence_below
from serving.rollout.plan import Limits, Plan, requests_needed
from serving.rollout.sights import SHIFT_BINS
from serving.rollout.strategies import FULL, Step

_MOST_PAIRS = 10**7


class Need(Frozen):
    """One stop's smallest possible evidence: no bad answer, no changed decision."""

    stop: str
    requests: int = Field(ge=0)
    """Answered by the canary, or by each arm of an a-b test."""
    of_service: int = Field(ge=0)
    """Requests to the service meanwhile."""
    least_s: float | None = None
    """Seconds at the present rate; None where that is not known."""
    deadline_s: float

    @property
    def in_time(self) -> bool | None:
        """Whether the deadline leaves room for it; None where the rate is not known."""
        return None if self.least_s is None else self.least_s <= self.deadline_s


def forecast(plan: Plan, *, rate_rps: float | None, reward_rate: float = 0.5) -> tuple[Need, ...]:
    """What each stop needs.

    Args:
        plan: Whose stops.
        rate_rps: Requests to the service per second; None or 0 where nothing is known.
        reward_rate: The control's expected share of rewards in an a-b test; 0.5 asks for most.
    """
    return tuple(_need(plan, index, rate_rps, reward_rate) for index in range(len(plan.steps)))


def _need(plan: Plan, index: int, rate_rps: float | None, reward_rate: float) -> Need:
    stop, limits = plan.steps[index], plan.limits(index)
    requests = 0 if stop.smoke else max(requests_needed(limits), pairs_needed(limits))
    if stop.split and plan.experiment is not None:
        requests = max(requests, plan.experiment.units_needed(reward_rate))
    of_service = math.ceil(requests * FULL / _share(stop, plan))
    known = rate_rps is not None and rate_rps > 0
    return Need(
        stop=stop.name,
        requests=requests,
        of_service=of_service,
        least_s=max(stop.least_s, of_service / rate_rps) if known and rate_rps else None,
        deadline_s=plan.deadline_s(index),
    )


def _share(stop: Step, plan: Plan) -> int:
    if stop.split and plan.experiment is not None:
        return plan.experiment.percent
    return FULL if stop.mirror or stop.smoke else stop.weight


def pairs_needed(limits: Limits) -> int:
    """Compared answers that pass when none differs; 0 where answers are not compared."""
    if limits.outputs is None:
        return 0
    high = 1
    while not _enough(high, limits):
        high *= 2
        if high > _MOST_PAIRS:
            break
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _enough(middle, limits) else (middle, high)
    return high


def _enough(pairs: int, limits: Limits) -> bool:
    if limits.outputs is None:
        return True
    alike = (pairs, *[0] * (SHIFT_BINS - 1))
    return (
        evidence_below(limits.outputs.max_changed, pairs, 0) >= limits.log_pass
        and evidence_mean_below(limits.outputs.max_shift, alike) >= limits.log_pass
    )
