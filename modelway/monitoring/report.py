"""The monitoring page for people: what differs, how the model fares, what it asks for."""

from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

from pydantic import ValidationError

from modelway.contract import Outcome
from modelway.errors import NotFoundError, StorageError
from modelway.evaluation.page import figure, mark, page, section, table, tiles
from modelway.monitoring.charts import line_chart, number, sparkline, verdict_block
from modelway.monitoring.drift import ColumnDrift, DriftReport, largest_effect
from modelway.monitoring.monitor import MonitoringReport
from modelway.monitoring.performance import ASSUMPTION, PerformanceReport, WindowPerformance
from modelway.monitoring.policy import DriftPolicy

_ENOUGH_TO_DRAW = 30
"""Matured rows of a window below which its point would only be noise that spoils the scale."""


_PAGES = {
    "monitoring": "drift and performance",
    "skew": "served features against training's",
    "evidently": "Evidently's drift page",
}
"""How names of a day's pages begin, and what they show."""


def render_monitoring(report: MonitoringReport, policy: DriftPolicy | None = None, links: str = "") -> str:
    """One self-contained HTML document.

    Args:
        report: What was found.
        policy: What the alarms were set to.
        links: To other pages of that day, from `links_beside`.
    """
    decision = report.decision
    body = (
        links
        + tiles(_numbers(report))
        + section("What it asks for", _asked(report), verdict_block(decision.verdict))
        + _drift(report.drift, policy or DriftPolicy())
        + _performance(report.performance)
    )
    return page(f"{report.model}: monitoring as of {report.as_of:%Y-%m-%d}", body)


def write_monitoring(report: MonitoringReport, path: Path, policy: DriftPolicy | None = None) -> Path:
    """Write the page, and beside it the same as `.json` for machines; each appears whole or not at all.

    It links to the day's other pages that are there: write it again when one has come (`link_monitoring`).

    Raises:
        StorageError: It cannot be written.
    """
    html = render_monitoring(report, policy, links_beside(path))
    write_page(path, html, report.model_dump_json(indent=2))
    return path


def link_monitoring(path: Path) -> None:
    """Draw a look's page anew, so that it links to pages of its day that were written since.

    Nothing is done where nobody has looked on that day.

    Raises:
        StorageError: It cannot be written.
    """
    with suppress(NotFoundError):
        write_monitoring(read_monitoring(path), path)


def links_beside(path: Path) -> str:
    """Links to the other pages of a page's day that are there, as HTML; nothing where there is none."""
    kind, _, day = path.stem.partition("-")
    others = {name: path.with_name(f"{name}-{day}{path.suffix}") for name in _PAGES if name != kind}
    found = [
        f'<a href="{escape(page.name)}">{escape(_PAGES[name])}</a>'
        for name, page in others.items()
        if page.is_file()
    ]
    return f'<p class="lead">Of the same day: {" · ".join(found)}</p>' if found else ""


def write_page(path: Path, html: str, json: str) -> None:
    """Write a page, and beside it its twin for machines as `.json`; each appears whole or not at all.

    Raises:
        StorageError: They cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path.with_suffix(".json"), json)
        _replace(path, html)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}",
            expected="room and permission",
            remedy="free space or name another path",
        ) from error


def read_monitoring(path: Path) -> MonitoringReport:
    """The report behind a page, from the `.json` beside it.

    Raises:
        NotFoundError: There is none, or it is none of ours.
    """
    try:
        return MonitoringReport.model_validate_json(path.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValidationError) as error:
        raise NotFoundError(
            f"no monitoring report at {path.with_suffix('.json')}",
            expected="one written by write_monitoring",
            remedy="`modelway monitor run` writes one",
        ) from error


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.tmp")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def _asked(report: MonitoringReport) -> str:
    decision = report.decision
    if decision.retrain:
        return f"A new model, because of {', '.join(decision.causes)}."
    if decision.held_back:
        return f"A new model ({', '.join(decision.causes)}), but not yet: {decision.held_back}."
    if decision.verdict.outcome is Outcome.INCONCLUSIVE:
        return "Nothing that can be confirmed; not every signal could be seen."
    return "Nothing: every signal was seen, and none asks for a new model."


def _numbers(report: MonitoringReport) -> list[tuple[str, str, str]]:
    judged = report.performance.judged
    drifted = len(report.drift.drifted)
    return [
        ("predictions looked at", f"{report.predictions:,}", report.missing or _whose(report)),
        ("drifted", str(drifted), f"of {len(report.drift.columns)} series"),
        _auc_tile(judged, report.performance),
        ("matured labels judged", f"{judged.matured:,}" if judged else "0", _span(judged)),
    ]


def _whose(report: MonitoringReport) -> str:
    by_rule = f", {report.fallbacks:,} by its fallback rule" if report.fallbacks else ""
    return f"bundle {report.bundle[:12]}{by_rule}"


def _auc_tile(judged: WindowPerformance | None, performance: PerformanceReport) -> tuple[str, str, str]:
    found = judged.metrics.roc_auc.text() if judged else "not known yet"
    return ("matured ROC-AUC", found, f"reference {number(performance.reference_roc_auc)}")


def _span(judged: WindowPerformance | None) -> str:
    return f"{judged.since:%Y-%m-%d} to {judged.until:%Y-%m-%d}" if judged else "none has matured"


def _drift(report: DriftReport, policy: DriftPolicy) -> str:
    lead = (
        f"Alarm: significant (Benjamini-Hochberg at {policy.false_discovery_rate:g}) and an effect of "
        f"{policy.alarm_effect:g} or more in {policy.needed} of the last {policy.recent} windows. "
        f"Reference: {report.reference_rows:,} rows."
    )
    head = ("", "series", "effect by window", "effect now", "p now, adjusted", "PSI", "JS", "mean now")
    columns = sorted(report.columns, key=lambda c: (c.outcome is not Outcome.FAIL, -_effect_now(c)))
    rows = [_drift_row(column, policy) for column in columns]
    return section("Drift", lead, table(head, rows, numbers=frozenset({3, 4, 5, 6, 7})))


def _effect_now(column: ColumnDrift) -> float:
    newest = column.differences[-1] if column.differences else None
    return largest_effect(column) if newest is None else newest.effect


def _drift_row(column: ColumnDrift, policy: DriftPolicy) -> tuple[str, ...]:
    now = column.differences[-1] if column.differences else None
    effects = [d.effect if d else None for d in column.differences]
    sign = "<span>warning</span>" if column.warning else mark(column.outcome)
    figures = (now.effect, now.adjusted_p, now.psi, now.js, now.mean) if now else (None,) * 5
    return (
        sign,
        escape(column.name),
        sparkline(effects, limit=policy.alarm_effect),
        *(number(f) for f in figures),
    )


def _performance(report: PerformanceReport) -> str:
    windows = report.windows
    lead = f"Matured labels beside what the scores alone expect, {ASSUMPTION}."
    rows = [_performance_row(w) for w in windows if w.predictions]
    head = (
        "window",
        "predictions",
        "matured",
        "ROC-AUC",
        "PR-AUC",
        "Brier",
        "observed",
        "predicted",
        "expected ROC-AUC",
    )
    drawn = f'<div class="grid">{_ranking_figure(windows, report)}{_rate_figure(windows)}</div>'
    details = table(head, rows, numbers=frozenset(range(1, 9)))
    return section("Performance", lead, drawn, verdict_block(report.verdict), details)


def _performance_row(window: WindowPerformance) -> tuple[str, ...]:
    metrics, expected = window.metrics, window.expected
    share = f"{window.coverage:.0%}" if window.coverage is not None else "-"
    return (
        f"{window.since:%Y-%m-%d}",
        f"{window.predictions:,}",
        f"{window.matured:,} ({share})",
        metrics.roc_auc.text(),
        metrics.pr_auc.text(),
        metrics.brier.text(),
        metrics.observed_rate.text(),
        number(expected.positive_rate if expected else None),
        number(expected.roc_auc if expected else None),
    )


def _ranking_figure(windows: Sequence[WindowPerformance], report: PerformanceReport) -> str:
    matured = [w.metrics.roc_auc.value if w.matured >= _ENOUGH_TO_DRAW else None for w in windows]
    expected = [w.expected.roc_auc if w.expected else None for w in windows]
    return figure(
        "ROC-AUC",
        line_chart((matured, expected), ends=_ends(windows), limit=report.reference_roc_auc),
        f"Dashed: the held-out reference. Expected: {ASSUMPTION}.",
        key=("matured", "expected from the scores"),
    )


def _rate_figure(windows: Sequence[WindowPerformance]) -> str:
    observed = [w.metrics.observed_rate.value if w.matured >= _ENOUGH_TO_DRAW else None for w in windows]
    predicted = [w.expected.positive_rate if w.expected else None for w in windows]
    return figure(
        "Share of positives",
        line_chart((observed, predicted), ends=_ends(windows)),
        "Observed among matured rows, predicted among all.",
        key=("observed", "predicted"),
    )


def _ends(windows: Sequence[WindowPerformance]) -> tuple[str, str]:
    return (f"{windows[0].since:%Y-%m-%d}", f"{windows[-1].until:%Y-%m-%d}") if windows else ("", "")
