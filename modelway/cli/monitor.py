"""`modelway monitor`: drift, matured performance and what they ask for."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli.output import emit
from modelway.contract import Outcome
from modelway.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from modelway.monitoring.drift import ColumnDrift
    from modelway.monitoring.monitor import MonitoringReport
    from modelway.monitoring.performance import WindowPerformance
    from modelway.monitoring.skew import SkewReport

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Drift, matured performance and what they ask for."
)

USE_CASE = typer.Argument("credit", help="Whose champion.")
JSON = typer.Option(False, "--json", help="Print the whole report as JSON.")
EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 3}


@app.command()
def run(
    use_case: str = USE_CASE,
    *,
    as_of: str = typer.Option(..., help="Date, UTC: what is known then is all that is looked at."),
    window_days: int = typer.Option(30, min=1, help="Length of a window of event time, days."),
    evidently: bool = typer.Option(False, help="Also write Evidently's page (takes some seconds)."),
    check: bool = typer.Option(False, help="Exit 1 when something asks for a new model, 3 when unclear."),
    json_: bool = JSON,
) -> None:
    """Look at the champion of the active stack, and write the page. Changes nothing."""
    from stacks.active import snapshot_store  # noqa: PLC0415 - ZenML, a second
    from stacks.watch import page_of, watch  # noqa: PLC0415 - as above

    snapshot = snapshot_store().latest(use_case)
    report = watch(snapshot, as_of=_moment(as_of), window_days=window_days)
    page = page_of(_folder(use_case), report.as_of)
    _print(report, page, as_json=json_)
    if evidently:
        _evidently(report, quiet=json_)
    if check:
        raise typer.Exit(EXIT_CODES[report.verdict.outcome])


@app.command()
def show(
    use_case: str = USE_CASE,
    *,
    as_of: str = typer.Option(None, help="Date of the look; the newest unless said."),
    json_: bool = JSON,
) -> None:
    """Show a look that was taken."""
    from modelway.monitoring.report import read_monitoring  # noqa: PLC0415 - as above

    page = _page(use_case, as_of)
    _print(read_monitoring(page), page, as_json=json_)


@app.command()
def skew(
    use_case: str = USE_CASE,
    *,
    as_of: str = typer.Option(..., help="Date, UTC: what is known then is all that is looked at."),
    window_days: int = typer.Option(30, min=1, help="Logged events of so many days before, up to --as-of."),
    check: bool = typer.Option(
        False, help="Exit 1 when served features differ from training's, 3 when unclear."
    ),
    json_: bool = JSON,
) -> None:
    """Hold the features that the champion was served against those that training sees. Writes a page."""
    from stacks.active import snapshot_store  # noqa: PLC0415 - ZenML, a second
    from stacks.watch import served_skew, skew_page_of  # noqa: PLC0415 - as above

    report = served_skew(snapshot_store().latest(use_case), as_of=_moment(as_of), window_days=window_days)
    page = skew_page_of(_folder(use_case), report.until)
    _print_skew(report, page, as_json=json_)
    if check:
        raise typer.Exit(EXIT_CODES[report.verdict.outcome])


@app.command()
def forget(
    subject: str = typer.Argument(..., help="The key as clients send it, e.g. a loan's number."),
    use_case: str = USE_CASE,
    *,
    log: Path = typer.Option(None, help="Folder of the prediction log; the active stack's unless said."),
    json_: bool = JSON,
) -> None:
    """Remove one subject's rows from the prediction log, also from one that hashes its keys.

    For a hashed log MODELWAY_LOG_SALT must be set as it is for the servers. Files are replaced as a
    whole; rows that a server has not written yet are not found: run it again after some seconds.
    """
    from modelway.bundle.masking import log_salt  # noqa: PLC0415 - --help does without
    from modelway.monitoring.forget import forget as forget_rows  # noqa: PLC0415 - as above

    folder = log or _prediction_log(use_case)
    forgotten = forget_rows(folder, subject, salt=log_salt())
    found = {"rows removed": forgotten.rows, "files changed": forgotten.files, "log": str(folder)}
    emit([found], as_json=json_, title="Forgotten")


def _prediction_log(use_case: str) -> Path:
    from stacks.active import serving_target  # noqa: PLC0415 - ZenML, only when a command runs

    return serving_target(use_case).prediction_log_folder


def _folder(use_case: str) -> Path:
    from stacks.active import reports_folder  # noqa: PLC0415 - ZenML, only when a command runs

    return reports_folder() / "monitoring" / use_case


def _page(use_case: str, as_of: str | None) -> Path:
    from stacks.watch import page_of  # noqa: PLC0415 - ZenML, only when a command runs

    if as_of:
        return page_of(_folder(use_case), _moment(as_of))
    pages = sorted(_folder(use_case).glob("monitoring-*.html"))
    if not pages:
        raise NotFoundError(
            f"nobody has looked at {use_case} yet",
            expected=f"a page in {_folder(use_case)}",
            remedy=f"`modelway monitor run {use_case} --as-of DATE`",
        )
    return pages[-1]


def _moment(text: str) -> datetime:
    from datetime import UTC  # noqa: PLC0415 - beside its only use

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no date", expected="e.g. 2007-01-01", remedy="write it so") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _evidently(report: "MonitoringReport", *, quiet: bool) -> None:
    from stacks.watch import draw_drift  # noqa: PLC0415 - --help does without

    page = draw_drift(report)
    if not quiet:
        print(f"Evidently: {page}")


def _print(report: "MonitoringReport", page: Path, *, as_json: bool) -> None:
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    name = f"{report.model} as of {report.as_of:%Y-%m-%d}"
    emit(list(reasons(report)), as_json=False, title=f"{name}: {report.verdict.outcome}")
    emit([_drift_line(c) for c in report.drift.columns], as_json=False, title="Drift, newest window")
    emit(
        [_performance_line(w) for w in report.performance.windows if w.predictions],
        as_json=False,
        title="Performance (expected: assuming the relation has not changed)",
    )
    print(_decision(report))
    print(f"page: {page}")


def _print_skew(report: "SkewReport", page: Path, *, as_json: bool) -> None:
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    lines = [
        {"check": r.metric.removeprefix("skew: "), "outcome": r.outcome.value, "what was seen": r.message}
        for r in report.verdict.reasons
    ]
    span = f"{report.since:%Y-%m-%d} to {report.until:%Y-%m-%d}"
    emit(lines, as_json=False, title=f"{report.model}, served {span}: {report.verdict.outcome}")
    print(f"page: {page}")


def _decision(report: "MonitoringReport") -> str:
    decision = report.decision
    if decision.retrain:
        return f"retrain: yes, because of {', '.join(decision.causes)}"
    return (
        f"retrain: not yet, {decision.held_back}" if decision.held_back else "retrain: nothing confirmed asks"
    )


def reasons(report: "MonitoringReport") -> Iterator[dict[str, Any]]:
    """One line for each cause."""
    for reason in report.decision.reasons:
        yield {"cause": reason.metric, "outcome": reason.outcome.value, "what was seen": reason.message}


def _drift_line(column: "ColumnDrift") -> dict[str, Any]:
    now = column.differences[-1] if column.differences else None
    return {
        "series": column.name,
        "outcome": "warning" if column.warning else column.outcome.value,
        "effect": None if now is None else f"{now.effect:.3f}",
        "p adjusted": None if now is None else f"{now.adjusted_p:.2g}",
        "psi": None if now is None else f"{now.psi:.3f}",
    }


def _performance_line(window: "WindowPerformance") -> dict[str, Any]:
    expected = window.expected
    return {
        "window": f"{window.since:%Y-%m-%d}",
        "predictions": window.predictions,
        "matured": f"{window.coverage or 0:.0%}",
        "ROC-AUC": window.metrics.roc_auc.text(),
        "expected ROC-AUC": None
        if expected is None or expected.roc_auc is None
        else f"{expected.roc_auc:.3f}",
        "observed rate": window.metrics.observed_rate.text(),
        "predicted rate": None if expected is None else f"{expected.positive_rate:.3f}",
    }
