"""What a load test leaves behind: verdict.json, requests.csv, report.html, junit.xml."""

import csv
from collections.abc import Iterator
from html import escape
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from loadtests.options import LoadOptions
from loadtests.results import LatencySummary, LoadResults, Requests
from modelway.contract import Frozen, Outcome, Slo, Verdict
from modelway.errors import NotFoundError, StorageError
from modelway.monitoring.html import Line, line_chart, page, table, verdict_table
from modelway.stats.percentile import percentile

VERDICT_FILE, CSV_FILE, HTML_FILE, JUNIT_FILE = "verdict.json", "requests.csv", "report.html", "junit.xml"


class LoadReport(Frozen):
    """One finished load test."""

    url: str
    model: str
    profile: str
    users: int
    slo: Slo
    results: LoadResults
    verdict: Verdict
    folder: str
    """Where the files lie."""

    @property
    def page(self) -> Path:
        """The page for people."""
        return Path(self.folder) / HTML_FILE


def read_report(folder: Path) -> LoadReport:
    """The report of a finished load test.

    Raises:
        NotFoundError: There is none in the folder.
    """
    path = folder / VERDICT_FILE
    if not path.exists():
        raise NotFoundError(
            f"no load test has finished in {folder}",
            expected=VERDICT_FILE,
            remedy="run `modelway loadtest run`, or look at its log there",
        )
    return LoadReport.model_validate_json(path.read_text("utf-8"))


def write_outputs(
    options: LoadOptions, requests: Requests, results: LoadResults, verdict: Verdict
) -> LoadReport:
    """Write every file, the verdict last: where it stands, the others stand too.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    report = LoadReport(
        url=options.url,
        model=options.model,
        profile="once" if options.once else options.profile,
        users=options.user_count,
        slo=options.slo,
        results=results,
        verdict=verdict,
        folder=str(options.out),
    )
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        _write_csv(options.out / CSV_FILE, requests)
        (options.out / HTML_FILE).write_text(render_page(report, requests), "utf-8")
        (options.out / JUNIT_FILE).write_bytes(junit(report))
        partial = options.out / f"{VERDICT_FILE}.tmp"
        partial.write_text(report.model_dump_json(indent=2), "utf-8")
        partial.replace(options.out / VERDICT_FILE)
    except OSError as error:
        raise StorageError(
            f"cannot write the load test's files to {options.out}: {error.strerror}",
            expected="room and permission",
            remedy="free space or name another --out",
        ) from error
    return report


def _write_csv(path: Path, requests: Requests) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(
            (
                "due_s",
                "latency_ms",
                "service_ms",
                "generator_late_ms",
                "status",
                "judged",
                "revision",
                "error",
            )
        )
        out.writerows(_csv_rows(requests))


def _csv_rows(requests: Requests) -> Iterator[tuple[object, ...]]:
    numbers = (requests.due_s, requests.corrected_ms, requests.service_ms, requests.generator_late_ms)
    texts = (requests.status.tolist(), requests.judged.tolist(), requests.revision, requests.error)
    yield from zip(*(np.round(n, 4).tolist() for n in numbers), *texts, strict=True)


def junit(report: LoadReport) -> bytes:
    """One test case per reason: FAIL is a failure, INCONCLUSIVE an error, so that CI shows which."""
    reasons = report.verdict.reasons
    suite = ET.Element(
        "testsuite",
        name=f"load test {report.model} ({report.profile})",
        tests=str(len(reasons)),
        failures=str(sum(r.outcome is Outcome.FAIL for r in reasons)),
        errors=str(sum(r.outcome is Outcome.INCONCLUSIVE for r in reasons)),
        time=f"{report.results.duration_s:.1f}",
    )
    for reason in reasons:
        case = ET.SubElement(suite, "testcase", classname="loadtests", name=reason.metric)
        if reason.outcome is not Outcome.PASS:
            tag = "failure" if reason.outcome is Outcome.FAIL else "error"
            ET.SubElement(case, tag, message=_xml_text(reason.message))
    document: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document


def _xml_text(text: str) -> str:
    """Without the control characters that XML forbids; an error text may hold any byte."""
    return "".join(c if c.isprintable() else "?" for c in text)


def render_page(report: LoadReport, requests: Requests) -> str:
    """The page for people, self-contained."""
    results = report.results
    asked = f"{results.asked_rps:g} requests/s for {results.duration_s:.0f} s, profile {report.profile}"
    body = (
        f"<p>{escape(report.url)} · {report.users} connections · {asked}</p>"
        f"{verdict_table(report.verdict)}<h2>Latency, milliseconds</h2>{_latencies(results)}"
        f"<h2>Second by second</h2>{_over_time(report, requests)}"
        f"<h2>By revision</h2>{_revisions(results)}"
        f"<h2>Requests</h2>{_counts(results)}"
    )
    return page(f"Load test of {report.model}", body)


def _latencies(results: LoadResults) -> str:
    shown = (
        ("corrected: from when it was due", results.latency_ms),
        ("service: from when it was sent", results.service_ms),
        ("of it the generator's own lateness", results.generator_late_ms),
    )
    return table(("", *_PERCENTS, "samples"), [(name, *_at(s), s.samples) for name, s in shown])


_PERCENTS = ("p50", "p90", "p95", "p99", "p99.9", "max")


def _at(summary: LatencySummary) -> list[float | None]:
    return [summary.at.get(name) for name in ("50", "90", "95", "99", "99.9", "100")]


def _revisions(results: LoadResults) -> str:
    rows = [(r.revision, r.requests, r.failed, *_at(r.latency_ms)) for r in results.revisions]
    return table(("revision", "requests", "failed", *_PERCENTS), rows)


def _counts(results: LoadResults) -> str:
    head = ("planned", "answered", "failed", "refused as wrong", "never sent", "generator's share of a core")
    row = (results.planned, results.ok, results.failed, results.rejected, results.never_sent)
    return table(head, [(*row, f"{results.generator_cpu_share:.0%}")])


def _over_time(report: LoadReport, requests: Requests) -> str:
    """Median and judged percentile of the requests due in each second."""
    seconds = int(np.ceil(report.results.duration_s)) or 1
    step_s = max(1, seconds // 300)
    middle, tail = [], []
    for start in range(0, seconds, step_s):
        due = (requests.due_s >= start) & (requests.due_s < start + step_s) & requests.ok
        values = requests.corrected_ms[due]
        middle.append(percentile(values, 50.0) if values.size else None)
        tail.append(percentile(values, report.slo.latency_percentile) if values.size else None)
    lines = (
        Line("median, ms", middle, "a"),
        Line(f"p{report.slo.latency_percentile:g}, ms (limit dashed)", tail, "b"),
    )
    return line_chart(lines, labels=("start", f"{seconds} s"), limit=report.slo.latency_limit_ms)
