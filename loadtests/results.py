"""What a run measured, in numbers that a verdict can rest on."""

from collections.abc import Iterator, Mapping

import numpy as np

from loadtests.comparison import Comparison
from loadtests.outcomes import Floats, Requests
from loadtests.rules import Recovered, Trends
from loadtests.vitals import Memory
from modelway.contract import Frozen, Slo
from modelway.stats.order_statistics import percentile_interval
from modelway.stats.percentile import percentile

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9, 100.0)
SENT_LATE_S = 0.25
"""A request that goes out later than this after its phase was not offered in it."""


class LatencySummary(Frozen):
    """Percentiles in milliseconds, each an observed value; none without a sample."""

    samples: int
    at: Mapping[str, float]
    """By percentile: `50`, `90`, …, `100` is the maximum."""
    between: Mapping[str, tuple[float | None, float | None]] = {}
    """By percentile but the maximum: its 95% interval; None where the sample is too small to bound it."""

    @classmethod
    def of(cls, values_ms: Floats) -> "LatencySummary":
        """Of a sample, perhaps an empty one."""
        if not values_ms.size:
            return NO_LATENCY
        intervals = {f"{p:g}": percentile_interval(values_ms, p) for p in PERCENTILES[:-1]}
        return cls(
            samples=values_ms.size,
            at={f"{p:g}": percentile(values_ms, p) for p in PERCENTILES},
            between={p: (found.low, found.high) for p, found in intervals.items()},
        )


NO_LATENCY = LatencySummary(samples=0, at={})


class RevisionResults(Frozen):
    """What one revision answered, by the `x-revision` header."""

    revision: str
    requests: int
    failed: int
    latency_ms: LatencySummary


class LoadResults(Frozen):
    """The numbers a verdict rests on, of a whole run or of one of its phases."""

    asked_rps: float
    """What the options asked for, before the profile's factors."""
    planned: int
    """Requests due until the end."""
    duration_s: float
    """From the start to the end of the schedule, or to the stop."""
    ok: int
    failed: int
    rejected: int
    """Answered 4xx: our request was wrong, which says nothing about the server."""
    never_sent: int
    sent_late: int = 0
    """Sent after their time was over: not part of the load that was offered."""
    first_error: str
    judged: int
    """Of the phases that the SLO is held against …"""
    judged_failed: int
    judged_never_sent: int
    judged_sent_late: int = 0
    judged_rejected: int
    timed: int
    """… requests that have a latency: answered with success, or hung for longer than the limit."""
    slow: int
    """Timed requests over the limit, by corrected latency."""
    slow_by_server: int
    """The same, the generator's own lateness taken off."""
    latency_ms: LatencySummary
    """Corrected, of the timed requests."""
    service_ms: LatencySummary
    """Of the same requests, from when each was sent: what a closed loop would report."""
    generator_late_ms: LatencySummary
    generator_cpu_share: float
    """Of one core, over the run."""
    generator_lag_ms: LatencySummary = NO_LATENCY
    """How late the generator woke up, asked fifty times a second: it reads answers as late as that."""
    generator_limit_rps: float | None = None
    """Requests per second at which the generator's core would be full, by the CPU time it took for these."""
    revisions: tuple[RevisionResults, ...]
    phases: tuple["PhaseResults", ...] = ()
    recovery: Recovered | None = None
    trends: Trends | None = None
    memory: Memory | None = None
    """None: nobody asked for the server's memory."""
    comparison: Comparison | None = None

    @property
    def offered_rps(self) -> float:
        """Requests that were sent while they were wanted, per second of the run."""
        sent = self.planned - self.never_sent - self.sent_late
        return sent / self.duration_s if self.duration_s else 0.0

    @property
    def planned_rps(self) -> float:
        """Requests that were due, per second of the run."""
        return self.planned / self.duration_s if self.duration_s else 0.0

    @property
    def judged_offered_share(self) -> float:
        """Of the judged requests, those that were sent while they were wanted."""
        missing = self.judged_never_sent + self.judged_sent_late
        return 1.0 - missing / self.judged if self.judged else 0.0


class PhaseResults(Frozen):
    """One phase, held against the SLO as if it were a run."""

    name: str
    start_s: float
    rate_rps: float
    judged: bool
    """Whether its outcome counts; the numbers are there in any case."""
    results: LoadResults


def summarise(  # noqa: PLR0913 - a run is requests and five facts about it
    requests: Requests,
    slo: Slo,
    *,
    asked_rps: float,
    duration_s: float,
    cpu_share: float,
    end_s: float | None = None,
) -> LoadResults:
    """Count and rank one run, or one phase of it.

    A request that hung without an answer counts with the time it hung. One that was answered with a
    failure has no latency: failing fast is no speed, and failing is counted by itself.

    Args:
        requests: All of them.
        slo: The limit that makes a request slow.
        asked_rps: The rate the options asked for.
        duration_s: How long load was offered.
        cpu_share: What the generator used of one core meanwhile.
        end_s: When load was offered no more; `duration_s` for a whole run.
    """
    judged, sent, limit_ms = requests.judged, requests.sent, slo.latency_limit_ms
    timed = judged & requests.timed(limit_ms)
    late = sent & (requests.sent_s > (duration_s if end_s is None else end_s) + SENT_LATE_S)
    return LoadResults(
        asked_rps=asked_rps,
        planned=requests.status.size,
        duration_s=duration_s,
        ok=int(requests.ok.sum()),
        failed=int(requests.failed.sum()),
        rejected=int(requests.rejected.sum()),
        never_sent=int((~sent).sum()),
        sent_late=int(late.sum()),
        first_error=next((text for text in requests.error if text), ""),
        judged=int(judged.sum()),
        judged_failed=int((judged & requests.failed).sum()),
        judged_never_sent=int((judged & ~sent).sum()),
        judged_sent_late=int((judged & late).sum()),
        judged_rejected=int((judged & requests.rejected).sum()),
        timed=int(timed.sum()),
        slow=int((requests.corrected_ms[timed] > limit_ms).sum()),
        slow_by_server=int((requests.by_server_ms[timed] > limit_ms).sum()),
        latency_ms=LatencySummary.of(requests.corrected_ms[timed]),
        service_ms=LatencySummary.of(requests.service_ms[timed & sent]),
        generator_late_ms=LatencySummary.of(requests.generator_late_ms[sent]),
        generator_cpu_share=cpu_share,
        generator_limit_rps=rate_of_a_core(int((sent & ~late).sum()), cpu_share * duration_s),
        revisions=tuple(_by_revision(requests)),
    )


def rate_of_a_core(sent: int, cpu_s: float) -> float | None:
    """Requests per second at which one core is full, if each takes the CPU time that these took."""
    return sent / cpu_s if sent and cpu_s > 0 else None


def _by_revision(requests: Requests) -> Iterator[RevisionResults]:
    names = np.array(requests.revision)
    for name in sorted(set(requests.revision) - {""}):
        mine = names == name
        yield RevisionResults(
            revision=name,
            requests=int(mine.sum()),
            failed=int((mine & requests.failed).sum()),
            latency_ms=LatencySummary.of(requests.corrected_ms[mine & requests.ok]),
        )
