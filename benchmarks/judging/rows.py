"""What is rolled out in each row of the judge's table, and what should become of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from modelway.contract import Slo
from serving.rollout.plan import Plan
from serving.rollout.target import Revision

SLO = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.001, rate_rps=200)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """How a revision behaves: probability of a bad answer."""

    errors: float = 0.0
    slow: float = 0.0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    stable: Arm
    canary: Arm
    should: str
    """`promote`, `roll back`, or `hold`: never promote, and blame nobody."""
    bound: float | None = None
    """Largest share that may go the other way; None is shown and not bound."""
    bad_day_s: tuple[int, int] | None = None
    """From and until: both arms are slow in one request of ten."""
    dark_from_s: int | None = None
    """From then on the canary's counts cannot be read."""
    looks_per_s: int = 1
    weights: tuple[int, ...] = (5, 25, 50, 100)


GOOD = Arm(errors=0.0001, slow=0.002)
A_A = {"should": "promote", "bound": 0.01}
BAD = {"should": "roll back", "bound": 0.05}
ROWS = (
    Row("A/A, no bad answer at all", Arm(), Arm(), **A_A),
    Row("A/A, errors 0.01 %, slow 0.2 %", GOOD, GOOD, **A_A),
    Row("A/A, errors 0.02 %, slow 0.5 %", Arm(0.0002, 0.005), Arm(0.0002, 0.005), **A_A),
    Row("A/A, ten looks a second", GOOD, GOOD, looks_per_s=10, **A_A),
    Row("A/A, weights 1, 10, 100", GOOD, GOOD, weights=(1, 10, 100), **A_A),
    Row("A/A, a bad day of both arms", GOOD, GOOD, "promote", 0.01, bad_day_s=(20, 50)),
    Row("better canary: slow 0.2 % -> 0.05 %", GOOD, Arm(0.0001, 0.0005), **A_A),
    Row("A/A, half of the SLO's errors", Arm(0.0005, 0.002), Arm(0.0005, 0.002), "promote"),
    Row("counts missing from the start", GOOD, GOOD, "hold", 0.0, dark_from_s=0),
    Row("counts missing from 30 s on", GOOD, GOOD, "hold", 0.0, dark_from_s=30),
    Row("errors 0.2 % (2 x SLO)", GOOD, Arm(0.002, 0.002), **BAD),
    Row("errors 1 % (10 x SLO)", GOOD, Arm(0.01, 0.002), **BAD),
    Row("errors 10 %", GOOD, Arm(0.1, 0.002), **BAD),
    Row("slow 2 % (2 x SLO)", GOOD, Arm(0.0001, 0.02), **BAD),
    Row("slow 10 %", GOOD, Arm(0.0001, 0.1), **BAD),
    Row("slow 10 %, ten looks a second", GOOD, Arm(0.0001, 0.1), looks_per_s=10, **BAD),
    Row("slow 60 %", GOOD, Arm(0.0001, 0.6), **BAD),
)


def plan_of(row: Row) -> Plan:
    """The plan that a row rolls out."""
    stable, canary = (
        Revision(id=name, bundle=Path(name), digest=name, verify_key=Path("key"))
        for name in ("stable", "canary")
    )
    return Plan(id="bench", service="bench", stable=stable, canary=canary, slo=SLO, weights=row.weights)
