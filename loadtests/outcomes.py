"""What became of every request. Latency counts from when it was due, not from when it could be sent.

A server that stalls keeps the connections busy; requests due meanwhile wait their turn, and a clock
started at the sending would not see it ("coordinated omission"). So:

    due ── waited for a free connection ──> ready ── generator late ──> sent ── answer ──> ended
    └──────────────────────────────── corrected latency ───────────────────────────────────┘

Waiting for a connection is the server's doing: there are enough of them for answers within the SLO.
The generator's own lateness is recorded apart, so that a busy test machine is not taken for a slow server.
"""

from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NEVER_SENT = -1
"""Status of a request that was due while every connection hung until the end."""
NO_ANSWER = 0
"""Status of a request that was reset, refused or timed out."""
_OVERLOAD = (408, 429)
"""Client statuses that say the server could not keep up."""


@dataclass(frozen=True, slots=True)
class Requests:
    """One entry per request that was due, in order of being due; times in seconds after the start."""

    due_s: Floats
    ready_s: Floats
    sent_s: Floats
    ended_s: Floats
    status: npt.NDArray[np.int64]
    judged: Flags
    revision: tuple[str, ...]
    error: tuple[str, ...]
    arm: npt.NDArray[np.int8] | None = None
    """In a comparison, which of the two revisions was asked: 0 or 1."""

    def only(self, chosen: Flags) -> "Requests":
        """Those that are chosen, all of them judged: a part held against the SLO by itself."""
        return Requests(
            due_s=self.due_s[chosen],
            ready_s=self.ready_s[chosen],
            sent_s=self.sent_s[chosen],
            ended_s=self.ended_s[chosen],
            status=self.status[chosen],
            judged=np.ones(int(chosen.sum()), dtype=np.bool_),
            revision=tuple(compress(self.revision, chosen)),
            error=tuple(compress(self.error, chosen)),
            arm=None if self.arm is None else self.arm[chosen],
        )

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
    def by_server_ms(self) -> Floats:
        """Corrected, the generator's own lateness taken off."""
        return self.corrected_ms - self.generator_late_ms

    @property
    def sent(self) -> Flags:
        """It went out."""
        sent: Flags = self.status != NEVER_SENT
        return sent

    @property
    def ok(self) -> Flags:
        """Answered with success."""
        return (self.status >= 200) & (self.status < 300)  # noqa: PLR2004 - HTTP

    @property
    def failed(self) -> Flags:
        """The server's fault: 5xx, overload, reset, time-out, never sent."""
        unanswered, broken = self.status <= NO_ANSWER, self.status >= 500  # noqa: PLR2004 - HTTP
        failed: Flags = unanswered | broken | np.isin(self.status, _OVERLOAD)
        return failed

    @property
    def rejected(self) -> Flags:
        """Answered 4xx: our request was wrong."""
        return ~self.ok & ~self.failed

    def hung(self, limit_ms: float) -> Flags:
        """No answer came for longer than the limit, or not even a free connection."""
        silent = (self.status == NO_ANSWER) & (self.service_ms > limit_ms)
        hung: Flags = silent | ~self.sent
        return hung

    def timed(self, limit_ms: float) -> Flags:
        """It has a latency: it was answered, or hung. Failing fast is no speed."""
        return self.ok | self.hung(limit_ms)
