"""Many rollouts of one row at once, as arrays; and the same traffic through the real driver."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from judging.batch import Judge
from judging.rows import Arm, Floats, Row, plan_of
from serving.rollout.driver import advance, begin
from serving.rollout.state import Facts, Phase
from serving.rollout.target import Observations, Readiness, Routing

START = datetime(2026, 1, 1, tzinfo=UTC)
REPLAYED = 6
"""So many rollouts of each row are carried out by the real driver too."""
Tape = list[tuple[Floats, Floats]]


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
