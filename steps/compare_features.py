"""The features that were served against those that training sees: the prediction log and the join."""

from datetime import datetime
from typing import Annotated

from zenml import step

from modelway.data.snapshot import Snapshot
from modelway.monitoring.skew import SkewReport
from stacks.watch import served_skew


@step(enable_cache=False)  # the prediction log grows
def compare_features(
    snapshot: Snapshot, as_of: datetime, window_days: int
) -> Annotated[SkewReport, "served_skew"]:
    """The report says what differs and what could not be compared; it never raises because of skew."""
    return served_skew(snapshot, as_of=as_of, window_days=window_days)
