"""From everything that was seen in a run to its results: whole, by phase, by rule."""

from collections.abc import Iterator, Sequence

from loadtests.comparison import compare
from loadtests.options import LoadOptions
from loadtests.outcomes import Requests
from loadtests.profiles import Profile, profile_of
from loadtests.results import LatencySummary, LoadResults, PhaseResults, rate_of_a_core, summarise
from loadtests.rules import Recovered, Trends, recovered, trends
from loadtests.schedule import Span
from loadtests.vitals import Vitals
from modelway.contract import Slo


def analyse(  # noqa: PLR0913 - a run is five things beside its options
    options: LoadOptions,
    requests: Requests,
    spans: Sequence[Span],
    vitals: Vitals,
    *,
    duration_s: float,
    cpu_share: float,
) -> LoadResults:
    """Count a finished run and look at it as its profile asks.

    Args:
        options: What was asked for.
        requests: Everything that was due.
        spans: The phases that began.
        vitals: How the generator and the server's processes did.
        duration_s: How long load was offered.
        cpu_share: What the generator used of one core, answers awaited included.
    """
    whole = summarise(
        requests, options.slo, asked_rps=options.rate, duration_s=duration_s, cpu_share=cpu_share
    )
    profile = profile_of(options.profile)
    rules = {} if options.once else _by_rule(profile, requests, spans, vitals, options.slo)
    cpu_s = vitals.cpu_s[-1] if vitals.cpu_s else 0.0  # until the last answer, as the requests are
    more = {
        "generator_limit_rps": rate_of_a_core(whole.planned - whole.never_sent, cpu_s),
        "generator_lag_ms": LatencySummary.of(vitals.lag_ms(0.0, duration_s)),
        "phases": tuple(_phases(requests, spans, vitals, options.slo)),
        "memory": vitals.memory,
        "comparison": compare(requests, options.revisions, options.slo) if options.revisions else None,
    }
    return whole.model_copy(update=more | rules)


def _phases(requests: Requests, spans: Sequence[Span], vitals: Vitals, slo: Slo) -> Iterator[PhaseResults]:
    for span in spans:
        mine = requests.only((requests.due_s >= span.start_s) & (requests.due_s < span.end_s))
        results = summarise(
            mine,
            slo,
            asked_rps=span.rate_rps,
            duration_s=span.end_s - span.start_s,
            cpu_share=vitals.cpu_share(span.start_s, span.end_s),
            end_s=span.end_s,
        )
        lag = LatencySummary.of(vitals.lag_ms(span.start_s, span.end_s))
        yield PhaseResults(
            name=span.name,
            start_s=span.start_s,
            rate_rps=span.rate_rps,
            judged=span.judged,
            results=results.model_copy(update={"generator_lag_ms": lag}),
        )


def _by_rule(
    profile: Profile, requests: Requests, spans: Sequence[Span], vitals: Vitals, slo: Slo
) -> dict[str, Recovered | Trends]:
    found: dict[str, Recovered | Trends] = {}
    burst = [span for span in spans if profile.recovery and span.name == profile.recovery.after]
    if burst:
        found["recovery"] = recovered(requests, slo, burst[0].name, burst[0].end_s)
    if profile.flatness and spans:
        end_s = spans[-1].end_s
        start_s = profile.flatness.settle_share * end_s
        found["trends"] = trends(requests, vitals.memory, start_s=start_s, end_s=end_s)
    return found
