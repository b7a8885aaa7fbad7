"""Months of applications, sent through the gateway in the order in which they arrived."""

import time
from datetime import datetime
from pathlib import Path

import polars as pl

from loadtests.outputs import LoadReport
from loadtests.run import run_load
from modelway.contract import Slo
from modelway.data.frames import FrameRef, write_frame
from modelway.data.snapshot import Snapshot
from modelway.errors import EmptyWindowError, NotReadyError
from modelway.features.recent import known_between
from modelway.monitoring.predictions import read_predictions
from modelway.usecase import UseCase
from stacks.active import frames_folder, reports_folder, serving_target, snapshot_store

ROWS_PER_REQUEST = 32
REQUESTS_PER_S = 60.0
_CLOSED_WITHIN_S = 30.0


def applications(
    use_case: UseCase, snapshot: Snapshot, *, since: datetime, until: datetime, every: int = 1
) -> FrameRef:
    """Every n-th application of a period, described by what was known when it arrived.

    Raises:
        EmptyWindowError: There is none.
    """
    history = snapshot_store().scan(snapshot.id, as_of=until)
    rows = known_between(use_case, history, since=since, until=until)
    return write_frame(rows.gather_every(every), frames_folder())


def replay(use_case: UseCase, rows: FrameRef, slo: Slo) -> LoadReport:
    """Send every row once, oldest first, in small batches.

    Raises:
        InfrastructureError: The generator ended without a report.
    """
    return run_load(
        url=serving_target().gateway_url,
        model=use_case.name,
        rows=Path(rows.uri),
        out=reports_folder() / "stream",
        slo=slo,
        key=use_case.contract.key,
        event_time="event_time",
        once=True,
        rows_per_request=ROWS_PER_REQUEST,
        rate_rps=REQUESTS_PER_S,
        purpose="user",
    )


def wait_for_log(bundle: str, *, since: datetime, until: datetime, rows: int) -> pl.DataFrame:
    """The predictions of a period, once the runtime has closed the files that hold them.

    Raises:
        NotReadyError: Fewer than `rows` are there after 30 s.
    """
    deadline = time.monotonic() + _CLOSED_WITHIN_S
    while True:
        found = _logged(bundle, since, until)
        if found is not None and found.height >= rows:
            return found
        if time.monotonic() > deadline:
            raise NotReadyError(
                f"{0 if found is None else found.height} of {rows} predictions are in the log",
                expected="all of them within 30 s",
                remedy="look at modelway_prediction_log_dropped_total in the predictor's /metrics",
            )
        time.sleep(0.5)


def _logged(bundle: str, since: datetime, until: datetime) -> pl.DataFrame | None:
    try:
        return read_predictions(
            serving_target().prediction_log_folder, since=since, until=until, bundle=bundle
        )
    except EmptyWindowError:
        return None
