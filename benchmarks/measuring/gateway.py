"""What the gateway adds: the same replica, asked through Envoy and directly, in turns."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from measuring.calls import Call
from measuring.cores import pinned, python
from measuring.paced import Pace, paced
from measuring.servers import ROOT

RATE_RPS, CONNECTIONS = 500.0, 4
"""Little enough that nobody queues: what is asked for is the way, not the crowd."""
_SCRIPT = Path(__file__).with_name("gateway_server.py")
_STOP_LIMIT_S = 60


class Ports(NamedTuple):
    """Where the gateway and its only replica listen."""

    through: str
    direct: str


class Overhead(NamedTuple):
    """Medians over the rounds, milliseconds."""

    direct_p50_ms: float
    through_p50_ms: float
    added_p50_ms: float
    """Of each round's difference."""
    errors: int


@contextmanager
def gateway(folder: Path, bundle: tuple[Path, Path], core: str | None) -> Iterator[Ports]:
    """A gateway that ends with the block."""
    script = [*python(), str(_SCRIPT), str(folder / "gateway"), *map(str, bundle)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*pinned(core), *script], cwd=ROOT, text=True, **pipes) as process:  # type: ignore[call-overload] - pipes by name
        try:
            said = process.stdout.readline().split()
            if len(said) != len(Ports._fields):
                raise SystemExit("the gateway did not come up; its complaint is above")
            yield Ports(*said)
        finally:
            process.stdin.close()
            process.wait(_STOP_LIMIT_S)


def overhead(ports: Ports, call: Call, pace: Pace, rounds: int) -> Overhead:
    """Ask through the gateway and past it."""
    turns = [[paced(f"http://127.0.0.1:{port}", call, pace) for port in ports] for _ in range(rounds)]
    through, direct = zip(*turns, strict=True)
    return Overhead(
        median(one.p50_ms for one in direct),
        median(one.p50_ms for one in through),
        median(one.p50_ms - other.p50_ms for one, other in turns),
        sum(one.errors for turn in turns for one in turn),
    )
