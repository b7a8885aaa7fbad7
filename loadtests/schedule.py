"""When each request is due. Fixed before the first one is sent: the load does not wait for answers."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loadtests.comparison import coin_order
from loadtests.options import LoadOptions
from loadtests.profiles import Phase, profile_of


class Span(NamedTuple):
    """When a phase begins and ends, and what it offers."""

    name: str
    start_s: float
    end_s: float
    rate_rps: float
    judged: bool


class Schedule(NamedTuple):
    """Arrivals, oldest first."""

    due_s: npt.NDArray[np.float64]
    """Seconds after the start."""
    judged: npt.NDArray[np.bool_]
    """Whether the SLO is held against the arrival."""
    duration_s: float
    spans: tuple[Span, ...] = ()
    arm: npt.NDArray[np.int8] | None = None
    """In a comparison, which revision each arrival asks."""

    @property
    def bodies_apart(self) -> int:
        """How many arrivals in a row carry the same body: both of a compared pair."""
        return 1 if self.arm is None else 2


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
        span = Span("once", 0.0, duration_s, options.rate, judged=True)
        return Schedule(due, np.ones(bodies, dtype=np.bool_), duration_s, (span,))
    profile = profile_of(options.profile)
    duration_s = options.duration_s or profile.duration_s
    due_s, judged, spans = [], [], tuple(_spans(profile.phases, duration_s, options.rate))
    for span in spans:
        count = max(1, round(span.rate_rps * (span.end_s - span.start_s)))
        due_s.append(span.start_s + _spread(count, span.end_s - span.start_s, options, draw))
        judged.append(np.full(count, span.judged))
    due = np.concatenate(due_s)
    arm = coin_order(due.size, options.seed) if options.revisions else None
    return Schedule(due, np.concatenate(judged), duration_s, spans, arm)


def _spans(phases: Sequence[Phase], duration_s: float, rate_rps: float) -> Iterator[Span]:
    start_s = 0.0
    for phase in phases:
        end_s = start_s + phase.share * duration_s
        yield Span(phase.name, start_s, end_s, rate_rps * phase.factor, phase.judged)
        start_s = end_s


def _spread(
    count: int, length_s: float, options: LoadOptions, draw: np.random.Generator
) -> npt.NDArray[np.float64]:
    if options.arrivals == "even":
        return np.arange(count, dtype=np.float64) * (length_s / count)
    due: npt.NDArray[np.float64] = np.sort(draw.uniform(0.0, length_s, count))
    return due
