"""Judges answers to the same requests: changed decisions and shifted probabilities. Pure."""

from modelway.contract import Outcome, Reason
from modelway.stats.bounded import evidence_mean_above, evidence_mean_below
from modelway.stats.sequential import Bets, Counts, bet_above, evidence_below
from serving.rollout.plan import Limits
from serving.rollout.sights import SHIFT_BINS, Pairs
from serving.rollout.strategies import OutputLimits

CHANGED, SHIFT = "changed_decisions", "shifted_probabilities"


def output_reasons(pairs: Pairs | None, limits: Limits) -> tuple[Reason, ...]:
    """One reason per output metric; none where answers are not compared.

    Absent pairs are INCONCLUSIVE, and so is a canary whose partners are missing: those it left out may
    be the ones it would have answered differently.
    """
    if limits.outputs is None:
        return ()
    absent = _absent(pairs, limits.outputs)
    if absent or pairs is None:
        return tuple(Reason(metric=m, outcome=Outcome.INCONCLUSIVE, message=absent) for m in (CHANGED, SHIFT))
    return _changed(pairs, limits.outputs.max_changed, limits), _shift(
        pairs, limits.outputs.max_shift, limits
    )


def _absent(pairs: Pairs | None, limits: OutputLimits) -> str:
    if pairs is None or not pairs.compared:
        return "no answer to the same request is known of both revisions"
    share = pairs.unpaired / (pairs.unpaired + pairs.compared)
    if share > limits.max_unpaired:
        return f"{pairs.unpaired:,} stable answers ({share:.0%}) have no partner: nothing is concluded"
    return ""


def _changed(pairs: Pairs, limit: float, limits: Limits) -> Reason:
    counts = Counts(trials=pairs.compared, events=pairs.changed)
    over = bet_above(Bets(), limit, counts).log_wealth
    under = evidence_below(limit, counts.trials, counts.events)
    text = f"{pairs.changed:,} of {pairs.compared:,} decisions differ from stable's (limit {limit:.1%})"
    return _reason(CHANGED, text, pairs.changed / pairs.compared, limit, _outcome(over, under, limits), pairs)


def _shift(pairs: Pairs, limit: float, limits: Limits) -> Reason:
    over, under = evidence_mean_above(limit, pairs.shifts), evidence_mean_below(limit, pairs.shifts)
    mean = sum((i + 0.5) * n for i, n in enumerate(pairs.shifts)) / SHIFT_BINS / pairs.compared
    text = f"probabilities differ by {mean:.3f} on average (limit {limit:.3f})"
    return _reason(SHIFT, text, mean, limit, _outcome(over, under, limits), pairs)


def _outcome(over: float, under: float, limits: Limits) -> Outcome:
    if over >= limits.log_fail:
        return Outcome.FAIL
    return Outcome.PASS if under >= limits.log_pass else Outcome.INCONCLUSIVE


def _reason(  # noqa: PLR0913, PLR0917 - the fields of one reason
    metric: str, text: str, found: float, limit: float, outcome: Outcome, pairs: Pairs
) -> Reason:
    return Reason(
        metric=metric, outcome=outcome, message=text, found=found, limit=limit, samples=pairs.compared
    )
