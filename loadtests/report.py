"""A load test's page for people, self-contained."""

from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from loadtests.results import LatencySummary, LoadResults, Requests
from modelway.contract import Slo, Verdict
from modelway.evaluation.page import figure, page, section, table
from modelway.monitoring.charts import line_chart, number, verdict_block
from modelway.stats.percentile import percentile

_PERCENTS = ("p50", "p90", "p95", "p99", "p99.9", "max")
_MOST_POINTS = 300


def render(  # noqa: PLR0913 - what a page shows
    title: str, about: str, *, slo: Slo, results: LoadResults, verdict: Verdict, requests: Requests
) -> str:
    """The whole page.

    Args:
        title: Heading.
        about: One line: where the load went, how much of it.
        slo: What was promised.
        results: The numbers.
        verdict: The judgement on them.
        requests: Every request, for the picture over time.
    """
    body = (
        f"<p>{escape(about)}</p>{verdict_block(verdict)}"
        + section("Latency", "Milliseconds. Corrected: from when the request was due.", _latencies(results))
        + section(
            "Over time", "A stall shows in every request it delayed.", _over_time(slo, results, requests)
        )
        + section("By revision", "Who answered.", _revisions(results))
        + section("Requests", "All of them, judged or not.", _counts(results))
    )
    return page(title, body)


def _latencies(results: LoadResults) -> str:
    shown = (
        ("corrected", results.latency_ms),
        ("from when it was sent", results.service_ms),
        ("the generator's own lateness", results.generator_late_ms),
    )
    rows = [(escape(name), *_at(summary), f"{summary.samples:,}") for name, summary in shown]
    return table(("", *_PERCENTS, "samples"), rows, numbers=frozenset(range(1, 8)))


def _at(summary: LatencySummary) -> list[str]:
    return [number(summary.at.get(name)) for name in ("50", "90", "95", "99", "99.9", "100")]


def _revisions(results: LoadResults) -> str:
    rows = [
        (escape(r.revision), f"{r.requests:,}", f"{r.failed:,}", *_at(r.latency_ms))
        for r in results.revisions
    ]
    return table(("revision", "requests", "failed", *_PERCENTS), rows, numbers=frozenset(range(1, 9)))


def _counts(results: LoadResults) -> str:
    head = ("planned", "answered", "failed", "refused as wrong", "never sent", "generator's share of a core")
    counts = (results.planned, results.ok, results.failed, results.rejected, results.never_sent)
    return table(head, [(*(f"{n:,}" for n in counts), f"{results.generator_cpu_share:.0%}")])


def _over_time(slo: Slo, results: LoadResults, requests: Requests) -> str:
    step_s = max(1, round(results.duration_s / _MOST_POINTS))
    second = (requests.due_s // step_s).astype(np.int64)
    steps = range(int(results.duration_s // step_s) + 1)
    answered = [requests.corrected_ms[requests.ok & (second == k)] for k in steps]
    middle = [_percentile(values, 50.0) for values in answered]
    tail = [_percentile(values, slo.latency_percentile) for values in answered]
    failed = [float((requests.failed & (second == k)).sum()) for k in steps]
    figures = _latency_figure(slo, middle, tail, results) + _failure_figure(failed, results)
    return f'<div class="grid">{figures}</div>'


def _percentile(values: npt.NDArray[np.float64], percent: float) -> float | None:
    return percentile(values, percent) if values.size else None


def _latency_figure(
    slo: Slo, middle: Sequence[float | None], tail: Sequence[float | None], results: LoadResults
) -> str:
    return figure(
        "Corrected latency, ms",
        line_chart((middle, tail), ends=("0 s", f"{results.duration_s:.0f} s"), limit=slo.latency_limit_ms),
        f"By the second in which a request was due. Dashed: {slo.latency_limit_ms:g} ms.",
        key=("median", f"p{slo.latency_percentile:g}"),
    )


def _failure_figure(failed: Sequence[float], results: LoadResults) -> str:
    return figure(
        "Failed requests",
        line_chart((failed,), ends=("0 s", f"{results.duration_s:.0f} s")),
        "By the second in which a request was due.",
        key=("failed",),
    )
