"""One look at the champion of the active stack: its log, its bundle, the labels that have matured."""

from datetime import datetime
from pathlib import Path

import polars as pl

from modelway.data.labels import with_label
from modelway.data.snapshot import Snapshot
from modelway.errors import EmptyWindowError
from modelway.monitoring.evidently import evidently_report
from modelway.monitoring.history import CycleLog
from modelway.monitoring.monitor import MonitoringReport, Subject, monitor
from modelway.monitoring.policy import MonitoringPolicy
from modelway.monitoring.predictions import read_predictions
from modelway.monitoring.report import link_monitoring, write_monitoring
from modelway.monitoring.skew import SkewReport, measure_skew
from modelway.monitoring.skew_page import write_skew
from modelway.monitoring.windows import windows_before
from modelway.usecase import UseCase, load_use_case
from stacks.active import registry, reports_folder, serving_target, snapshot_store


def watch(snapshot: Snapshot, *, as_of: datetime, window_days: int = 30) -> MonitoringReport:
    """Look at the model in production as of a date, and leave the page for people.

    Args:
        snapshot: Where labels come from; those that matured after `as_of` are not looked at.
        as_of: End of the newest window.
        window_days: Length of a window of event time.

    Raises:
        NotFoundError: No model of the use case is in production.
        SourceError: A file of the prediction log is not readable.
    """
    use_case = load_use_case(snapshot.use_case)
    bundle = registry().bundle(use_case.name, "champion")
    folder = reports_folder() / "monitoring" / use_case.name
    report = monitor(
        serving_target(use_case.name).prediction_log_folder,
        pl.read_parquet(bundle.reference),
        matured_labels(use_case, snapshot, as_of),
        subject=Subject.of(bundle),
        as_of=as_of,
        policy=MonitoringPolicy(window_days=window_days),
        history=CycleLog(folder / "cycles.jsonl").read(),
    )
    write_monitoring(report, page_of(folder, as_of))
    return report


def served_skew(snapshot: Snapshot, *, as_of: datetime, window_days: int = 30) -> SkewReport:
    """Hold what the champion was served against what training would see, and leave the page for people.

    Args:
        snapshot: Where training's features come from; what was not known by `as_of` is not looked at.
        as_of: End of the window of logged events.
        window_days: Its length.

    Raises:
        NotFoundError: No model of the use case is in production.
        SourceError: A file of the prediction log is not readable.
    """
    use_case = load_use_case(snapshot.use_case)
    bundle = registry().bundle(use_case.name, "champion")
    [window] = windows_before(as_of, days=window_days, count=1)
    report = measure_skew(
        serving_target(use_case.name).prediction_log_folder,
        snapshot_store().scan(snapshot.id, as_of=as_of),
        use_case=use_case,
        subject=Subject.of(bundle),
        window=window,
    )
    folder = reports_folder() / "monitoring" / use_case.name
    write_skew(report, skew_page_of(folder, as_of))
    link_monitoring(page_of(folder, as_of))
    return report


def skew_page_of(folder: Path, as_of: datetime) -> Path:
    """Where the page about served features lies."""
    return folder / f"skew-{as_of:%Y-%m-%d}.html"


def page_of(folder: Path, as_of: datetime) -> Path:
    """Where the page of one look lies."""
    return folder / f"monitoring-{as_of:%Y-%m-%d}.html"


def matured_labels(use_case: UseCase, snapshot: Snapshot, as_of: datetime) -> pl.DataFrame:
    """Key, `label` and `label_matured_at` of every row whose horizon had passed by `as_of`."""
    labelled = with_label(snapshot_store().scan(snapshot.id, as_of=as_of), use_case.label)
    matured = labelled.filter(pl.col("label_matured_at") <= as_of)
    return matured.select(use_case.contract.key, "label", "label_matured_at").collect()


def draw_drift(report: MonitoringReport) -> str:
    """Evidently's page of the report's newest window beside the bundle's reference. Takes seconds.

    Returns:
        Where the page lies, or why there is none: a window without predictions has nothing to draw.

    Raises:
        StorageError: The page cannot be written.
    """
    bundle, newest = registry().bundle(report.model, "champion"), report.performance.windows[-1]
    log = serving_target(report.model).prediction_log_folder
    since, until = newest.since, newest.until
    try:
        current = read_predictions(log, since=since, until=until, bundle=bundle.digest)
    except EmptyWindowError as empty:
        return empty.found
    page = page_of(reports_folder() / "monitoring" / report.model, report.as_of)
    path = page.with_name(f"evidently-{report.as_of:%Y-%m-%d}.html")
    reference = pl.read_parquet(bundle.reference)
    shown = [column for column in bundle.signature.inputs if column.name not in bundle.policy.masked]
    drawn = evidently_report(reference, current, path, inputs=shown)
    link_monitoring(page)
    return str(drawn)
