"""Does the service keep its promise? Pure: numbers in, verdict out.

PASS needs enough requests, offered as asked. A breach that the generator may have caused itself is
INCONCLUSIVE, never FAIL; a run that could not offer its load is INCONCLUSIVE, never PASS.
"""

from loadtests.results import LoadResults
from loadtests.rules import allowed_slow
from modelway.contract import Outcome, Reason, Slo, Verdict
from modelway.stats.percentile import samples_for

LEAST_OFFERED = 0.95
"""Share of the planned requests that must have been sent."""
MOST_CPU = 0.9
"""Of one core: above it, the generator measures itself."""


MOST_LAG = 0.5
"""Of the SLO's limit: a generator that wakes up later than this reads answers late by as much."""


def judge_slo(results: LoadResults, slo: Slo) -> Verdict:
    """Hold a run, or a phase of one, against the SLO."""
    return Verdict.of(
        [_latency(results, slo), _errors(results, slo), rejected(results, slo), offered(results, slo)]
    )


def _latency(results: LoadResults, slo: Slo) -> Reason:
    outcome, message = _latency_outcome(results, slo)
    return Reason(
        metric=f"latency p{slo.latency_percentile:g}",
        outcome=outcome,
        message=message,
        found=results.latency_ms.at.get(f"{slo.latency_percentile:g}"),
        limit=slo.latency_limit_ms,
        unit="ms",
        samples=results.timed,
    )


def _latency_outcome(results: LoadResults, slo: Slo) -> tuple[Outcome, str]:
    needed = samples_for(slo.latency_percentile)
    slow = f"{results.slow} of {results.timed} answers slower than {slo.latency_limit_ms:g} ms"
    if results.timed < needed:
        # The missing samples counted as fast: if that already breaks the limit, no more are needed.
        certain = results.slow_by_server > allowed_slow(needed, slo) and not overworked(results, slo)
        return (Outcome.FAIL, slow) if certain else (Outcome.INCONCLUSIVE, f"{slow}; {needed} needed to say")
    allowed = allowed_slow(results.timed, slo)
    if results.slow <= allowed:
        return Outcome.PASS, f"{slow}, {allowed} allowed"
    if results.slow_by_server <= allowed:
        return Outcome.INCONCLUSIVE, f"{slow}, but only because the generator sent late"
    if overworked(results, slo):
        return Outcome.INCONCLUSIVE, f"{slow}, but the generator {_strain(results)}"
    return Outcome.FAIL, f"{slow}, {allowed} allowed"


def overworked(results: LoadResults, slo: Slo) -> bool:
    """The generator was out of CPU, or asleep when answers came: its clock says nothing of the server."""
    lag_ms = results.generator_lag_ms.at.get("99", 0.0)
    return results.generator_cpu_share > MOST_CPU or lag_ms > MOST_LAG * slo.latency_limit_ms


def _strain(results: LoadResults) -> str:
    lag_ms = results.generator_lag_ms.at.get("99", 0.0)
    return f"used {results.generator_cpu_share:.0%} of a core and woke up to {lag_ms:.1f} ms late (p99)"


def _errors(results: LoadResults, slo: Slo) -> Reason:
    asked = results.judged - results.judged_rejected
    needed = samples_for(slo.latency_percentile)
    allowed = slo.max_error_rate * max(asked, needed)
    message = f"{results.judged_failed} of {asked} requests failed"
    ours = results.judged_never_sent if overworked(results, slo) else 0
    if results.judged_failed - ours > allowed:
        outcome = Outcome.FAIL
        message += f", first: {results.first_error}" if results.first_error else ""
    elif results.judged_failed > allowed:
        outcome, message = Outcome.INCONCLUSIVE, f"{ours} requests were never sent by a generator out of CPU"
    elif asked < needed:
        outcome, message = Outcome.INCONCLUSIVE, f"{message}; {needed} needed to say"
    else:
        outcome = Outcome.PASS
    return Reason(
        metric="error rate",
        outcome=outcome,
        message=message,
        found=results.judged_failed / asked if asked else None,
        limit=slo.max_error_rate,
        samples=asked,
    )


def rejected(results: LoadResults, slo: Slo) -> Reason:
    """4xx are ours: rows that the model does not take prove nothing about the server."""
    share = results.judged_rejected / results.judged if results.judged else 0.0
    wrong = share > slo.max_error_rate
    message = f"{results.judged_rejected} of {results.judged} requests were refused as wrong"
    return Reason(
        metric="rejected requests",
        outcome=Outcome.INCONCLUSIVE if wrong else Outcome.PASS,
        message=f"{message}, first: {results.first_error}" if wrong else message,
        found=share,
        limit=slo.max_error_rate,
        samples=results.judged,
    )


def offered(results: LoadResults, slo: Slo) -> Reason:
    """A load that was not offered shows nothing."""
    enough = results.judged > 0 and results.judged_offered_share >= LEAST_OFFERED
    message = f"offered {results.judged_offered_share:.1%} of {results.judged:,} planned requests in time"
    if not enough and overworked(results, slo):
        message += f": the generator is too slow for this rate, it {_strain(results)}"
    if results.asked_rps < slo.rate_rps:
        message += f"; the promise is for {slo.rate_rps:g}, which this run does not show"
    return Reason(
        metric="offered rate",
        outcome=Outcome.PASS if enough else Outcome.INCONCLUSIVE,
        message=message,
        found=results.judged_offered_share,
        limit=LEAST_OFFERED,
        unit="share of requests",
        samples=results.judged,
    )
