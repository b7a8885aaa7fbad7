"""What a run measured. Latency counts from when a request was due, not from when it could be sent.

A server that stalls keeps the connections busy; requests due meanwhile wait their turn, and a clock
started at the sending would not see it ("coordinated omission"). So:

    due ── waited for a free connection ──> ready ── generator late ──> sent ── answer ──> ended
    └──────────────────────────────── corrected latency ───────────────────────────────────┘

Waiting for a connection is the server's doing: there are enough of them for answers within the SLO.
The generator's own lateness is recorded apart, so that a busy test machine is not taken for a slow server.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modelway.contract import Frozen, Slo
from modelway.stats.percentile import percentile

Floats = npt.NDArray[np.float64]

NEVER_SENT = -1
"""Status of a request that was due while every connection hung until the end."""
NO_ANSWER = 0
"""Status of a request that was reset, refused or timed out."""
_OVERLOAD = (408, 429)
"""Client statuses that say the server could not keep up."""
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9, 100.0)


@dataclass(frozen=True, slots=True)
class Requests:
    """One entry per request that was due, in order of being due; times in seconds after the start."""

    due_s: Floats
    ready_s: Floats
    sent_s: Floats
    ended_s: Floats
    status: npt.NDArray[np.int64]
    judged: npt.NDArray[np.bool_]
    revision: tuple[str, ...]
    error: tuple[str, ...]

    @property
    def corrected_ms(self) -> Floats:
        """From due to ended."""
        return (self.ended_s - self.due_s) * 1000.0

    @property
    def service_ms(self) -> Floats:
        """From sent to ended: what a generator that waits for answers would report."""
        return (self.ended_s - self.sent_s) * 1000.0

    @property
    def generator_late_ms(self) -> Floats:
        """From ready to sent: our own doing."""
        return (self.sent_s - self.ready_s) * 1000.0

    @property
    def ok(self) -> npt.NDArray[np.bool_]:
        """Answered with success."""
        return (self.status >= 200) & (self.status < 300)  # noqa: PLR2004 - HTTP

    @property
    def failed(self) -> npt.NDArray[np.bool_]:
        """The server's fault: 5xx, overload, reset, time-out, never sent."""
        unanswered, broken = self.status <= NO_ANSWER, self.status >= 500  # noqa: PLR2004 - HTTP
        failed: npt.NDArray[np.bool_] = unanswered | broken | np.isin(self.status, _OVERLOAD)
        return failed

    def hung(self, limit_ms: float) -> npt.NDArray[np.bool_]:
        """No answer came for longer than the limit, or not even a free connection."""
        silent = (self.status == NO_ANSWER) & (self.service_ms > limit_ms)
        hung: npt.NDArray[np.bool_] = silent | (self.status == NEVER_SENT)
        return hung


class LatencySummary(Frozen):
    """Percentiles in milliseconds, each an observed value; None without a sample."""

    samples: int
    at: Mapping[str, float]
    """By percentile: `50`, `90`, …, `100` is the maximum."""

    @classmethod
    def of(cls, values_ms: Floats) -> "LatencySummary":
        """Of a sample, perhaps an empty one."""
        at = {f"{p:g}": percentile(values_ms, p) for p in PERCENTILES} if values_ms.size else {}
        return cls(samples=values_ms.size, at=at)


class RevisionResults(Frozen):
    """What one revision answered, by the `x-revision` header."""

    revision: str
    requests: int
    failed: int
    latency_ms: LatencySummary


class LoadResults(Frozen):
    """The numbers a verdict rests on."""

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
    first_error: str
    judged: int
    """Of the phases that the SLO is held against …"""
    judged_failed: int
    judged_never_sent: int
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
    """From sending, for comparison: what coordinated omission would have shown."""
    generator_late_ms: LatencySummary
    generator_cpu_share: float
    """Of one core, over the run."""
    revisions: tuple[RevisionResults, ...]

    @property
    def offered_rps(self) -> float:
        """Requests that were really sent, per second of the run."""
        return (self.planned - self.never_sent) / self.duration_s if self.duration_s else 0.0

    @property
    def planned_rps(self) -> float:
        """Requests that were due, per second of the run."""
        return self.planned / self.duration_s if self.duration_s else 0.0


def summarise(
    requests: Requests, slo: Slo, *, asked_rps: float, duration_s: float, cpu_share: float
) -> LoadResults:
    """Count and rank one run.

    A request that hung without an answer counts with the time it hung. One that was answered with a
    failure has no latency: failing fast is no speed, and failing is counted by itself.
    """
    corrected, judged = requests.corrected_ms, requests.judged
    timed = judged & (requests.ok | requests.hung(slo.latency_limit_ms))
    by_server = corrected - requests.generator_late_ms
    sent = requests.status != NEVER_SENT
    rejected = ~requests.ok & ~requests.failed
    return LoadResults(
        asked_rps=asked_rps,
        planned=requests.status.size,
        duration_s=duration_s,
        ok=int(requests.ok.sum()),
        failed=int(requests.failed.sum()),
        rejected=int(rejected.sum()),
        never_sent=int((~sent).sum()),
        first_error=next((text for text in requests.error if text), ""),
        judged=int(judged.sum()),
        judged_failed=int((judged & requests.failed).sum()),
        judged_never_sent=int((judged & ~sent).sum()),
        judged_rejected=int((judged & rejected).sum()),
        timed=int(timed.sum()),
        slow=int((corrected[timed] > slo.latency_limit_ms).sum()),
        slow_by_server=int((by_server[timed] > slo.latency_limit_ms).sum()),
        latency_ms=LatencySummary.of(corrected[timed]),
        service_ms=LatencySummary.of(requests.service_ms[timed & sent]),
        generator_late_ms=LatencySummary.of(requests.generator_late_ms[sent]),
        generator_cpu_share=cpu_share,
        revisions=tuple(_by_revision(requests)),
    )


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
