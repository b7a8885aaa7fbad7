"""Does the service keep its promise? Pure: numbers in, verdict out.

PASS needs enough requests, offered as asked. A breach that the generator may have caused itself is
INCONCLUSIVE, never FAIL; a run that could not offer its load is INCONCLUSIVE, never PASS.
"""

import math

from loadtests.results import LoadResults
from modelway.contract import Outcome, Reason, Slo, Verdict
from modelway.stats.percentile import samples_for

LEAST_OFFERED = 0.95
"""Share of the planned requests that must have been sent."""
MOST_CPU = 0.9
"""Of one core: above it, the generator measures itself."""


def judge_load(results: LoadResults, slo: Slo) -> Verdict:
    """Hold one run against the SLO."""
    return Verdict.of(
        [_latency(results, slo), _errors(results, slo), _rejected(results, slo), _offered(results, slo)]
    )


def allowed_slow(samples: int, slo: Slo) -> int:
    """How many of `samples` may exceed the limit while the percentile still keeps it."""
    return samples - math.ceil(round(slo.latency_percentile * samples / 100.0, 9))


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
        certain = results.slow_by_server > allowed_slow(needed, slo) and not _overworked(results)
        return (Outcome.FAIL, slow) if certain else (Outcome.INCONCLUSIVE, f"{slow}; {needed} needed to say")
    allowed = allowed_slow(results.timed, slo)
    if results.slow <= allowed:
        return Outcome.PASS, f"{slow}, {allowed} allowed"
    if results.slow_by_server <= allowed:
        return Outcome.INCONCLUSIVE, f"{slow}, but only because the generator sent late"
    if _overworked(results):
        return (
            Outcome.INCONCLUSIVE,
            f"{slow}, but the generator used {results.generator_cpu_share:.0%} of a core",
        )
    return Outcome.FAIL, f"{slow}, {allowed} allowed"


def _overworked(results: LoadResults) -> bool:
    return results.generator_cpu_share > MOST_CPU


def _errors(results: LoadResults, slo: Slo) -> Reason:
    asked = results.judged - results.judged_rejected
    needed = samples_for(slo.latency_percentile)
    allowed = slo.max_error_rate * max(asked, needed)
    message = f"{results.judged_failed} of {asked} requests failed"
    ours = results.judged_never_sent if _overworked(results) else 0
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


def _rejected(results: LoadResults, slo: Slo) -> Reason:
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


def _offered(results: LoadResults, slo: Slo) -> Reason:
    enough = results.planned > 0 and results.offered_rps >= LEAST_OFFERED * results.planned_rps
    message = f"offered {results.offered_rps:.0f} of {results.planned_rps:.0f} planned requests a second"
    if results.asked_rps < slo.rate_rps:
        message += f"; the promise is for {slo.rate_rps:g}, which this run does not show"
    return Reason(
        metric="offered rate",
        outcome=Outcome.PASS if enough else Outcome.INCONCLUSIVE,
        message=message,
        found=results.offered_rps,
        limit=LEAST_OFFERED * results.planned_rps,
        unit="requests/s",
        samples=results.planned,
    )
