"""The judge: limits and evidence in, verdict out. Pure; may be asked as often as anybody likes.

Per metric three bets run side by side (modelway.stats.sequential): that the canary breaks the step's
limit, that it is worse than the stable arm in the same time, and that it keeps the limit. FAIL needs
proof of harm, PASS needs proof of its absence, and everything else - no data above all - is INCONCLUSIVE.
"""

import math

from modelway.contract import Outcome, Reason, Verdict
from modelway.stats.sequential import Counts, evidence_below, trials_to_show_below
from serving.rollout.evidence import Evidence, Tally
from serving.rollout.outputs import output_reasons
from serving.rollout.plan import PROMISED, Limits, Metric, Risk
from serving.rollout.target import Readiness

_WORDS = {
    Metric.ERRORS: "server errors",
    Metric.SLOW: "slower than the SLO",
    Metric.REJECTED: "called invalid",
}


def judge(evidence: Evidence, limits: Limits) -> Verdict:
    """Weigh one step's evidence.

    Args:
        evidence: Totals and bets of the step so far.
        limits: The step's rates, margins and error budget.

    Returns:
        One reason per metric, and per output metric where answers are compared. `evidence` holds both arms'
        totals and each bet's log wealth.
    """
    reasons = tuple(_reason(metric, evidence.tallies[metric], limits) for metric in Metric)
    reasons += output_reasons(evidence.pairs, limits)
    return Verdict.of(reasons, {metric.value: _figures(evidence.tallies[metric]) for metric in Metric})


def hard_fault(evidence: Evidence, canary: Readiness | None, risk: Risk) -> Reason | None:
    """What needs no statistics: a crash loop, an answer that is no number, a burst of errors."""
    if canary is not None and canary.restarts > risk.max_restarts:
        text = f"crash loop: {canary.restarts} restarts ({canary.problem or 'no reason given'})"
        return _fault("restarts", text, canary.restarts, risk.max_restarts)
    if evidence.invalid_outputs:
        text = f"{evidence.invalid_outputs} answers were no probability"
        return _fault("invalid_outputs", text, evidence.invalid_outputs, 0)
    errors = evidence.tallies[Metric.ERRORS]
    burst = errors.last
    if _is_burst(burst, risk) and not _is_burst(errors.last_stable, risk):  # both at once: not the canary's
        text = f"error burst: {burst.events} of {burst.trials} requests since the last look"
        return _fault("error_burst", text, burst.events / burst.trials, risk.burst_share)
    return None


def _is_burst(block: Counts, risk: Risk) -> bool:
    return block.events >= risk.burst_errors and block.events >= risk.burst_share * block.trials


def _fault(metric: str, text: str, found: float, limit: float) -> Reason:
    return Reason(metric=metric, outcome=Outcome.FAIL, message=text, found=found, limit=limit)


def _reason(metric: Metric, tally: Tally, limits: Limits) -> Reason:
    outcome, message = _decide(metric, tally, limits)
    return Reason(
        metric=metric.value,
        outcome=outcome,
        message=message,
        found=tally.canary.rate,
        limit=limits.rates.get(metric, limits.margins[metric]),
        unit="share of requests",
        samples=tally.canary.trials,
    )


def _decide(metric: Metric, tally: Tally, limits: Limits) -> tuple[Outcome, str]:
    if not tally.known or not tally.canary.trials:
        return Outcome.INCONCLUSIVE, f"{_WORDS[metric]}: the canary's counts are not known"
    if tally.worse.log_wealth >= limits.log_fail:
        return Outcome.FAIL, f"{_found(metric, tally)}, stable {_percent(tally.stable.rate)}: proven worse"
    if metric not in PROMISED:
        return Outcome.PASS, f"{_found(metric, tally)}: not shown to be worse than stable"
    return _promise(metric, tally, limits)


def _promise(metric: Metric, tally: Tally, limits: Limits) -> tuple[Outcome, str]:
    limit = f"limit {_percent(limits.rates[metric])}"
    if tally.canary_over.log_wealth >= limits.log_fail:
        if not tally.stable.trials or tally.worse.log_wealth >= limits.log_lean:
            return Outcome.FAIL, f"{_found(metric, tally)}, {limit}: proven broken"
        stable = f"stable {_percent(tally.stable.rate)}"
        text = f"{_found(metric, tally)}, {limit}: broken, but not shown to be worse than {stable}"
        return Outcome.INCONCLUSIVE, text
    if _log_kept(metric, tally, limits) >= limits.log_pass:
        return Outcome.PASS, f"{_found(metric, tally)}: shown to keep the {limit}"
    return Outcome.INCONCLUSIVE, f"{_found(metric, tally)}, {limit}: {_missing(metric, tally, limits)}"


def _log_kept(metric: Metric, tally: Tally, limits: Limits) -> float:
    return evidence_below(limits.rates[metric], tally.canary.trials, tally.canary.events)


def _missing(metric: Metric, tally: Tally, limits: Limits) -> str:
    """How many requests more would decide, should the canary go on as it did."""
    try:
        needed = trials_to_show_below(
            limits.rates[metric], math.exp(-limits.log_pass), rate=tally.canary.rate or 0.0
        )
    except ValueError:
        return "no number of requests at this rate shows that the limit is kept"
    return f"about {max(1, needed - tally.canary.trials):,} more requests would show it"


def _found(metric: Metric, tally: Tally) -> str:
    counts = tally.canary
    return f"{counts.events:,} of {counts.trials:,} {_WORDS[metric]}"


def _percent(rate: float | None) -> str:
    return "not known" if rate is None else f"{rate:.3%}"


def _figures(tally: Tally) -> dict[str, object]:
    return {
        "canary": {"trials": tally.canary.trials, "events": tally.canary.events},
        "stable": {"trials": tally.stable.trials, "events": tally.stable.events},
        "log_e_canary_over_limit": round(tally.canary_over.log_wealth, 3),
        "log_e_canary_worse": round(tally.worse.log_wealth, 3),
    }
