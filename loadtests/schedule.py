"""When each request is due. Fixed before the first one is sent: the load does not wait for answers."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loadtests.options import LoadOptions
from loadtests.profiles import Phase, profile_of


class Schedule(NamedTuple):
    """Arrivals, oldest first."""

    due_s: npt.NDArray[np.float64]
    """Seconds after the start."""
    judged: npt.NDArray[np.bool_]
    """Whether the SLO is held against the arrival."""
    duration_s: float


def make_schedule(options: LoadOptions, bodies: int) -> Schedule:
    """Lay out every arrival of a run.

    The number of arrivals is exact, rate times duration; Poisson arrivals lie uniformly in their
    phase, which is what a Poisson process looks like once its count is known.

    Args:
        options: Rate, profile, duration, arrivals, seed.
        bodies: How many different requests there are; with `once`, so many arrivals.
    """
    draw = np.random.default_rng(options.seed)
    if options.once:
        duration_s = bodies / options.rate
        due = _spread(bodies, duration_s, options, draw)
        return Schedule(due, np.ones(bodies, dtype=np.bool_), duration_s)
    profile = profile_of(options.profile)
    duration_s = options.duration_s or profile.duration_s
    due_s, judged, start_s = [], [], 0.0
    for phase in profile.phases:
        length_s = phase.share * duration_s
        count = _count(phase, length_s, options.rate)
        due_s.append(start_s + _spread(count, length_s, options, draw))
        judged.append(np.full(count, phase.judged))
        start_s += length_s
    return Schedule(np.concatenate(due_s), np.concatenate(judged), duration_s)


def _count(phase: Phase, length_s: float, rate_rps: float) -> int:
    return max(1, round(rate_rps * phase.factor * length_s))


def _spread(
    count: int, length_s: float, options: LoadOptions, draw: np.random.Generator
) -> npt.NDArray[np.float64]:
    if options.arrivals == "even":
        return np.arange(count, dtype=np.float64) * (length_s / count)
    due: npt.NDArray[np.float64] = np.sort(draw.uniform(0.0, length_s, count))
    return due
