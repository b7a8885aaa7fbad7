"""The shapes of load, as data: how the offered rate moves over the run."""

from collections.abc import Mapping

from pydantic import Field

from modelway.contract import Frozen
from modelway.errors import ConfigError


class Phase(Frozen):
    """A part of the run at one rate."""

    share: float = Field(gt=0, le=1)
    """Of the run's duration."""
    factor: float = Field(gt=0)
    """Of the run's rate."""
    judged: bool = True
    """Whether the SLO is held against this phase; overload on purpose is shown, not judged."""


class Profile(Frozen):
    """A named shape."""

    name: str
    description: str
    duration_s: float = Field(gt=0)
    """Unless the caller says otherwise."""
    phases: tuple[Phase, ...] = Field(min_length=1)

    def model_post_init(self, _context: object) -> None:
        """Refuse shares that do not fill the run."""
        total = sum(phase.share for phase in self.phases)
        if abs(total - 1.0) > 1e-9:  # noqa: PLR2004 - floating point
            raise ValueError(f"phases of {self.name!r} fill {total:g} of the run, not all of it")


_ALL = (
    Profile(
        name="smoke",
        description="Is it alive and fast at the promised rate? Ten seconds.",
        duration_s=10,
        phases=(Phase(share=1, factor=1),),
    ),
    Profile(
        name="steady",
        description="The promised rate for a minute.",
        duration_s=60,
        phases=(Phase(share=1, factor=1),),
    ),
    Profile(
        name="spike",
        description="Half the rate, a burst of three times the rate, half the rate: does it recover?",
        duration_s=60,
        phases=(
            Phase(share=0.4, factor=0.5),
            Phase(share=0.1, factor=3, judged=False),
            Phase(share=0.1, factor=0.5, judged=False),
            Phase(share=0.4, factor=0.5),
        ),
    ),
    Profile(
        name="soak",
        description="Seven tenths of the rate for half an hour: does anything grow?",
        duration_s=1800,
        phases=(Phase(share=1, factor=0.7),),
    ),
    Profile(
        name="stress",
        description="The promised rate, then up in steps to four times it: where does it bend?",
        duration_s=120,
        phases=(
            Phase(share=0.25, factor=1),
            Phase(share=0.25, factor=2, judged=False),
            Phase(share=0.25, factor=3, judged=False),
            Phase(share=0.25, factor=4, judged=False),
        ),
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
