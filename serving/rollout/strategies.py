"""The strategies as data: which stops a rollout makes. One driver walks them all.

canary          5 % → 25 % → 50 % → 100 %
shadow-canary   shadow, answers compared → 5 % → … → 100 %
blue-green      smoke → shadow, answers compared → 100 % under watch; no shadow where nothing can mirror
a-b             fixed shares by key until a winner is proven → 100 % for the winner; see `experiment`
"""

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from modelway.contract import Frozen

FULL = 100
"""All traffic, in percent."""


class Strategy(StrEnum):
    """How a new revision comes to traffic."""

    CANARY = "canary"
    SHADOW_CANARY = "shadow-canary"
    BLUE_GREEN = "blue-green"
    A_B = "a-b"


class OutputLimits(Frozen):
    """How differently a new revision may answer the same requests."""

    max_changed: float = Field(default=0.1, gt=0, lt=1)
    """Share of requests whose decision may differ from the stable revision's."""
    max_shift: float = Field(default=0.1, gt=0, lt=1)
    """Mean absolute difference of the probabilities; no less than the Wasserstein-1 distance of the two
    distributions, because the pairs are one way of moving the one onto the other."""
    max_unpaired: float = Field(default=0.1, ge=0, lt=1)
    """Share of the stable answers without a partner from which on nothing is concluded."""


class Step(Frozen):
    """One stop on the way: requests of our own, a mirror of live traffic, or a share of it."""

    weight: int = Field(ge=0, le=100)
    mirror: bool = False
    smoke: bool = False
    """Only requests of ours, whose right answers are known."""
    compare: bool = False
    """The answers to mirrored requests are held against the stable revision's."""
    judged_as: int = Field(default=0, ge=0, le=100)
    """Share of traffic whose limits apply; 0 means `weight`."""
    least_s: float = Field(default=0.0, ge=0)
    """Watched for at least so long, however good it looks."""
    deadline_s: float = Field(default=0.0, ge=0)
    """Rolled back without a verdict by then; 0 means the plan's deadline, after `least_s`."""
    split: bool = False
    """Traffic is shared out by key among all arms of an a-b test."""
    label: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return self.label or ("shadow" if self.mirror else f"{self.weight} %")

    @property
    def judged(self) -> bool:
        """The SLO's metrics are counted here; a smoke step counts its own answers alone."""
        return not self.smoke

    @property
    def share(self) -> int:
        """Percent of traffic whose limits apply."""
        return self.judged_as or self.weight


def steps_of(
    strategy: Strategy, weights: Sequence[int], *, watch_s: float, test_s: float, mirror_first: bool = True
) -> tuple[Step, ...]:
    """Every stop of a strategy, in order.

    Args:
        strategy: Which.
        weights: Percent per stop of a canary.
        watch_s: How long blue-green watches after its switch, seconds.
        test_s: How long an a-b test may take, seconds.
        mirror_first: Blue-green shadows live traffic before its switch.
    """
    shares = tuple(Step(weight=weight) for weight in weights)
    match strategy:
        case Strategy.CANARY:
            return shares
        case Strategy.SHADOW_CANARY:
            return (Step(weight=0, mirror=True, compare=True), *shares)
        case Strategy.A_B:
            test = Step(weight=0, judged_as=FULL, split=True, deadline_s=test_s, label="a-b")
            return (test, Step(weight=FULL))
        case Strategy.BLUE_GREEN:
            shadow = Step(weight=0, mirror=True, compare=True, judged_as=FULL)
            smoke = Step(weight=0, smoke=True, label="smoke")
            watch = Step(weight=FULL, least_s=watch_s, label="watch")
            return (smoke, shadow, watch) if mirror_first else (smoke, watch)
