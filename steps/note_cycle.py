"""Remember a look at the model, so that the next one can tell a flicker from a trend."""

from typing import Annotated

from zenml import step

from modelway.monitoring.history import CycleLog
from modelway.monitoring.monitor import MonitoringReport
from modelway.monitoring.triggers import Cycle
from stacks.active import reports_folder


@step(enable_cache=False)  # a note is an act, not a value
def note_cycle(report: MonitoringReport, retrained: bool) -> Annotated[Cycle, "cycle"]:
    """One line in the log of looks."""
    cycle = report.decision.cycle(retrained=retrained)
    CycleLog(reports_folder() / "monitoring" / report.model / "cycles.jsonl").append(cycle)
    return cycle
