"""Hand out the scheduled requests to whoever is free, and keep what became of each."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from loadtests.outcomes import NEVER_SENT, Requests
from loadtests.schedule import Schedule, Span


class Due(NamedTuple):
    """One request to send."""

    number: int
    body: bytes
    due: float
    """Clock time at which it is due, seconds."""
    ready: float
    """Clock time from which on both it and a connection were there."""
    arm: int | None = None
    """In a comparison, which revision it asks."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    revision: str
    error: str


class Offer:
    """One run's schedule and its outcome. Not thread-safe: greenlets do not pre-empt each other."""

    def __init__(
        self, schedule: Schedule, bodies: Sequence[bytes], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Nothing is due until `start`."""
        self._schedule, self._bodies, self.clock = schedule, bodies, clock
        self._due = schedule.due_s.tolist()
        self.connected = 0
        """Users whose connection is open."""
        self._next = 0
        self._end = len(self._due)
        self._start: float | None = None
        self._stopped: float | None = None
        shape = (len(self._due),)
        self._ready, self._sent, self._ended = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._status = np.full(shape, NEVER_SENT, dtype=np.int64)
        self._revision, self._error = [""] * self._end, [""] * self._end
        self._cpu_s = 0.0

    @property
    def started(self) -> bool:
        """Whether requests are due."""
        return self._start is not None

    @property
    def exhausted(self) -> bool:
        """Whether every request has been handed out."""
        return self._next >= self._end

    @property
    def overdue_s(self) -> float:
        """Seconds since the last request was due; negative before."""
        if self._start is None:
            return -self._schedule.duration_s
        return self.clock() - self._start - self._duration_s

    @property
    def _duration_s(self) -> float:
        return self._schedule.duration_s if self._stopped is None else self._stopped

    def start(self) -> None:
        """Start the clock."""
        self._cpu_s = time.process_time()
        self._start = self.clock()

    def stop(self) -> None:
        """Hand out nothing that is not due yet; before the start, nothing at all."""
        if self._stopped is not None:
            return
        elapsed_s = 0.0 if self._start is None else self.clock() - self._start
        self._stopped = min(elapsed_s, self._schedule.duration_s)
        self._end = max(self._next, int(np.searchsorted(self._schedule.due_s, self._stopped)))

    def take(self) -> Due | None:
        """The next request, perhaps due later; None when there is none left."""
        if self._start is None or self.exhausted:
            return None
        index = self._next
        self._next += 1
        due = self._start + self._due[index]
        body = self._bodies[(index // self._schedule.bodies_apart) % len(self._bodies)]
        arm = None if self._schedule.arm is None else int(self._schedule.arm[index])
        return Due(index, body, due, max(due, self.clock()), arm)

    def withdrawn(self, request: Due) -> bool:
        """Whether the run was stopped before the request was due."""
        return self._stopped is not None and self._due[request.number] >= self._stopped

    def record(self, request: Due, sent: float, ended: float, answer: Answer) -> None:
        """Keep what became of a request."""
        start, index = self._start or 0.0, request.number
        self._ready[index], self._sent[index] = request.ready - start, sent - start
        self._ended[index] = ended - start
        self._status[index] = answer.status
        self._revision[index], self._error[index] = answer.revision, answer.error

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start; 0 before."""
        return 0.0 if self._start is None else self.clock() - self._start

    @property
    def spans(self) -> tuple[Span, ...]:
        """The phases that began before the end, the last one cut off there."""
        begun = (span for span in self._schedule.spans if span.start_s < self._duration_s)
        return tuple(span._replace(end_s=min(span.end_s, self._duration_s)) for span in begun)

    def outcome(self) -> tuple[Requests, float, float]:
        """Every request that was due, the run's duration in seconds, and the CPU share of one core."""
        now = self.clock() - (self._start or self.clock())
        due = self._schedule.due_s
        count = int(np.searchsorted(due, self._duration_s))
        never = self._status[:count] == NEVER_SENT
        for times in (self._ready, self._sent, self._ended):
            times[:count][never] = max(now, self._duration_s)
        requests = Requests(
            due_s=due[:count],
            ready_s=self._ready[:count],
            sent_s=self._sent[:count],
            ended_s=self._ended[:count],
            status=self._status[:count],
            judged=self._schedule.judged[:count],
            revision=tuple(self._revision[:count]),
            error=tuple(
                error or ("never sent: every connection hung" if lost else "")
                for error, lost in zip(self._error[:count], never, strict=True)
            ),
            arm=None if self._schedule.arm is None else self._schedule.arm[:count],
        )
        cpu_share = (time.process_time() - self._cpu_s) / now if now > 0 else 0.0
        return requests, self._duration_s, cpu_share
