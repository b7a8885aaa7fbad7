"""Rows to replay against a service: the newest applications known by then, as they would be asked."""

from datetime import datetime, timedelta
from typing import Annotated

from zenml import step

from loadtests.traffic import Traffic
from modelway.data.frames import write_frame
from modelway.data.snapshot import Snapshot
from modelway.features.recent import known_between
from modelway.usecase import load_use_case
from stacks.active import frames_folder, snapshot_store

YEAR = timedelta(days=365)
NEWEST = 5_000


@step
def gather_traffic(snapshot: Snapshot, as_of: datetime, rate_rps: float) -> Annotated[Traffic, "traffic"]:
    """Every input by name, with key and event time, so that the prediction log knows whom it saw."""
    use_case = load_use_case(snapshot.use_case)
    history = snapshot_store().scan(snapshot.id, as_of=as_of)
    rows = known_between(use_case, history, since=as_of - YEAR, until=as_of, newest=NEWEST)
    return Traffic(rows=write_frame(rows, frames_folder()), key=use_case.contract.key, rate_rps=rate_rps)
