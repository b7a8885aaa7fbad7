"""Evidently's page of the newest window: for people, who read it; it decides nothing."""

from typing import Annotated

from zenml import step

from modelway.monitoring.monitor import MonitoringReport
from stacks.watch import draw_drift as draw


@step(enable_cache=False)  # the prediction log grows
def draw_drift(report: MonitoringReport) -> Annotated[str, "drift_page"]:
    """Where the page lies, or why there is none."""
    return draw(report)
