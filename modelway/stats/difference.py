"""Bets on the difference of two arms' rates by a stated effect, for a-b tests looked at any time.

`bet_worse` in `sequential` is made for rare bad events and large factors. Here the events are common and
the effects small and absolute, and labels may come in one batch, before any rate could be learnt: beside
the rate seen so far, pots for a grid of rates take part.
"""

from modelway.stats.sequential import Bets, Counts, log_two_sample

RATES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95)
"""Rates of the control arm that pots are kept for."""
SIZES = (0.5, 1.0, 2.0)
"""How far beyond the hypothesis the difference might be, as multiples of the effect."""
_MOST_TRIALS = 10**9


def bet_better(bets: Bets, effect: float, past_control: Counts, control: Counts, arm: Counts) -> Bets:
    """Bet against "the arm's rate is at most the control's", in one block of both.

    Args:
        bets: Wealth before.
        effect: The smallest difference worth having, absolute, 0 < effect < 1: it shapes the bets alone.
        past_control: The control's outcomes before this block.
        control: The control's outcomes since the last look.
        arm: The arm's in the same time. If either has none, nothing changes.
    """
    return _bet(bets, 0.0, effect, past_control, control, arm)


def bet_level(bets: Bets, effect: float, past_control: Counts, control: Counts, arm: Counts) -> Bets:
    """Bet against "the arm's rate is at least the control's plus `effect`"; arguments as `bet_better`.

    Said of missed rewards: the arm misses at most the control's share less `effect`.
    """
    return _bet(bets, -effect, effect, missed(past_control), missed(control), missed(arm))


def missed(counts: Counts) -> Counts:
    """Trials without a reward."""
    return Counts(trials=counts.trials, events=counts.trials - counts.events)


def _bet(  # noqa: PLR0913, PLR0917 - two arms, their past, a hypothesis, an effect
    bets: Bets, margin: float, effect: float, past: Counts, control: Counts, arm: Counts
) -> Bets:
    if not (control.trials and arm.trials):
        return bets
    seen = (past.events + 0.5) / (past.trials + 1.0)
    alternatives = [(seen, size) for size in SIZES] + [(rate, 1.0) for rate in RATES]
    return bets.settle(
        tuple(
            log_two_sample(base, _within(base + margin + size * effect), margin, control, arm)
            for base, size in alternatives
        )
    )


def _within(rate: float) -> float:
    return min(max(rate, 1e-6), 1.0 - 1e-6)


def trials_to_tell(rate: float, effect: float, log_needed: float) -> int:
    """Trials per arm after which an arm better by `effect` is expected to be told, looked at once.

    Args:
        rate: The control's rate, 0 < rate < 1 - effect.
        effect: As above.
        log_needed: log(1/alpha).

    Returns:
        Smallest n (to 1 %) whose expected counts carry the evidence.

    Raises:
        ValueError: A thousand million are not enough.
    """
    high = 1
    while _expected(rate, effect, high) < log_needed:
        high *= 2
        if high > _MOST_TRIALS:
            raise ValueError(f"a difference of {effect:g} at a rate of {rate:g} cannot be told")
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if _expected(rate, effect, middle) >= log_needed else (middle, high)
    return high


def _expected(rate: float, effect: float, trials: int) -> float:
    control = Counts(trials=trials, events=round(trials * rate))
    arm = Counts(trials=trials, events=round(trials * min(1.0, rate + effect)))
    return bet_better(Bets(), effect, Counts(), control, arm).log_wealth
