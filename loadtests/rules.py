"""What the profiles ask beyond the SLO: does it recover, does anything grow? Numbers in, numbers out."""

import math

import numpy as np

from loadtests.outcomes import Flags, Floats, Requests
from loadtests.vitals import Memory
from modelway.contract import Frozen, Slo
from modelway.stats.trend import Growth, growth_of, later_is_worse

BLOCKS = 20
"""Parts of a run whose medians make a trend."""
FEWEST_PER_BLOCK = 10


class Recovered(Frozen):
    """How long after a burst the promise held again."""

    after: str
    """Name of the burst's phase."""
    ended_s: float
    """When the burst was over."""
    took_s: float | None
    """Until the first moment from which on all later requests together keep the SLO; None: never."""
    took_by_server_s: float | None
    """The same, the generator's own lateness taken off."""
    samples: int
    """Requests after that moment."""


class Trends(Frozen):
    """What grew over the run, its beginning left out."""

    latency_ms: Growth
    """Of the median, block by block; the generator's own lateness taken off."""
    errors_first: tuple[int, int]
    """Failed requests and all of them, first half."""
    errors_second: tuple[int, int]
    errors_p: float
    """Chance of so many errors in the second half, if nothing changed."""
    memory_mb: Growth


def allowed_slow(samples: int, slo: Slo) -> int:
    """How many of `samples` may exceed the limit while the percentile still keeps it."""
    return samples - math.ceil(round(slo.latency_percentile * samples / 100.0, 9))


def recovered(requests: Requests, slo: Slo, after: str, ended_s: float) -> Recovered:
    """When the promise held again after a burst that ended at `ended_s`."""
    later = requests.only(requests.due_s >= ended_s)
    index = _kept_from(later, later.corrected_ms, slo)
    by_server = _kept_from(later, later.by_server_ms, slo)
    return Recovered(
        after=after,
        ended_s=ended_s,
        took_s=_took(later, index, ended_s),
        took_by_server_s=_took(later, by_server, ended_s),
        samples=0 if by_server is None else later.due_s.size - by_server,
    )


def _kept_from(requests: Requests, latency_ms: Floats, slo: Slo) -> int | None:
    """Index of the first request from which on the rest keeps both promises."""
    slow = requests.timed(slo.latency_limit_ms) & (latency_ms > slo.latency_limit_ms)
    rest = np.arange(requests.due_s.size, 0, -1)
    slow_rest, failed_rest = _from_the_end(slow), _from_the_end(requests.failed)
    kept = (slow_rest <= rest * slo.max_exceedance) & (failed_rest <= rest * slo.max_error_rate)
    found = np.flatnonzero(kept)
    return int(found[0]) if found.size else None


def _from_the_end(flags: Flags) -> Floats:
    sums: Floats = np.cumsum(flags[::-1])[::-1].astype(np.float64)
    return sums


def _took(requests: Requests, index: int | None, ended_s: float) -> float | None:
    """From the burst's end to just before that request; 0 when nothing was ever wrong."""
    if index is None:
        return None
    return float(requests.due_s[index - 1]) - ended_s if index else 0.0


def trends(requests: Requests, memory: Memory | None, *, start_s: float, end_s: float) -> Trends:
    """What grew from `start_s` to `end_s`."""
    seen = requests.only((requests.due_s >= start_s) & ~requests.rejected)
    middle = (start_s + end_s) / 2.0
    first, second = (_errors(seen, late) for late in (seen.due_s < middle, seen.due_s >= middle))
    return Trends(
        latency_ms=growth_of(_block_medians(seen.due_s[seen.ok], seen.by_server_ms[seen.ok], start_s, end_s)),
        errors_first=first,
        errors_second=second,
        errors_p=later_is_worse(first, second),
        memory_mb=_memory_growth(memory, start_s, end_s),
    )


def _errors(requests: Requests, chosen: Flags) -> tuple[int, int]:
    return int((requests.failed & chosen).sum()), int(chosen.sum())


def _memory_growth(memory: Memory | None, start_s: float, end_s: float) -> Growth:
    if memory is None:
        return Growth(points=0)
    at, mb = np.asarray(memory.at_s, dtype=np.float64), np.asarray(memory.mb, dtype=np.float64)
    return growth_of(_block_medians(at, mb, start_s, end_s, fewest=1))


def _block_medians(
    at_s: Floats, values: Floats, start_s: float, end_s: float, fewest: int = FEWEST_PER_BLOCK
) -> Floats:
    """The median of each part of the time; parts with too few values are left out."""
    edges = np.linspace(start_s, end_s, BLOCKS + 1)
    block = np.searchsorted(edges, at_s, side="right") - 1
    parts = (values[block == k] for k in range(BLOCKS))
    return np.array([float(np.median(part)) for part in parts if part.size >= fewest])
