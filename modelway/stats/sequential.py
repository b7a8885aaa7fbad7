"""Tests on counts that may be looked at any time: e-processes for rates and for their difference.

An e-process is a bet against a hypothesis. Its wealth starts at 1 and, while the hypothesis holds, is
not expected to grow; by Ville's inequality it then reaches 1/alpha with probability at most alpha,
however often and whenever somebody looks. All wealth is kept as a logarithm, so that a million requests
neither overflow nor underflow. Standard library only: the server image carries this module.

Sources:
    Ville (1939); Grünwald, de Heide & Koolen, "Safe testing", JRSS B 86 (2024).
    Turner, Ly & Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for
    optional stopping", JSPI 230 (2024): the two-sample bet without a margin.
    Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024).
"""

import math
from collections.abc import Iterable

from pydantic import Field

from modelway.contract import Frozen

ODDS_ABOVE = (1.5, 2.0, 3.0, 6.0, 15.0, 50.0, 300.0)
"""How much worse than the limit a rate might be, as multiples of its odds: one pot bets on each."""
SHARES_BELOW = {0.0: 0.6, 0.125: 0.1, 0.25: 0.1, 0.5: 0.1, 0.75: 0.1}
"""How far below the bound a rate might be (share of the bound), and the stake that says so."""
RUIN = -1e9
"""Log wealth of a pot that has lost everything; JSON has no -inf."""
_MAX_TRIALS = 10**9
_MAX_STAKE = 0.95  # of what a single outcome may cost: a bet that cannot be lost for good


class Counts(Frozen):
    """Outcomes of one arm: `events` of `trials`."""

    trials: int = Field(default=0, ge=0)
    events: int = Field(default=0, ge=0)

    @property
    def rate(self) -> float | None:
        """Share of events; None before the first trial."""
        return self.events / self.trials if self.trials else None

    def __add__(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(trials=self.trials + other.trials, events=self.events + other.events)


class Bets(Frozen):
    """Wealth staked on several alternatives, and a reserve for alternatives that begin later.

    At the s-th look 1/(s(s+1)) of the first wealth is staked, so that 1/(s+1) is left: a fault that
    begins after long good service is met by fresh stakes and not by pots which that service ruined.
    """

    log_pots: tuple[float, ...] = ()
    looks: int = Field(default=0, ge=0)

    @property
    def log_wealth(self) -> float:
        """Logarithm of all wealth: the evidence against the hypothesis so far."""
        return log_sum_exp((*self.log_pots, -math.log(self.looks + 1)))

    def settle(self, log_factors: tuple[float, ...]) -> "Bets":
        """Stake what this look may stake, then multiply each pot by its factor."""
        look = self.looks + 1
        fresh = -math.log(look * (look + 1) * len(log_factors))
        pots = self.log_pots or (RUIN,) * len(log_factors)
        moved = zip(pots, log_factors, strict=True)
        return Bets(
            log_pots=tuple(max(RUIN, log_sum_exp((pot, fresh)) + factor) for pot, factor in moved),
            looks=look,
        )


def log_sum_exp(logs: Iterable[float]) -> float:
    """log(sum(exp(x))) without overflow."""
    values = tuple(logs)
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def bet_above(bets: Bets, limit: float, block: Counts) -> Bets:
    """Bet against "the rate is at most `limit`" with the outcomes since the last look.

    For p above the limit, (p/limit)^events · ((1-p)/(1-limit))^rest is not expected to grow under any
    rate up to the limit, constant or not, because its factor is linear and increasing in the rate.

    Args:
        bets: Wealth before.
        limit: 0 < limit < 1.
        block: Outcomes since the last look; none at all changes nothing.
    """
    if not block.trials:
        return bets
    odds = limit / (1.0 - limit)
    alternatives = (odds * times / (1.0 + odds * times) for times in ODDS_ABOVE)
    return bets.settle(tuple(_log_likelihood_ratio(p, limit, block) for p in alternatives))


def evidence_below(bound: float, trials: float, events: float) -> float:
    """Log evidence against "the rate is at least `bound`" from all outcomes so far.

    A mixture of likelihood ratios towards rates below the bound: it depends on the totals alone and may
    be looked at any time.

    Args:
        bound: 0 < bound < 1.
        trials: All outcomes; real-valued so that expected counts can be put in.
        events: Those that count.
    """
    logs = [
        math.log(stake)
        + _log_bernoulli(bound * share, trials, events)
        - _log_bernoulli(bound, trials, events)
        for share, stake in SHARES_BELOW.items()
    ]
    return max(RUIN, log_sum_exp(logs))


def trials_to_show_below(bound: float, alpha: float, *, rate: float = 0.0) -> int:
    """How many outcomes show, at `alpha`, that the rate is below `bound`, if it is really `rate`.

    Args:
        bound: 0 < bound < 1.
        alpha: 0 < alpha < 1.
        rate: The true rate, below `bound`; 0 gives the smallest possible sample.

    Returns:
        Smallest n whose expected counts carry evidence 1/alpha; 3,299 for 0.001 at 5 %.

    Raises:
        ValueError: `rate` is not far enough below `bound` for a thousand million outcomes.
    """
    need, high = math.log(1.0 / alpha), 1
    while evidence_below(bound, high, high * rate) < need:
        high *= 2
        if high > _MAX_TRIALS:
            raise ValueError(f"a rate of {rate:g} cannot be shown to lie below {bound:g}")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if evidence_below(bound, middle, middle * rate) >= need else (middle, high)
    return high


def bet_worse(bets: Bets, margin: float, past_stable: Counts, stable: Counts, canary: Counts) -> Bets:
    """Bet against "the canary's rate is at most the stable arm's plus `margin`", in one block of both.

    The factor is Π(1 - (L/n_a)(y - c)) over the stable arm's outcomes times Π(1 + (L/n_b)(y - c - margin))
    over the canary's. All factors are non-negative and independent, and the mean of their n_a + n_b
    expectations is 1 + L(mean canary rate - mean stable rate - margin)/(n_a + n_b), at most 1 under the
    hypothesis; the mean of a product of such factors is at most that mean to the power n_a + n_b
    (arithmetic and geometric mean), so at most 1. It holds for any L and c chosen before the block's
    outcomes and for rates that drift, as long as they drift for both. With margin 0 and
    c = (n_a p_a + n_b p_b)/(n_a + n_b) it is Turner, Ly & Grünwald's variable.

    Args:
        bets: Wealth before.
        margin: How much worse is still accepted, 0 <= margin < 1.
        past_stable: The stable arm's outcomes before this block: where its rate is guessed from.
        stable: The stable arm's outcomes since the last look.
        canary: The canary's in the same time. If either has none, nothing changes.
    """
    if not (stable.trials and canary.trials):
        return bets
    base = (past_stable.events + 0.5) / (past_stable.trials + 50.0)
    null = min(base + margin, 1.0 - 1e-6)
    odds = null / (1.0 - null)
    alternatives = (odds * times / (1.0 + odds * times) for times in ODDS_ABOVE)
    return bets.settle(tuple(log_two_sample(base, p, margin, stable, canary) for p in alternatives))


def log_two_sample(base: float, worse: float, margin: float, stable: Counts, canary: Counts) -> float:
    """Log factor of one block for the alternative (stable `base`, canary `worse`), as in `bet_worse`.

    Args:
        base: The stable arm's rate under the alternative.
        worse: The canary's.
        margin: -1 < margin < 1; below 0 the hypothesis says that the canary's rate is lower by so much.
        stable: At least one trial.
        canary: At least one trial.
    """
    both = stable.trials + canary.trials
    centre = (stable.trials * base + canary.trials * (worse - margin)) / both
    centre = min(max(centre, 0.0, 1e-9 - margin), 1.0 - max(margin, 0.0) - 1e-9)
    null = centre + margin
    kelly = canary.trials * (worse - null) / (null * (1.0 - null))
    most = min(_MAX_STAKE * stable.trials / (1.0 - centre), _MAX_STAKE * canary.trials / null)
    stake = max(0.0, min(kelly, most))  # 0 where nothing can be worse: the stable rate and the margin reach 1
    return _log_bet(-stake / stable.trials, centre, stable) + _log_bet(stake / canary.trials, null, canary)


def _log_bet(stake: float, centre: float, block: Counts) -> float:
    missed = block.trials - block.events
    return block.events * math.log1p(stake * (1.0 - centre)) + missed * math.log1p(-stake * centre)


def _log_likelihood_ratio(p: float, q: float, block: Counts) -> float:
    return _log_bernoulli(p, block.trials, block.events) - _log_bernoulli(q, block.trials, block.events)


def _log_bernoulli(p: float, trials: float, events: float) -> float:
    if events and not p:
        return RUIN
    hits = events * math.log(p) if events else 0.0
    return hits + (trials - events) * math.log1p(-p)
