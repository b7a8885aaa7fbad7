"""An a-b test as it is fixed before it begins."""

import math
from typing import Self

from pydantic import Field, model_validator

from modelway.contract import Frozen
from modelway.stats.difference import trials_to_tell
from serving.rollout.sights import RewardKind, RewardSource
from serving.rollout.strategies import FULL
from serving.rollout.target import Revision


class Experiment(Frozen):
    """What is decided before the first request, and cannot be chosen afterwards."""

    more_arms: tuple[Revision, ...] = ()
    """Challengers beside the plan's canary."""
    effect: float = Field(gt=0, lt=1)
    """The smallest difference of the metric worth having, absolute."""
    source: RewardSource = RewardSource()
    key_header: str = Field(default="x-key", pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Requests with the same value here see the same arm."""
    deadline_s: float = Field(default=3600.0, gt=0)
    """Inconclusive by then: the stable revision keeps its traffic."""
    share: int = Field(default=0, ge=0, le=FULL)
    """Percent of the keys per challenger; 0 gives every arm the same."""
    false_winner: float = Field(default=0.05, gt=0, lt=1)
    """Chance to call a challenger better that is not, over all challengers and looks."""
    false_level: float = Field(default=0.05, gt=0, lt=1)
    """Chance to say "no difference" while a challenger is better by the effect."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.source.kind is RewardKind.FILE and self.source.path is None:
            raise ValueError("rewards from a file need its path")
        if self.challengers * self.percent >= FULL:
            raise ValueError(f"{self.challengers} challengers with {self.percent} % each leave no control")
        return self

    @property
    def challengers(self) -> int:
        """How many arms beside the control."""
        return 1 + len(self.more_arms)

    @property
    def percent(self) -> int:
        """Percent of the keys per challenger."""
        return self.share or FULL // (self.challengers + 1)

    @property
    def log_better(self) -> float:
        """Evidence that makes a winner: the chance to err is split over the challengers."""
        return math.log(self.challengers / self.false_winner)

    @property
    def log_level(self) -> float:
        """Evidence per challenger against the effect. All must have it, so nothing is split."""
        return -math.log(self.false_level)

    def units_needed(self, rate: float) -> int:
        """Rewarded units per arm after which an arm better by the effect is expected to be told.

        Args:
            rate: The control's share of rewards.

        Raises:
            ValueError: No number would do.
        """
        return trials_to_tell(rate, self.effect, self.log_better)
