"""How often the rollout judge errs, and how soon it acts, beside two published ways to judge a canary.

    python benchmarks/judge.py [--rollouts 2000] [--rate-rps 200] [--seed 1] [--only A/A]

Each row is so many whole rollouts (5 → 25 → 50 → 100 %): every look brings a Poisson number of requests,
split by weight, each bad with its arm's probability. An A/A row has twice the same revision: whatever is
rolled back there is a false alarm. A sample of each row is replayed through the real driver and must end
alike. Exit code 1: a bound of ours is broken, or driver and arrays disagree.

The rivals (judging/rivals.py) get the same arms and load, 100 s at each of 5, 25 and 50 %.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

# benchmarks/serving.py is not the package of that name: this folder is asked last
sys.path.append(sys.path.pop(sys.path.index(str(Path(__file__).parent))))

from judging.batch import Judge
from judging.rivals import argo_fails, kayenta_fails, shares

from modelway.contract import Slo
from serving.rollout.driver import advance, begin
from serving.rollout.plan import Plan
from serving.rollout.state import Facts, Phase
from serving.rollout.target import Observations, Readiness, Revision, Routing

SLO = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.001, rate_rps=200)
START = datetime(2026, 1, 1, tzinfo=UTC)
RIVAL_WEIGHTS, RIVAL_STEP_S = (0.05, 0.25, 0.5), 100
REPLAYED = 6
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


@dataclass
class Endings:
    """How all rollouts of a row ended."""

    promoted: npt.NDArray[np.bool_]
    blamed: npt.NDArray[np.bool_]
    """Rolled back on proof; the others that were rolled back came to a deadline."""
    took_s: Floats
    canary_requests: Floats
    restore_s: Floats
    """From the look before the step's first bad answer to restored traffic."""


class Traffic:
    """What both arms do between two looks: (requests, errors, slow) per rollout."""

    def __init__(self, row: Row, rate_rps: float, generator: np.random.Generator) -> None:
        """Nothing has happened yet."""
        self._row, self._rate_rps, self._random = row, rate_rps, generator

    def block(self, weight: Floats, at_s: float, for_s: float) -> tuple[Floats, Floats]:
        """Stable's and canary's counts of the next `for_s` seconds."""
        total = self._random.poisson(self._rate_rps * for_s, size=len(weight))
        canary = self._random.binomial(total, weight)
        day = self._row.bad_day_s
        slow = 0.1 if day and day[0] <= at_s < day[1] else 0.0
        return self._counts(self._row.stable, total - canary, slow), self._counts(
            self._row.canary, canary, slow
        )

    def _counts(self, arm: Arm, requests: npt.NDArray[np.int64], slow: float) -> Floats:
        errors = self._random.binomial(requests, arm.errors)
        return np.column_stack(
            [requests, errors, self._random.binomial(requests, max(arm.slow, slow))]
        ).astype(float)


def plan_of(row: Row) -> Plan:
    """The plan that a row rolls out."""
    stable, canary = (
        Revision(id=name, bundle=Path(name), digest=name, verify_key=Path("key"))
        for name in ("stable", "canary")
    )
    return Plan(id="bench", service="bench", stable=stable, canary=canary, slo=SLO, weights=row.weights)


Tape = list[tuple[Floats, Floats]]


class Rollouts:
    """Many rollouts of one row, a look at a time. Times are seconds since the start."""

    def __init__(self, row: Row, count: int) -> None:
        """All stand at the first step, deployed."""
        self.row, self.plan = row, plan_of(row)
        self.judge = Judge(self.plan, count)
        self.step = np.zeros(count, dtype=np.int64)
        self.entered_s, self.open = np.zeros(count), np.zeros(count, bool)
        self.over, self.promoted, self.blamed = (np.zeros(count, bool) for _ in range(3))
        self.took_s, self.requests = np.zeros(count), np.zeros(count)
        self.first_bad_s, self.restore_s = np.full(count, np.nan), np.full(count, np.nan)

    @property
    def weight(self) -> Floats:
        """The canary's share now."""
        return np.where(self.over, 0.0, self.judge.limits.shares[self.step])

    def look(self, stable: Floats, canary: Floats, at_s: float, every_s: float) -> None:
        """Decide as the driver does at `at_s`, given what happened since the last look."""
        active = ~self.over
        dark = self.row.dark_from_s is not None and at_s > self.row.dark_from_s
        looking = active & self.open & (not dark)
        failed, passed = self.judge.look(self.step, stable, canary, looking)
        bad = looking & (canary[:, 1:].sum(axis=1) > 0) & np.isnan(self.first_bad_s)
        self.first_bad_s[bad] = at_s - every_s
        late = active & ~failed & ~passed & (at_s - self.entered_s > self.plan.step_deadline_s)
        last = self.step == len(self.plan.steps) - 1
        self._end(failed | late, at_s, every_s)
        self.blamed |= failed
        self.promoted |= passed & last
        self._end(passed & last, at_s, every_s)
        self.open |= active & ~self.over
        self._enter(passed & ~last, at_s)

    def _enter(self, who: npt.NDArray[np.bool_], at_s: float) -> None:
        self.step[who] += 1
        self.entered_s[who], self.first_bad_s[who], self.open[who] = at_s, np.nan, False
        self.judge.reset(who)

    def _end(self, who: npt.NDArray[np.bool_], at_s: float, every_s: float) -> None:
        self.over |= who
        self.took_s[who] = at_s
        self.restore_s[who] = at_s + every_s - self.first_bad_s[who]


def run(row: Row, count: int, rate_rps: float, generator: np.random.Generator) -> tuple[Endings, Tape]:
    """Carry `count` rollouts to their end. The tape holds what the first few of them saw."""
    rollouts, traffic = Rollouts(row, count), Traffic(row, rate_rps, generator)
    every_s, tick, tape = 1 / row.looks_per_s, 0, []
    stable = canary = np.zeros((count, 3))
    while not rollouts.over.all():
        if tick:  # the first look finds the canary ready
            rollouts.look(stable, canary, tick * every_s, every_s)
        stable, canary = traffic.block(rollouts.weight, tick * every_s, every_s)
        rollouts.requests += canary[:, 0]
        tape.append((stable[:REPLAYED], canary[:REPLAYED]))
        tick += 1
    r = rollouts
    return Endings(r.promoted, r.blamed, r.took_s, r.requests, r.restore_s), tape


def replay(row: Row, tape: Tape, which: int) -> tuple[bool, float]:
    """The same traffic through the real driver: whether it was promoted, and when it was decided."""
    plan, every_s = plan_of(row), 1 / row.looks_per_s
    state, sums = begin(plan, START), np.zeros((2, 3))
    for tick, (stable, canary) in enumerate(tape):
        at = START + timedelta(seconds=tick * every_s)
        dark = row.dark_from_s is not None and tick * every_s > row.dark_from_s
        facts = _facts(state, plan, at, sums, dark=dark)
        before = state.window
        state, _ = advance(state, facts, plan)
        if state.phase in {Phase.PROMOTED, Phase.ROLLING_BACK}:
            return state.phase is Phase.PROMOTED, tick * every_s
        if state.window != before:
            sums = np.zeros((2, 3))
        sums = sums + np.stack([stable[which], canary[which]])
    raise AssertionError(f"{row.name}: the driver did not decide within the tape")


def _facts(state, plan, at, sums, *, dark):  # noqa: ANN001, ANN202 - the driver's own types
    weight = plan.steps[state.step].weight if state.phase is Phase.STEP else 0
    seen = {"stable": _observed(sums[0]), "canary": Observations() if dark else _observed(sums[1])}
    return Facts(
        at=at,
        canary=Readiness(wanted=1, ready=1),
        routing=Routing(weights={"stable": 100 - weight, "canary": weight}),
        seen=seen if state.window else {},
    )


def _observed(counts: Floats) -> Observations:
    n, errors, slow = (int(count) for count in counts)
    return Observations(requests=n, server_errors=errors, answered=n, slo_exceeded=slow, rejected=0)


def disagreements(row: Row, ended: Endings, tape: Tape) -> int:
    """How many replayed rollouts the real driver ends otherwise."""
    count = min(REPLAYED, len(ended.promoted))
    ours = [(bool(ended.promoted[i]), float(ended.took_s[i])) for i in range(count)]
    theirs = [replay(row, tape, i) for i in range(count)]
    return sum(a[0] != b[0] or abs(a[1] - b[1]) > 1e-6 for a, b in zip(ours, theirs, strict=True))


def rivals(row: Row, count: int, rate_rps: float, generator: np.random.Generator) -> dict[str, Floats]:
    """Per rival: the step (1 to 3) at which each rollout is rolled back; 0 where it is promoted."""
    traffic = Traffic(row, rate_rps, generator)
    ended = {"Kayenta": np.zeros(count), "Argo": np.zeros(count)}
    for index, weight in enumerate(RIVAL_WEIGHTS):
        blocks = [
            traffic.block(np.full(count, weight), index * RIVAL_STEP_S + second, 1.0)
            for second in range(RIVAL_STEP_S)
        ]
        stable, canary = (np.stack(arm, axis=1) for arm in zip(*blocks, strict=True))
        if row.dark_from_s is not None:
            canary[:, max(0, row.dark_from_s - index * RIVAL_STEP_S) :] = 0.0  # an empty query reads as 0
        for name, failed in _judged(stable, canary).items():
            ended[name][failed & (ended[name] == 0)] = index + 1
    return ended


def _judged(stable: Floats, canary: Floats) -> dict[str, npt.NDArray[np.bool_]]:
    kayenta, argo = np.zeros(len(stable), bool), np.zeros(len(stable), bool)
    for column, limit in ((1, SLO.max_error_rate), (2, SLO.max_exceedance)):
        five = [shares(arm[:, :, column], arm[:, :, 0], 5) for arm in (canary, stable)]
        kayenta |= kayenta_fails(*five)
        argo |= argo_fails(shares(canary[:, :, column], canary[:, :, 0], 10), limit)
    return {"Kayenta": kayenta, "Argo": argo}


def upper_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson bound of a share."""
    return 1.0 if events == trials else float(beta.ppf(confidence, events + 1, trials - events))


def wrong_ends(row: Row, ended: Endings) -> int:
    """How many ended as they should not."""
    if row.should == "promote":
        return int((~ended.promoted).sum())
    if row.should == "hold":
        return int((ended.promoted | ended.blamed).sum())
    return int(ended.promoted.sum())


def line(row: Row, ended: Endings, theirs: dict[str, Floats]) -> str:
    """One row of the table."""
    count, wrong = len(ended.promoted), wrong_ends(row, ended)
    late = int((~ended.promoted & ~ended.blamed).sum())
    bad = row.should == "roll back"
    figures = [np.median(ended.took_s), np.median(ended.canary_requests)]
    restored = f"{np.nanmedian(ended.restore_s):9.1f}" if bad else " " * 9
    rolled = " ".join(f"{(steps > 0).mean():8.1%}" for steps in theirs.values())
    return (
        f"{row.name:36} {row.should:9} {wrong / count:7.2%} {upper_bound(wrong, count):7.2%}"
        f" {late / count:6.1%} {figures[0]:6.0f} {figures[1]:8.0f} {restored} {rolled}"
    )


def broken(row: Row, ended: Endings) -> bool:
    """The row's bound does not hold."""
    return row.bound is not None and wrong_ends(row, ended) / len(ended.promoted) > row.bound


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=2000, help="per row")
    parser.add_argument("--rate-rps", type=float, default=200.0, help="offered load, requests per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args(argv)
    print(
        f"{options.rollouts} rollouts a row at {options.rate_rps:g} requests/s; SLO: {SLO.max_error_rate:.1%}"
        f" errors, {SLO.max_exceedance:.0%} slower than {SLO.latency_limit_ms:g} ms\n"
        f"{'row':36} {'should':9} {'wrong':>7} {'95% <':>7} {'late':>6} {'took s':>6} {'requests':>8}"
        f" {'restore s':>9}  rolled back by Kayenta, Argo"
    )
    failures = 0
    for number, row in enumerate(ROWS):
        if options.only not in row.name:
            continue
        generator = np.random.default_rng([options.seed, number])
        ended, tape = run(row, options.rollouts, options.rate_rps, generator)
        differ = disagreements(row, ended, tape)
        print(line(row, ended, rivals(row, options.rollouts, options.rate_rps, generator)), flush=True)
        if differ or broken(row, ended):
            failures += 1
            print(f"  ^ broken: {differ} replayed rollouts differ" if differ else "  ^ the bound is broken")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
