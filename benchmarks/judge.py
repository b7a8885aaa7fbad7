"""How often the rollout judge errs, and how soon it acts, on generated traces.

    python benchmarks/judge.py [--rollouts 2000] [--rate-rps 200] [--seed 1] [--only A/A]

Each row is so many whole rollouts (5 → 25 → 50 → 100 %) through the real driver: every second brings
a Poisson number of requests, split by weight, each bad with its arm's probability. An A/A row has twice
the same revision: whatever is rolled back there is a false alarm. The last column says how long a bad
canary answered before the driver took its traffic away.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.remove(str(Path(__file__).parent))  # benchmarks/serving.py would hide the package of that name

from modelway.contract import Slo
from serving.rollout.driver import advance, begin
from serving.rollout.plan import Plan
from serving.rollout.state import Facts, Phase, RolloutState
from serving.rollout.target import Observations, Readiness, Revision, Routing

SLO = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.001, rate_rps=200)
START = datetime(2026, 1, 1, tzinfo=UTC)


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
    good: bool


GOOD = Arm(errors=0.0001, slow=0.002)
ROWS = (
    Row("A/A, no bad answer at all", Arm(), Arm(), good=True),
    Row("A/A, errors 0.01 %, slow 0.2 %", GOOD, GOOD, good=True),
    Row("A/A, errors 0.02 %, slow 0.5 %", Arm(0.0002, 0.005), Arm(0.0002, 0.005), good=True),
    Row("A/A, errors 0.05 % (half of the SLO)", Arm(0.0005, 0.002), Arm(0.0005, 0.002), good=True),
    Row("better canary: slow 0.2 % -> 0.05 %", GOOD, Arm(0.0001, 0.0005), good=True),
    Row("errors 0.2 % (2 x SLO)", GOOD, Arm(0.002, 0.002), good=False),
    Row("errors 1 % (10 x SLO)", GOOD, Arm(0.01, 0.002), good=False),
    Row("errors 10 %", GOOD, Arm(0.1, 0.002), good=False),
    Row("slow 2 % (2 x SLO)", GOOD, Arm(0.0001, 0.02), good=False),
    Row("slow 10 %", GOOD, Arm(0.0001, 0.1), good=False),
    Row("slow 60 %", GOOD, Arm(0.0001, 0.6), good=False),
)


@dataclass(frozen=True)
class Ending:
    """How one rollout ended."""

    phase: Phase
    took_s: float
    canary_requests: int
    late: bool
    restore_s: float | None


class Traffic:
    """Cumulative counts of two arms since the window opened, one second at a time."""

    def __init__(self, row: Row, rate_rps: float, generator: np.random.Generator) -> None:
        """Nothing has happened yet."""
        self._row, self._rate_rps, self._random = row, rate_rps, generator
        self.canary_requests = 0
        self.reset()

    def reset(self) -> None:
        """Open a window."""
        self._counts = {"stable": np.zeros(3, dtype=np.int64), "canary": np.zeros(3, dtype=np.int64)}

    def second(self, weight: int) -> None:
        """One second's requests at `weight` percent for the canary."""
        total = int(self._random.poisson(self._rate_rps))
        canary = int(self._random.binomial(total, weight / 100))
        self.canary_requests += canary
        for name, arm, requests in (
            ("stable", self._row.stable, total - canary),
            ("canary", self._row.canary, canary),
        ):
            bad = self._random.binomial(requests, (arm.errors, arm.slow))
            self._counts[name] += np.array([requests, *bad])

    def seen(self) -> dict[str, Observations]:
        """As a target would report it."""
        return {name: _observations(*(int(x) for x in counts)) for name, counts in self._counts.items()}


def _observations(requests: int, errors: int, slow: int) -> Observations:
    return Observations(
        requests=requests, server_errors=errors, answered=requests, slo_exceeded=slow, rejected=0
    )


def _plan() -> Plan:
    stable, canary = (
        Revision(id=name, bundle=Path(name), digest=name, verify_key=Path("key"))
        for name in ("stable", "canary")
    )
    return Plan(id="bench", service="bench", stable=stable, canary=canary, slo=SLO)


def _weight(state: RolloutState, plan: Plan) -> int:
    return plan.steps[state.step].weight if state.phase is Phase.STEP else 0


def rollout(row: Row, rate_rps: float, seed: int) -> Ending:
    """One rollout through the real driver."""
    plan, at = _plan(), START
    state = begin(plan, at)
    traffic = Traffic(row, rate_rps, np.random.default_rng(seed))
    while not state.finished:
        weight = _weight(state, plan)
        shares = {"stable": 100 - weight, "canary": weight}
        gone = state.phase is Phase.ROLLING_BACK and state.restored_at is not None
        routing = Routing(weights={"stable": 100} if gone else shares)
        ready = Readiness(wanted=1, ready=1)
        before = state.window
        facts = Facts(at=at, canary=ready, routing=routing, seen=traffic.seen() if state.window else {})
        state, _ = advance(state, facts, plan)
        if state.window != before:
            traffic.reset()
        at += timedelta(seconds=1)
        traffic.second(_weight(state, plan))
    late = state.cause.startswith("no verdict")
    took_s = (state.entered_at - START).total_seconds()
    return Ending(state.phase, took_s, traffic.canary_requests, late, state.seconds_to_restore)


def _share(row: Row, rate_rps: float, seeds: range) -> list[Ending]:
    return [rollout(row, rate_rps, seed) for seed in seeds]


def endings(row: Row, rollouts: int, rate_rps: float, seed: int) -> list[Ending]:
    """Many rollouts, on every core."""
    chunks = [range(seed * 10**6 + i, seed * 10**6 + rollouts, 8) for i in range(8)]
    with ProcessPoolExecutor() as pool:
        futures = [pool.submit(_share, row, rate_rps, chunk) for chunk in chunks]
        return [ending for future in futures for ending in future.result()]


def upper_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """Clopper-Pearson upper bound of a share, by bisection on the binomial distribution."""
    if events == trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(events, trials, middle) > 1 - confidence else (low, middle)
    return high


def _at_most(events: int, trials: int, p: float) -> float:
    logs = (
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(p)
        + (trials - k) * math.log1p(-p)
        for k in range(events + 1)
    )
    return sum(math.exp(x) for x in logs)


def _median(values: Iterator[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else math.nan


def line(row: Row, ended: list[Ending]) -> str:
    """One row of the table."""
    wrong = sum((ending.phase is Phase.PROMOTED) != row.good for ending in ended)
    right = 1 - wrong / len(ended)
    late = sum(ending.late for ending in ended)
    word = "promoted" if row.good else "rolled back"
    return (
        f"{row.name:38} {word:12} {right:7.2%} {upper_bound(wrong, len(ended)):8.2%} {late / len(ended):7.2%}"
        f" {_median(e.took_s for e in ended):7.0f} {_median(e.canary_requests for e in ended):9.0f}"
        f" {_median(e.restore_s for e in ended if e.restore_s is not None and not row.good):9.1f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=200, help="per row")
    parser.add_argument("--rate-rps", type=float, default=200.0, help="offered load, requests per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    print(
        f"{options.rollouts} rollouts a row at {options.rate_rps:g} requests/s, a look a second; SLO: "
        f"{SLO.max_error_rate:.1%} errors, {SLO.max_exceedance:.0%} slower than {SLO.latency_limit_ms:g} ms"
    )
    print(
        f"{'row':38} {'should be':12} {'it is':>7} {'wrong <':>8} {'late':>7} {'took s':>7} {'canary rq':>9}"
        f" {'restore s':>9}"
    )
    for row in (row for row in ROWS if options.only in row.name):
        print(line(row, endings(row, options.rollouts, options.rate_rps, options.seed)), flush=True)


if __name__ == "__main__":
    main()
