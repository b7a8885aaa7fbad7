"""Release and continuous training, on a real gateway with few real applications behind it."""

import time
import urllib.request
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from flows.bridge import output
from flows.continuous_training import ContinuousTrainingConfig, continuous_training_flow
from flows.monitoring import MonitoringConfig, monitoring_flow
from loadtests.bodies import make_bodies
from loadtests.options import LoadOptions
from modelway.contract import Outcome
from modelway.errors import EmptyWindowError, GateError
from modelway.features.recent import known_between
from modelway.monitoring.predictions import read_predictions
from modelway.monitoring.skew import SkewReport
from modelway.registry.stages import Stage
from modelway.usecase import load_use_case
from stacks.active import registry, reports_folder, serving_target, snapshot_store
from stacks.watch import page_of, skew_page_of

FEW = 60
"""Fewer applications than a window needs for a word on drift."""
FORTNIGHT = timedelta(days=14)
LOG_LIMIT_S = 60.0


def test_the_first_version_gets_all_traffic_and_is_in_production(trained, released):
    champion = registry().champion("credit")

    assert released.live
    assert released.rollout is None, "there was nothing to compare with"
    assert champion.version == trained.version.version
    assert champion.stage is Stage.PRODUCTION
    with urllib.request.urlopen(f"{released.url}/v2/models/credit/ready", timeout=10) as answer:
        assert answer.status == 200


@pytest.fixture(scope="session")
def few_applications(trained, released, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The first applications after the release, answered by the gateway and found in its log."""
    use_case, folder = load_use_case("credit"), tmp_path_factory.mktemp("few")
    since, until = trained.config.as_of, trained.config.as_of + FORTNIGHT
    history = snapshot_store().scan(output(trained.run, "snapshot").id, as_of=until)
    rows = known_between(use_case, history, since=since, until=until, newest=FEW)
    rows.write_parquet(folder / "rows.parquet")
    _ask(released.url, folder, use_case)
    _wait_for(trained, since, until, rows.height)
    return rows.height


def _wait_for(trained, since, until, rows: int) -> None:
    deadline = time.monotonic() + LOG_LIMIT_S
    while _logged(trained, since, until) < rows:
        assert time.monotonic() < deadline, "the prediction log was not closed in time"
        time.sleep(0.2)


def test_features_that_are_served_wrongly_stop_it_before_it_trains(trained, released, tmp_path):
    """Age asks for a new model; but every answer of the month was given on another number of employees."""
    use_case, as_of = load_use_case("credit"), trained.config.as_of + timedelta(days=400)
    history = snapshot_store().scan(output(trained.run, "snapshot").id, as_of=as_of)
    rows = known_between(use_case, history, since=as_of - FORTNIGHT, until=as_of, newest=FEW)
    rows.with_columns(pl.col("employees") + 1).write_parquet(tmp_path / "rows.parquet")
    _ask(released.url, tmp_path, use_case)
    _wait_for(trained, as_of - FORTNIGHT, as_of, rows.height)
    before = registry().list("credit")

    with pytest.raises(GateError, match="employees differs in 60 of 60 rows"):
        continuous_training_flow(ContinuousTrainingConfig(as_of=as_of, trials=1))

    assert registry().list("credit") == before
    page = skew_page_of(reports_folder() / "monitoring" / "credit", as_of)
    told = {
        f.name: f.differing
        for f in SkewReport.model_validate_json(page.with_suffix(".json").read_text()).features
    }
    assert {name for name, count in told.items() if count} == {"employees"}


def _ask(url: str, folder: Path, use_case) -> None:
    options = LoadOptions(
        url=url,
        model=use_case.name,
        rows=folder / "rows.parquet",
        out=folder,
        slo=use_case.slo,
        key=use_case.contract.key,
        event_time="event_time",
        rows_per_request=FEW,
        once=True,
    )
    [body] = make_bodies(options)
    request = urllib.request.Request(f"{url}/v2/models/{use_case.name}/infer", data=body)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def _logged(trained, since, until) -> int:
    folder = serving_target().prediction_log_folder
    try:
        return read_predictions(folder, since=since, until=until, bundle=trained.version.digest).height
    except EmptyWindowError:
        return 0


def test_with_nothing_asking_it_looks_notes_and_trains_nothing(trained, few_applications, pages):
    before = registry().list("credit")
    config = ContinuousTrainingConfig(as_of=trained.config.as_of + FORTNIGHT, trials=1)

    run = continuous_training_flow(config)

    report = output(run, "monitoring_report")
    assert report.predictions == few_applications
    assert report.verdict.outcome is Outcome.INCONCLUSIVE, "too few rows are no all-clear"
    assert not report.decision.retrain
    assert set(run.steps) == set(pages.tasks_of(run)) == {"ingest_data", "watch_model", "note_cycle"}
    assert not output(run, "cycle").retrained
    assert registry().list("credit") == before


def test_monitoring_leaves_its_page_and_evidentlys(trained, few_applications):
    as_of = trained.config.as_of + FORTNIGHT

    run = monitoring_flow(MonitoringConfig(as_of=as_of))

    drift_page = Path(output(run, "drift_page"))
    assert "credit" in page_of(drift_page.parent, as_of).read_text("utf-8")
    assert drift_page.is_file()
