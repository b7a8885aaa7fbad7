"""The shapes of load, as data: how the offered rate moves over the run, and what each phase must show."""

from collections.abc import Mapping

from pydantic import Field

from modelway.contract import Frozen
from modelway.errors import ConfigError


class Phase(Frozen):
    """A part of the run at one rate."""

    name: str
    share: float = Field(gt=0, le=1)
    """Of the run's duration."""
    factor: float = Field(gt=0)
    """Of the run's rate, which is the SLO's unless said otherwise."""
    judged: bool = True
    """Whether the SLO is held against this phase; overload on purpose is shown, not judged."""


class Recovery(Frozen):
    """After a burst the promise holds again, soon."""

    after: str
    """Name of the phase that may do harm."""
    within_s: float = Field(gt=0)


class Flatness(Frozen):
    """Nothing grows. Each limit asks for size; that it is no chance is asked besides."""

    max_latency_growth: float = Field(default=0.1, gt=0)
    """Of the median from the first to the last minute, as a share of the SLO's limit."""
    max_memory_growth: float = Field(default=0.05, gt=0)
    """Of the server's resident memory, as a share of what it was at the beginning."""
    settle_share: float = Field(default=0.1, ge=0, lt=1)
    """The first part of the run, in which caches fill: not looked at."""
    alpha: float = Field(default=0.01, gt=0, lt=1)
    """Chance to call a flat error rate rising."""


class Profile(Frozen):
    """A named shape and its rules. The SLO is held against the judged phases of every profile."""

    name: str
    description: str
    duration_s: float = Field(gt=0)
    """Unless the caller says otherwise."""
    phases: tuple[Phase, ...] = Field(min_length=1)
    recovery: Recovery | None = None
    flatness: Flatness | None = None
    climbs: bool = False
    """Each phase is a step up; the highest that keeps the SLO is the saturation rate."""

    def model_post_init(self, _context: object) -> None:
        """Refuse shares that do not fill the run, and rules about phases that are not there."""
        total = sum(phase.share for phase in self.phases)
        if abs(total - 1.0) > 1e-9:  # noqa: PLR2004 - floating point
            raise ValueError(f"phases of {self.name!r} fill {total:g} of the run, not all of it")
        names = [phase.name for phase in self.phases]
        if self.recovery and self.recovery.after not in names[:-1]:
            raise ValueError(f"{self.name!r} recovers after {self.recovery.after!r}, which nothing follows")
        factors = [phase.factor for phase in self.phases]
        if self.climbs and factors != sorted(set(factors)):
            raise ValueError(f"the steps of {self.name!r} do not rise: {factors}")


_STEPS = (1, 1.25, 1.6, 2, 2.5, 3.2, 4)

_ALL = (
    Profile(
        name="smoke",
        description="Is it alive and fast at the promised rate? Ten seconds.",
        duration_s=10,
        phases=(Phase(name="all", share=1, factor=1),),
    ),
    Profile(
        name="steady",
        description="The promised rate for a minute.",
        duration_s=60,
        phases=(Phase(name="all", share=1, factor=1),),
    ),
    Profile(
        name="spike",
        description="Half the rate, a burst of three times the rate, half the rate: back within 5 s?",
        duration_s=60,
        phases=(
            Phase(name="before", share=0.4, factor=0.5),
            Phase(name="burst", share=0.1, factor=3, judged=False),
            Phase(name="after", share=0.5, factor=0.5, judged=False),
        ),
        recovery=Recovery(after="burst", within_s=5),
    ),
    Profile(
        name="soak",
        description="Seven tenths of the rate for half an hour: do latency, errors or memory grow?",
        duration_s=1800,
        phases=(Phase(name="all", share=1, factor=0.7),),
        flatness=Flatness(),
    ),
    Profile(
        name="stress",
        description="The promised rate, then up in steps to four times it: which is the last that it keeps?",
        duration_s=140,
        phases=tuple(
            Phase(name=f"{factor:g}x", share=1 / len(_STEPS), factor=factor, judged=factor == 1)
            for factor in _STEPS
        ),
        climbs=True,
    ),
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in _ALL}


def profile_of(name: str) -> Profile:
    """The profile of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in PROFILES:
        raise ConfigError(
            f"no load profile named {name!r}",
            expected=f"one of {', '.join(PROFILES)}",
            remedy="shapes are data: add one in loadtests/profiles.py",
        )
    return PROFILES[name]
