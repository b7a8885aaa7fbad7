"""A load test's page for people, self-contained."""

from collections.abc import Iterator
from html import escape
from itertools import pairwise

import numpy as np

from loadtests.charts import Band, tail_chart, time_chart
from loadtests.outcomes import Flags, Floats, Requests
from loadtests.outputs import LoadReport
from loadtests.results import LatencySummary, LoadResults
from modelway.contract import Slo, Verdict
from modelway.evaluation.page import banner, figure, mark, page, section, table, tiles
from modelway.monitoring.charts import number
from modelway.stats.percentile import percentile

_PERCENTS = {"p50": "50", "p90": "90", "p95": "95", "p99": "99", "p99.9": "99.9", "max": "100"}
_NUMBERS = frozenset(range(1, 9))
_MOST_POINTS = 150
_CURVE = (50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.8, 99.9)


def render(report: LoadReport, requests: Requests) -> str:
    """The whole page.

    Args:
        report: The numbers and the judgement on them.
        requests: Every request, for the pictures.
    """
    results, slo = report.results, report.slo
    asked = f"{results.asked_rps:g} requests/s for {results.duration_s:.0f} s, profile {report.profile}"
    parts = (
        f'<p class="soft">{escape(f"{report.url}, {report.users} connections, {asked}")}</p>',
        banner(report.verdict.outcome, _why(report.verdict)),
        _reasons(report.verdict),
        tiles(_tiles(results, slo)),
        _comparison(results, requests, slo),
        section("Latency", _HOW, _latencies(results, slo), _pictures(slo, results, requests)),
        _steps(report),
        section("By revision", "Who answered.", _revisions(results)),
        section("The generator", _GENERATOR, _counts(results)),
    )
    return page(f"Load test of {report.model}", "".join(parts))


_HOW = (
    "Milliseconds. Corrected: from when a request was due, so a stall shows in every request it delayed. "
    "Below each percentile its 95% interval; a dash for an end that the sample is too small to give."
)
_GENERATOR = (
    "It sends on a schedule and never waits for an answer. What it adds itself is measured, and a breach "
    "that it may have caused is never held against the server."
)


def _why(verdict: Verdict) -> str:
    telling = [r for r in verdict.reasons if r.outcome is verdict.outcome]
    if verdict.passed:
        return f"all {len(telling)} checks"
    return "; ".join(f"{reason.metric}: {reason.message}" for reason in telling)


def _reasons(verdict: Verdict) -> str:
    """Two columns, which a telephone can show; the messages hold the numbers."""
    rows = [
        (f"{mark(reason.outcome)}<br>{escape(reason.metric)}", escape(reason.message))
        for reason in verdict.reasons
    ]
    return table(("checked", "what was seen"), rows)


def _tiles(results: LoadResults, slo: Slo) -> Iterator[tuple[str, str, str]]:
    name = f"{slo.latency_percentile:g}"
    at = results.latency_ms.at.get(name)
    yield f"p{name}, corrected", _ms(at), f"limit {slo.latency_limit_ms:g} ms"
    yield "median, corrected", _ms(results.latency_ms.at.get("50")), f"{results.timed:,} timed requests"
    yield "failed", f"{results.failed:,}", f"of {results.planned:,} requests"
    yield "offered", f"{results.offered_rps:.0f}/s", f"{results.planned_rps:.0f}/s planned"
    if results.memory is not None and results.memory.mb:
        first, last = results.memory.first_mb, results.memory.last_mb
        yield "memory at the end", f"{last:.1f} MB", f"{first:.1f} MB at the beginning"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{number(value)} ms"


def _latencies(results: LoadResults, slo: Slo) -> str:
    shown = (
        ("corrected", results.latency_ms),
        ("from when it was sent", results.service_ms),
    )
    rows = [(escape(name), *_with_intervals(each), f"{each.samples:,}") for name, each in shown]
    limit = f"{results.slow:,} of {results.timed:,} slower than {slo.latency_limit_ms:g} ms."
    head = ("", *_PERCENTS, "samples")
    return table(head, rows, numbers=_NUMBERS) + f'<p class="soft">{escape(limit)}</p>'


def _with_intervals(summary: LatencySummary) -> list[str]:
    return [_with_interval(summary, name) for name in _PERCENTS.values()]


def _with_interval(summary: LatencySummary, name: str) -> str:
    if name not in summary.at:
        return "-"
    interval = summary.between.get(name)
    below = "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"
    return f'{number(summary.at[name])}<br><span class="soft">{below}</span>'


def _revisions(results: LoadResults) -> str:
    rows = [
        (escape(r.revision), f"{r.requests:,}", f"{r.failed:,}", *_with_intervals(r.latency_ms))
        for r in results.revisions
    ]
    return table(("revision", "requests", "failed", *_PERCENTS), rows, numbers=_NUMBERS)


def _counts(results: LoadResults) -> str:
    late, lag = results.generator_late_ms.at, results.generator_lag_ms.at
    rows = (
        ("planned", f"{results.planned:,}"),
        ("answered", f"{results.ok:,}"),
        ("refused as wrong", f"{results.rejected:,}"),
        ("never sent, or sent too late to count", f"{results.never_sent:,}, {results.sent_late:,}"),
        ("sent late, p99", _ms(late.get("99"))),
        ("woke up late, p99 and max", f"{_ms(lag.get('99'))}, {_ms(lag.get('100'))}"),
        ("share of a core", f"{results.generator_cpu_share:.0%}"),
        ("requests/s at which the core would be full", number(results.generator_limit_rps)),
    )
    return table(("", ""), rows, numbers=frozenset({1}))


def _pictures(slo: Slo, results: LoadResults, requests: Requests) -> str:
    figures = [
        _latency_figure(slo, results, requests),
        _tail_figure(slo, requests),
        _rate_figure(results, requests),
    ]
    if results.failed:
        figures.append(_failure_figure(results, requests))
    if results.memory is not None and results.memory.mb:
        figures.append(_memory_figure(results))
    return f'<div class="grid" style="margin-top:14px">{"".join(figures)}</div>'


def _bins(results: LoadResults) -> Floats:
    step_s = max(1.0, round(results.duration_s / _MOST_POINTS))
    return np.arange(0.0, max(results.duration_s, step_s / 2) + step_s, step_s)


def _latency_figure(slo: Slo, results: LoadResults, requests: Requests) -> str:
    edges, answered = _bins(results), requests.ok
    due, latency = requests.due_s[answered], requests.corrected_ms[answered]
    parts = [latency[(due >= a) & (due < b)] for a, b in pairwise(edges)]
    middles = ((edges[:-1] + edges[1:]) / 2).tolist()
    lines = [
        [(at, percentile(part, p) if part.size else None) for at, part in zip(middles, parts, strict=True)]
        for p in (50.0, slo.latency_percentile)
    ]
    return figure(
        "Corrected latency over time, ms",
        time_chart(lines, end_s=results.duration_s, limit=slo.latency_limit_ms, bands=tuple(_bands(results))),
        f"By the second in which a request was due. Dashed: {slo.latency_limit_ms:g} ms.",
        key=("median", f"p{slo.latency_percentile:g}"),
    )


def _tail_figure(slo: Slo, requests: Requests) -> str:
    chosen = requests.timed(slo.latency_limit_ms) & requests.judged
    lines = [_curve(each[chosen]) for each in (requests.corrected_ms, requests.service_ms)]
    return figure(
        "Latency by percentile, ms",
        tail_chart(lines, limit=slo.latency_limit_ms),
        "Where the lines part, requests waited before they could be sent: a closed loop would not see it.",
        key=("corrected", "from when it was sent"),
    )


def _curve(values: Floats) -> list[tuple[float, float | None]]:
    """Only as far into the tail as one observation reaches."""
    return [(p, percentile(values, p)) for p in _CURVE if values.size * (1 - p / 100) >= 1]


def _rate_figure(results: LoadResults, requests: Requests) -> str:
    edges = _bins(results)
    due, sent = (np.histogram(at, edges)[0] for at in (requests.due_s, requests.sent_s[requests.sent]))
    width, middles = np.diff(edges), ((edges[:-1] + edges[1:]) / 2).tolist()
    width[-1] = min(width[-1], results.duration_s - edges[-2]) or width[-1]
    lines = [list(zip(middles, (counts / width).tolist(), strict=True)) for counts in (due, sent)]
    return figure(
        "Requests per second",
        time_chart(lines, end_s=results.duration_s, bands=tuple(_bands(results))),
        "A gap between the two is load that was not offered in time.",
        key=("due", "sent"),
    )


def _failure_figure(results: LoadResults, requests: Requests) -> str:
    edges = _bins(results)
    failed = np.histogram(requests.due_s[requests.failed], edges)[0].tolist()
    line = list(zip(((edges[:-1] + edges[1:]) / 2).tolist(), failed, strict=True))
    return figure(
        "Failed requests",
        time_chart([line], end_s=results.duration_s, bands=tuple(_bands(results))),
        "By the second in which a request was due.",
        key=("failed",),
    )


def _memory_figure(results: LoadResults) -> str:
    memory = results.memory
    line = [] if memory is None else list(zip(memory.at_s, memory.mb, strict=True))
    return figure(
        "Resident memory of the server, MB",
        time_chart([line], end_s=results.duration_s, bands=tuple(_bands(results))),
        "All watched processes together.",
        key=("resident",),
    )


def _bands(results: LoadResults) -> Iterator[Band]:
    for phase in results.phases:
        yield Band(phase.name, phase.start_s, phase.start_s + phase.results.duration_s)


def _steps(report: LoadReport) -> str:
    if len(report.results.phases) < 2:  # noqa: PLR2004 - one phase is the run
        return ""
    outcomes = {step.rate_rps: step.outcome for step in report.saturation.steps} if report.saturation else {}
    name = f"{report.slo.latency_percentile:g}"
    rows = [
        (
            escape(phase.name),
            f"{phase.rate_rps:g}",
            number(phase.results.offered_rps),
            _with_interval(phase.results.latency_ms, "50"),
            _with_interval(phase.results.latency_ms, name),
            f"{phase.results.failed:,}",
            f"{phase.results.generator_cpu_share:.0%}",
            _standing(phase.judged, mark(outcomes[phase.rate_rps]) if phase.rate_rps in outcomes else ""),
        )
        for phase in report.results.phases
    ]
    head = ("phase", "planned/s", "offered/s", "p50", f"p{name}", "failed", "generator's core", "")
    lead = report.saturation.text if report.saturation else "Each phase by itself."
    return section("By phase", lead, table(head, rows, numbers=frozenset(range(1, 7))))


def _standing(judged: bool, outcome: str) -> str:
    return outcome or ("judged" if judged else "shown, not judged")


def _comparison(results: LoadResults, requests: Requests, slo: Slo) -> str:
    found = results.comparison
    if found is None or requests.arm is None:
        return ""
    timed = requests.timed(slo.latency_limit_ms)
    sides: list[Flags] = [timed & (requests.arm == arm) for arm in (0, 1)]
    rows = [
        (name, escape(revision), *_with_intervals(LatencySummary.of(requests.by_server_ms[side])))
        for name, revision, side in zip("AB", (found.a, found.b), sides, strict=True)
    ]
    picture = figure(
        "Latency by percentile, ms",
        tail_chart([_curve(requests.by_server_ms[side]) for side in sides], limit=slo.latency_limit_ms),
        "From when a request was due, the generator's own lateness taken off.",
        key=(f"A {found.a}", f"B {found.b}"),
    )
    arms = table(("", "revision", *_PERCENTS), rows, numbers=frozenset(range(2, 8)))
    return section("A and B", _PAIRED, arms, f'<div class="grid" style="margin-top:14px">{picture}</div>')


_PAIRED = "Every row went to both, in random order, within the same run: both saw the same conditions."
