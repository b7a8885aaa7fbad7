"""The rollout judge for many rollouts at once, in numpy: the same bets, the same order of decisions.

Each array has one entry per rollout. `benchmarks/judge.py` replays a sample of the traces through the real
driver and ends with an error where the two disagree.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from modelway.stats.sequential import ODDS_ABOVE, RUIN, SHARES_BELOW
from serving.rollout.plan import PROMISED, Plan
from serving.rollout.plan import Metric as PlanMetric

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
POTS = len(ODDS_ABOVE)
_MAX_STAKE = 0.95


def log_sum_exp(logs: Floats) -> Floats:
    """Over the last axis."""
    top = logs.max(axis=-1)
    return top + np.log(np.exp(logs - top[..., None]).sum(axis=-1))


def log_bernoulli(p: Floats, n: Floats, k: Floats) -> Floats:
    """Log of p^k (1-p)^(n-k); impossible outcomes are ruin."""
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = np.where(k > 0, k * np.log(p), 0.0)
        value = hits + (n - k) * np.log1p(-p)
    return np.where((k > 0) & (p <= 0), RUIN, value)


@dataclass
class Pots:
    """`Bets` for many rollouts."""

    rollouts: int
    pots: Floats = field(init=False)
    looks: Floats = field(init=False)

    def __post_init__(self) -> None:
        """All wealth is in reserve."""
        self.pots = np.full((self.rollouts, POTS), RUIN)
        self.looks = np.zeros(self.rollouts)

    def reset(self, who: npt.NDArray[np.bool_]) -> None:
        """A new step begins."""
        self.pots[who], self.looks[who] = RUIN, 0.0

    def settle(self, factors: Floats, who: npt.NDArray[np.bool_]) -> None:
        """`Bets.settle` for those with a block."""
        look = self.looks[who] + 1
        fresh = -np.log(look * (look + 1) * POTS)
        self.pots[who] = np.maximum(RUIN, np.logaddexp(self.pots[who], fresh[:, None]) + factors[who])
        self.looks[who] = look

    @property
    def log_wealth(self) -> Floats:
        """Evidence so far."""
        return log_sum_exp(np.column_stack([self.pots, -np.log(self.looks + 1)]))


def _alternatives(rate: Floats) -> Floats:
    odds = (rate / (1 - rate))[:, None] * np.array(ODDS_ABOVE)
    return odds / (1 + odds)


def factors_above(limit: Floats, n: Floats, k: Floats) -> Floats:
    """`bet_above`."""
    p, n, k = _alternatives(limit), n[:, None], k[:, None]
    return log_bernoulli(p, n, k) - log_bernoulli(limit[:, None], n, k)


def evidence_below(bound: Floats, n: Floats, k: Floats) -> Floats:
    """As in `modelway.stats.sequential`."""
    logs = [
        np.log(stake) + log_bernoulli(bound * share, n, k) - log_bernoulli(bound, n, k)
        for share, stake in SHARES_BELOW.items()
    ]
    return np.maximum(RUIN, log_sum_exp(np.stack(logs, axis=-1)))


def factors_worse(margin: Floats, past: Floats, stable: Floats, canary: Floats) -> Floats:
    """`bet_worse`; the last three have shape (rollouts, 2): trials, events."""
    base = (past[:, 1] + 0.5) / (past[:, 0] + 50.0)
    worse = _alternatives(np.minimum(base + margin, 1 - 1e-6))
    na, nb = np.maximum(stable[:, :1], 1), np.maximum(canary[:, :1], 1)
    m = margin[:, None]
    centre = (na * base[:, None] + nb * (worse - m)) / (na + nb)
    centre = np.clip(centre, np.maximum(0.0, 1e-9 - m), 1 - m - 1e-9)
    null = centre + m
    kelly = nb * (worse - null) / (null * (1 - null))
    most = np.minimum(_MAX_STAKE * na / (1 - centre), _MAX_STAKE * nb / null)
    stake = np.maximum(0.0, np.minimum(kelly, most))
    return _bet(-stake / na, centre, stable) + _bet(stake / nb, null, canary)


def _bet(stake: Floats, centre: Floats, block: Floats) -> Floats:
    n, k = block[:, :1], block[:, 1:]
    return k * np.log1p(stake * (1 - centre)) + (n - k) * np.log1p(-stake * centre)


@dataclass
class Tallies:
    """One metric of all rollouts: totals per arm (trials, events) and the bets."""

    rollouts: int

    def __post_init__(self) -> None:
        """Nothing was counted yet."""
        self.stable, self.canary = np.zeros((self.rollouts, 2)), np.zeros((self.rollouts, 2))
        self.last, self.last_stable = np.zeros((self.rollouts, 2)), np.zeros((self.rollouts, 2))
        self.paired = np.zeros((self.rollouts, 4))
        self.over, self.worse = Pots(self.rollouts), Pots(self.rollouts)

    def reset(self, who: npt.NDArray[np.bool_]) -> None:
        """A new step begins for them."""
        for array in (self.stable, self.canary, self.last, self.last_stable, self.paired):
            array[who] = 0.0
        for pots in (self.over, self.worse):
            pots.reset(who)

    def add(
        self, stable: Floats, canary: Floats, limits: tuple[Floats, Floats], who: npt.NDArray[np.bool_]
    ) -> None:
        """One look: what each arm did since the last one."""
        rate, margin = limits
        self.over.settle(factors_above(rate, *canary.T), who & (canary[:, 0] > 0))
        self.stable[who] += stable[who]
        self.canary[who] += canary[who]
        self.last[who], self.last_stable[who] = canary[who], stable[who]
        a, b = self.stable - self.paired[:, :2], self.canary - self.paired[:, 2:]
        both = who & (a[:, 0] > 0) & (b[:, 0] > 0)
        self.worse.settle(factors_worse(margin, self.paired[:, :2], a, b), both)
        self.paired[both] = np.column_stack([self.stable, self.canary])[both]


@dataclass(frozen=True)
class Limits:
    """The plan's limits by step, as arrays."""

    rates: Floats
    """(metrics, steps)."""
    margins: Floats
    log_fail: Floats
    log_pass: Floats
    log_lean: Floats
    shares: Floats

    @classmethod
    def of(cls, plan: Plan) -> "Limits":
        """Read them off the plan."""
        limits = [plan.limits(step) for step in range(len(plan.steps))]
        return cls(
            rates=np.array([[each.rates[metric] for each in limits] for metric in PROMISED]),
            margins=np.array([[each.margins[metric] for each in limits] for metric in PROMISED]),
            log_fail=np.array([each.log_fail for each in limits]),
            log_pass=np.array([each.log_pass for each in limits]),
            log_lean=np.array([each.log_lean for each in limits]),
            shares=np.array([step.weight / 100 for step in plan.steps]),
        )


class Judge:
    """`weigh`, `judge` and the burst rule for many rollouts."""

    def __init__(self, plan: Plan, rollouts: int) -> None:
        """Nothing was seen yet."""
        self.limits, self.risk = Limits.of(plan), plan.risk
        self.tallies = {metric: Tallies(rollouts) for metric in PROMISED}
        self.rollouts = rollouts

    def reset(self, who: npt.NDArray[np.bool_]) -> None:
        """A new step begins for them."""
        for tally in self.tallies.values():
            tally.reset(who)

    def look(
        self, step: Ints, stable: Floats, canary: Floats, who: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """One look at (trials, errors, slow) per arm. Returns who fails and who passes."""
        failed, passed = np.zeros(self.rollouts, bool), np.ones(self.rollouts, bool)
        for index, (metric, tally) in enumerate(self.tallies.items()):
            rate, margin = self.limits.rates[index][step], self.limits.margins[index][step]
            columns = [0, 1 + index]
            tally.add(stable[:, columns], canary[:, columns], (rate, margin), who)
            fails, passes = self._decide(tally, rate, step)
            failed |= fails
            passed &= passes
            if metric is PlanMetric.ERRORS:
                failed |= self._burst(tally.last) & ~self._burst(tally.last_stable)
        return failed & who, passed & ~failed & who

    def _decide(
        self, tally: Tallies, rate: Floats, step: Ints
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        fail, known = self.limits.log_fail[step], tally.canary[:, 0] > 0
        broken = tally.over.log_wealth >= fail
        alone = tally.stable[:, 0] == 0
        blamed = broken & (alone | (tally.worse.log_wealth >= self.limits.log_lean[step]))
        failed = known & ((tally.worse.log_wealth >= fail) | blamed)
        kept = evidence_below(rate, *tally.canary.T) >= self.limits.log_pass[step]
        return failed, known & ~failed & ~broken & kept

    def _burst(self, block: Floats) -> npt.NDArray[np.bool_]:
        n, k = block.T
        return (k >= self.risk.burst_errors) & (k >= self.risk.burst_share * n)
