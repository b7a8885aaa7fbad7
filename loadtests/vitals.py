"""How the generator and the server's processes did during a run: CPU, wake-ups, memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from loadtests.outcomes import Floats
from modelway.contract import Frozen


class Memory(Frozen):
    """Resident memory of the server over the run."""

    at_s: tuple[float, ...] = ()
    mb: tuple[float, ...] = ()
    """Of all watched processes together, 10^6 bytes."""
    unread: int = 0
    """Looks at which it could not be read."""
    gone: tuple[int, ...] = ()
    """Watched processes that ended during the run."""

    @property
    def first_mb(self) -> float | None:
        """At the beginning."""
        return self.mb[0] if self.mb else None

    @property
    def last_mb(self) -> float | None:
        """At the end."""
        return self.mb[-1] if self.mb else None


@dataclass(slots=True)
class Vitals:
    """What was seen at each look, times in seconds after the start of the load."""

    at_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    """Of the generator, since it began."""
    wake_at_s: list[float] = field(default_factory=list)
    wake_late_ms: list[float] = field(default_factory=list)
    memory: Memory | None = None

    def cpu_share(self, start_s: float, end_s: float) -> float:
        """What the generator used of one core between two moments; 0 where nobody looked."""
        if not self.at_s or end_s <= start_s:
            return 0.0
        begin, end = np.interp([start_s, end_s], self.at_s, self.cpu_s)
        return float(end - begin) / (end_s - start_s)

    def lag_ms(self, start_s: float, end_s: float) -> Floats:
        """How late each wake-up between two moments came."""
        at, late = np.asarray(self.wake_at_s), np.asarray(self.wake_late_ms, dtype=np.float64)
        inside: Floats = late[(at >= start_s) & (at < end_s)] if at.size else late
        return inside


def memory_of(at_s: Sequence[float], mb: Sequence[float | None], gone: Sequence[int]) -> Memory:
    """Memory over a run from one reading per look; None where it could not be read."""
    known = [(at, value) for at, value in zip(at_s, mb, strict=True) if value is not None]
    return Memory(
        at_s=tuple(round(at, 3) for at, _ in known),
        mb=tuple(round(value, 3) for _, value in known),
        unread=len(mb) - len(known),
        gone=tuple(gone),
    )
