"""Monitoring: how the model in production does, and whether it needs a successor."""

from datetime import datetime

from prefect.runtime import flow_run
from pydantic import AwareDatetime, Field

from flows.bridge import ml_flow
from modelway.contract import Frozen
from steps.draw_drift import draw_drift
from steps.ingest_data import ingest_data
from steps.note_cycle import note_cycle
from steps.watch_model import watch_model


class MonitoringConfig(Frozen):
    """What to look at, as of when."""

    use_case: str = "credit"
    source: str | None = None
    """Where matured labels come from."""
    as_of: AwareDatetime | None = None
    """End of the newest window; the time of the scheduled run when left out."""
    window_days: int = Field(default=30, gt=0)


@ml_flow(name="monitoring")
def monitoring_flow(config: MonitoringConfig) -> None:
    """Artifacts: snapshot → monitoring_report. It reports; `continuous-training` acts."""
    snapshot = ingest_data(config.use_case, config.source)
    report = watch_model(snapshot, config.as_of or _scheduled_for(), config.window_days)
    draw_drift(report)
    note_cycle(report, retrained=False)


def _scheduled_for() -> datetime:
    """When Prefect meant this run to start: a late worker looks at the same window as a punctual one."""
    planned: datetime = flow_run.scheduled_start_time
    return planned
