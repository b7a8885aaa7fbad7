"""What was measured, and whether it is enough."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from measuring.load import Round

_NONE = "-"


@dataclass
class Row:
    """One server under closed-loop load."""

    name: str
    speaks: str
    rounds: list[Round] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    """CPU time a request over all its processes, each round."""
    memory_mb: float = 0.0
    ready_s: float | None = None

    @property
    def rate_rps(self) -> float:
        """Requests a second: the median of the rounds."""
        return median(one.rate_rps for one in self.rounds)

    def cells(self) -> list[str]:
        """As the table shows it."""
        ready = _NONE if self.ready_s is None else f"{self.ready_s:.2f}"
        p50, p99 = (median(getattr(one, name) for one in self.rounds) for name in ("p50_ms", "p99_ms"))
        figures = [f"{self.rate_rps:.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{median(self.cpu_us):.1f}"]
        return [self.name, self.speaks, *figures, f"{self.memory_mb:.0f}", ready]


@dataclass(frozen=True)
class Bound:
    """One promise."""

    name: str
    found: float | None
    """None: there was nothing to measure."""
    required: float
    at_least: bool
    unit: str = "x"
    note: str = ""
    """Why there is nothing, or what else to know."""

    @property
    def held(self) -> bool | None:
        """None: not known. NaN holds nothing."""
        if self.found is None:
            return None
        return self.found >= self.required if self.at_least else self.found <= self.required

    def cells(self) -> list[str]:
        """As the table shows it."""
        sign = ">=" if self.at_least else "<="
        found = _NONE if self.found is None else f"{self.found:.3g} {self.unit}"
        verdict = {True: "held", False: "MISSED", None: "not known"}[self.held]
        return [self.name, found, f"{sign} {self.required:g} {self.unit}".rstrip(), verdict, self.note]


def ratio(ours: Row, peer: Row) -> float:
    """How many times as many requests ours answers: the median over rounds taken next to each other."""
    pairs = zip(ours.rounds, peer.rounds, strict=True)
    return median(one.rate_rps / other.rate_rps for one, other in pairs)


def cpu_ratio(ours: Row, peer: Row) -> str:
    """How many times as much CPU time a request costs at the peer's: steady where rates are not."""
    return f"CPU time {median(peer.cpu_us) / median(ours.cpu_us):.1f} x"


def print_rows(rows: Sequence[Row]) -> None:
    """The servers."""
    head = ["one row a request", "speaks", "req/s", "p50 ms", "p99 ms", "CPU us", "MiB", "ready s"]
    _print(head, [row.cells() for row in rows], numbers=range(2, 8))


def print_bounds(bounds: Sequence[Bound]) -> None:
    """The promises."""
    _print(["promise", "found", "required", "", ""], [bound.cells() for bound in bounds])


def exit_code(bounds: Sequence[Bound]) -> int:
    """1 when a promise is broken."""
    return int(any(bound.held is False for bound in bounds))


def machine() -> dict[str, Any]:
    """Where and when; the load average says how alone we were."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": model or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
    }


def write_json(path: Path, rows: Sequence[Row], bounds: Sequence[Bound], **more: Any) -> None:
    """Everything, for the documentation."""
    found = {
        "rows": [asdict(row) | {"rounds": [one._asdict() for one in row.rounds]} for row in rows],
        "bounds": [asdict(bound) | {"held": bound.held} for bound in bounds],
    }
    path.write_text(json.dumps(found | more, indent=2, default=lambda value: value.item()) + "\n")


def _print(head: list[str], lines: list[list[str]], *, numbers: Sequence[int] = ()) -> None:
    """Columns as wide as they need; numbers to the right."""
    widths = [max(len(line[at]) for line in [head, *lines]) for at in range(len(head))]
    for line in [head, *lines]:
        cells = zip(line, widths, strict=True)
        text = (c.rjust(w) if at in numbers else c.ljust(w) for at, (c, w) in enumerate(cells))
        print("  ".join(text).rstrip())
    print()
