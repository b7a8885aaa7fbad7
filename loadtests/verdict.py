"""The verdict on a run: the SLO, and what its profile asks beside it. Pure: numbers in, verdict out."""

from collections.abc import Iterator

from loadtests.comparison import Comparison, ShareDifference
from loadtests.judge import judge_slo, offered, rejected
from loadtests.profiles import Flatness, Profile, Recovery, profile_of
from loadtests.results import LoadResults
from loadtests.rules import Recovered, Trends
from loadtests.saturation import saturation
from modelway.contract import Outcome, Reason, Slo, Verdict
from modelway.stats.paired_shares import pairs_to_show_below
from modelway.stats.percentile import samples_for

TOLERANCE = 0.5
"""How much worse B may be than A, as a share of what the SLO allows; as a rollout's judge has it."""
_ROOM = 1.25
"""A few bad answers must not leave the question open."""
ALPHA = 0.01
"""Chance to call B worse when both are alike, over both kinds of bad answer."""
LEAST_GROWTH_MB = 2.0
"""Growth below this is an allocator's rounding, whatever its share."""


def judge_load(results: LoadResults, slo: Slo, profile: str = "steady") -> Verdict:
    """Hold a run against the SLO and its profile's rules; a comparison, one revision against the other.

    Raises:
        ConfigError: There is no such profile.
    """
    if results.comparison is not None:
        return Verdict.of(_compared(results, slo, results.comparison))
    rules = profile_of(profile)
    judged = results.phases[0].results if rules.climbs and results.phases else results
    return Verdict.of([*judge_slo(judged, slo).reasons, *_by_profile(results, slo, rules)])


def seconds_to_compare(slo: Slo, rate_rps: float) -> float:
    """How long a comparison must last for spotless answers to show that B is not worse.

    A promise of no error at all cannot be shown; then the latency's number decides.
    """
    margins = [TOLERANCE * share for share in (slo.max_exceedance, slo.max_error_rate) if share > 0]
    return _ROOM * 2.0 * max(pairs_to_show_below(margin) for margin in margins) / rate_rps


def _by_profile(results: LoadResults, slo: Slo, profile: Profile) -> Iterator[Reason]:
    if profile.recovery:
        yield _recovery(results.recovery, profile.recovery, slo)
    if profile.flatness:
        yield from _flat(results, slo, profile.flatness)
    if profile.climbs:
        found = saturation(results, slo)
        unknown = found.limited_by in {"generator", "evidence"}
        yield Reason(
            metric="saturation",
            outcome=Outcome.INCONCLUSIVE if unknown or not found.steps else Outcome.PASS,
            message=found.text,
            found=found.kept_rps,
            unit="requests/s",
        )


def _recovery(found: Recovered | None, rule: Recovery, slo: Slo) -> Reason:
    outcome, message = _recovery_outcome(found, rule, slo)
    return Reason(
        metric="recovery",
        outcome=outcome,
        message=message,
        found=found.took_s if found else None,
        limit=rule.within_s,
        unit="s",
        samples=found.samples if found else 0,
    )


def _recovery_outcome(found: Recovered | None, rule: Recovery, slo: Slo) -> tuple[Outcome, str]:
    if found is None:
        return Outcome.INCONCLUSIVE, f"the run ended before {rule.after!r} was over"
    if found.took_by_server_s is None or found.took_by_server_s > rule.within_s:
        took = "never" if found.took_by_server_s is None else f"{found.took_by_server_s:.1f} s later"
        return Outcome.FAIL, f"the promise held again {took}; {rule.within_s:g} s allowed"
    if found.took_s is None or found.took_s > rule.within_s:
        return Outcome.INCONCLUSIVE, "late, but only because the generator sent late"
    needed = samples_for(slo.latency_percentile)
    message = f"the promise held again {found.took_s:.1f} s after the burst"
    if found.samples < needed:
        return Outcome.INCONCLUSIVE, f"{message}, by {found.samples} requests; {needed} needed to say"
    return Outcome.PASS, message


def _flat(results: LoadResults, slo: Slo, rule: Flatness) -> Iterator[Reason]:
    if results.trends is None:
        message = "the run ended before there was anything to see"
        yield Reason(metric="trends", outcome=Outcome.INCONCLUSIVE, message=message)
        return
    yield _flat_latency(results.trends, slo, rule)
    yield _flat_errors(results.trends, rule)
    yield _flat_memory(results, results.trends, rule)


def _flat_latency(trends: Trends, slo: Slo, rule: Flatness) -> Reason:
    found, limit = trends.latency_ms, rule.max_latency_growth * slo.latency_limit_ms
    if found.growth is None:
        outcome, message = Outcome.INCONCLUSIVE, f"{found.points} parts of the run have a median; 8 needed"
    else:
        outcome = Outcome.FAIL if found.rises_by(limit) else Outcome.PASS
        message = f"the median moved by {found.growth:+.2f} ms [{found.low:+.2f}, {found.high:+.2f}]"
    return Reason(
        metric="latency over time",
        outcome=outcome,
        message=message,
        found=found.growth,
        limit=limit,
        unit="ms",
        samples=found.points,
    )


def _flat_errors(trends: Trends, rule: Flatness) -> Reason:
    (first, of_first), (second, of_second) = trends.errors_first, trends.errors_second
    seen = of_first > 0 and of_second > 0
    rises = trends.errors_p < rule.alpha
    return Reason(
        metric="errors over time",
        outcome=Outcome.INCONCLUSIVE if not seen else Outcome.FAIL if rises else Outcome.PASS,
        message=f"{first} of {of_first:,} failed in the first half, {second} of {of_second:,} in the second",
        found=trends.errors_p,
        limit=rule.alpha,
        unit="chance if nothing changed",
        samples=of_first + of_second,
    )


def _flat_memory(results: LoadResults, trends: Trends, rule: Flatness) -> Reason:
    outcome, message = _memory_outcome(results, trends, rule)
    return Reason(
        metric="memory over time",
        outcome=outcome,
        message=message,
        found=trends.memory_mb.growth,
        limit=_growth_limit_mb(trends, rule),
        unit="MB",
        samples=trends.memory_mb.points,
    )


def _memory_outcome(results: LoadResults, trends: Trends, rule: Flatness) -> tuple[Outcome, str]:
    memory, found = results.memory, trends.memory_mb
    if memory is None:
        return Outcome.INCONCLUSIVE, "nobody looked: name processes or a /metrics address to watch"
    if memory.gone:
        return Outcome.FAIL, f"process {memory.gone[0]} ended during the run"
    if found.growth is None or found.low is None:
        return Outcome.INCONCLUSIVE, f"readable in {found.points} parts of the run; 8 needed"
    message = f"{memory.first_mb:.1f} MB at the beginning, {memory.last_mb:.1f} MB at the end"
    grew = found.rises_by(_growth_limit_mb(trends, rule))
    return (Outcome.FAIL if grew else Outcome.PASS), message


def _growth_limit_mb(trends: Trends, rule: Flatness) -> float:
    return max(LEAST_GROWTH_MB, rule.max_memory_growth * (trends.memory_mb.first or 0.0))


def _compared(results: LoadResults, slo: Slo, comparison: Comparison) -> Iterator[Reason]:
    yield _difference("slow answers", comparison.slow, TOLERANCE * slo.max_exceedance)
    yield _difference("failed answers", comparison.failed, TOLERANCE * slo.max_error_rate)
    wrong = comparison.misrouted
    yield Reason(
        metric="routing",
        outcome=Outcome.INCONCLUSIVE if wrong else Outcome.PASS,
        message=f"{wrong} answers came from another revision than the one asked",
        found=wrong,
        limit=0,
        samples=results.planned,
    )
    yield rejected(results, slo)
    yield offered(results, slo)


def _difference(metric: str, found: ShareDifference, margin: float) -> Reason:
    outcome, message = _difference_outcome(found, margin)
    return Reason(
        metric=metric,
        outcome=outcome,
        message=message,
        found=found.counts.difference if found.counts.pairs else None,
        limit=margin,
        unit="share of requests, B less A",
        samples=found.counts.pairs,
    )


def _difference_outcome(found: ShareDifference, margin: float) -> tuple[Outcome, str]:
    counts = found.counts
    if found.low is None or found.high is None:
        return Outcome.INCONCLUSIVE, "no pair to compare"
    said = f"A {counts.share_a:.3%}, B {counts.share_b:.3%}, B less A [{found.low:+.3%}, {found.high:+.3%}]"
    if found.p_worse < ALPHA / 2.0:
        return Outcome.FAIL, f"B is worse: {said}, p = {found.p_worse:.2g}"
    if margin <= 0:
        return Outcome.INCONCLUSIVE, f"{said}; the SLO allows none, and no number of requests shows that"
    if found.high <= margin:
        return Outcome.PASS, f"B is no more than {margin:.3%} worse: {said}"
    needed = pairs_to_show_below(margin)
    return Outcome.INCONCLUSIVE, f"{said}; {needed:,} clean pairs would show less than {margin:.3%}"
