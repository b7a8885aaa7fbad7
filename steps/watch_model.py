"""How the model in production does: drift, matured performance, and what they ask for."""

from datetime import datetime
from typing import Annotated

from zenml import step

from modelway.data.snapshot import Snapshot
from modelway.monitoring.monitor import MonitoringReport
from stacks.watch import watch


@step(enable_cache=False)  # the prediction log grows
def watch_model(
    snapshot: Snapshot, as_of: datetime, window_days: int
) -> Annotated[MonitoringReport, "monitoring_report"]:
    """The report says what was seen and what could not be seen; it never raises because of drift."""
    return watch(snapshot, as_of=as_of, window_days=window_days)
