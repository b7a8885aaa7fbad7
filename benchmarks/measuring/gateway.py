"""What the gateway adds: the same replica, asked through it, directly, and through a bare Envoy, in turns.

The bare one is the limit: what it adds, no configuration takes away.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from measuring.bare_envoy import bare_envoy
from measuring.calls import Call
from measuring.cores import pinned, python
from measuring.paced import Pace, paced
from measuring.servers import ROOT

RATE_RPS, CONNECTIONS = 500.0, 4
"""Little enough that nobody queues: what is asked for is the way, not the crowd."""
_SCRIPT = Path(__file__).with_name("gateway_server.py")
_STOP_LIMIT_S = 60


class Ports(NamedTuple):
    """Where the gateway, its only replica and a bare Envoy in front of that listen."""

    through: str
    direct: str
    bare: str


class Overhead(NamedTuple):
    """Medians over the rounds, milliseconds."""

    direct_p50_ms: float
    through_p50_ms: float
    added_p50_ms: float
    """Of each round's difference."""
    bare_added_ms: float
    """The same of a bare Envoy."""
    errors: int


@contextmanager
def gateway(folder: Path, bundle: tuple[Path, Path], call: Call, core: str | None) -> Iterator[Ports]:
    """A gateway, and a bare Envoy beside it, that end with the block."""
    script = [*python(), str(_SCRIPT), str(folder / "gateway"), *map(str, bundle)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*pinned(core), *script], cwd=ROOT, text=True, **pipes) as process:  # type: ignore[call-overload] - pipes by name
        try:
            said = process.stdout.readline().split()
            if len(said) != 2:
                raise SystemExit("the gateway did not come up; its complaint is above")
            through, direct = said
            with bare_envoy(folder, int(direct), call, core) as bare:
                yield Ports(through, direct, bare)
        finally:
            process.stdin.close()
            process.wait(_STOP_LIMIT_S)


def overhead(ports: Ports, call: Call, pace: Pace, rounds: int) -> Overhead:
    """Ask through the gateway, past it, and through a bare Envoy."""
    turns = [[paced(f"http://127.0.0.1:{port}", call, pace) for port in ports] for _ in range(rounds)]
    through, direct, _ = zip(*turns, strict=True)
    return Overhead(
        median(one.p50_ms for one in direct),
        median(one.p50_ms for one in through),
        median(one.p50_ms - other.p50_ms for one, other, _ in turns),
        median(one.p50_ms - other.p50_ms for _, other, one in turns),
        sum(one.errors for turn in turns for one in turn),
    )
