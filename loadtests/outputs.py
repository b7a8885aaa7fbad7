"""What a load test leaves behind: verdict.json, requests.csv, report.html, junit.xml."""

import csv
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from loadtests.options import LoadOptions
from loadtests.outcomes import Requests
from loadtests.profiles import profile_of
from loadtests.results import LoadResults
from loadtests.saturation import Saturation, saturation
from modelway.contract import Frozen, Outcome, Slo, Verdict
from modelway.errors import NotFoundError, StorageError

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
    saturation: Saturation | None = None
    """Of a run that climbs."""

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
    climbs = profile_of(options.profile).climbs and not (options.once or options.revisions)
    report = LoadReport(
        url=options.url,
        model=options.model,
        profile=_profile(options),
        users=options.user_count,
        slo=options.slo,
        results=results,
        verdict=verdict,
        folder=str(options.out),
        saturation=saturation(results, options.slo) if climbs else None,
    )
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        _write_csv(options.out / CSV_FILE, requests)
        (options.out / HTML_FILE).write_text(_page(report, requests), "utf-8")
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


def _page(report: LoadReport, requests: Requests) -> str:
    from loadtests.report import render  # noqa: PLC0415 - a second, which whoever only reads need not pay

    return render(report, requests)


def _profile(options: LoadOptions) -> str:
    if options.revisions:
        return f"{options.profile}, comparing"
    return "once" if options.once else options.profile


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
                "asked",
            )
        )
        out.writerows(_csv_rows(requests))


def _csv_rows(requests: Requests) -> Iterator[tuple[object, ...]]:
    numbers = (requests.due_s, requests.corrected_ms, requests.service_ms, requests.generator_late_ms)
    asked = [""] * requests.status.size if requests.arm is None else ["AB"[arm] for arm in requests.arm]
    texts = (requests.status.tolist(), requests.judged.tolist(), requests.revision, requests.error, asked)
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
