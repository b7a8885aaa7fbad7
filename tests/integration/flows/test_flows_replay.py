"""Continuous training from all new rows and a share of the old, and what it has forgotten of the others."""

import json
from datetime import timedelta

import polars as pl
import pytest
from zenml.client import Client

from flows.bridge import output
from flows.continuous_training import ContinuousTrainingConfig, continuous_training_flow
from modelway.contract import Outcome
from modelway.errors import GateError
from stacks.active import registry, tracker

SHARE = 0.2
LATER = timedelta(days=370)
"""Old enough that age asks for a successor."""


@pytest.fixture(scope="module")
def refitted(trained, released):
    """One run with a replay, up to where a person decides: nobody had asked the champion anything."""
    config = ContinuousTrainingConfig(as_of=trained.config.as_of + LATER, trials=1, replay_share=SHARE)
    with pytest.raises(GateError, match="credit@"):
        continuous_training_flow(config)
    found = Client().list_pipeline_runs(
        pipeline="continuous-training", sort_by="desc:created", size=1, hydrate=True
    )
    return found.items[0]


def test_it_learns_from_every_new_row_and_a_share_of_the_champions(trained, refitted):
    replay, rows = output(refitted, "replay"), output(refitted, "training_set").load()
    until = trained.config.as_of

    assert (replay.until, replay.share) == (until, SHARE)
    assert output(refitted, "trained").replay == replay
    old = output(trained.run, "training_set").load()["loan_id"]
    again = rows.filter(pl.col("label_matured_at") <= until)
    assert set(again["loan_id"]) < set(old)
    assert again.height / len(old) == pytest.approx(SHARE, abs=0.03)
    assert rows.height > again.height


def test_what_is_forgotten_is_judged_and_reaches_gates_mlflow_lineage_and_page(refitted):
    report, version = output(refitted, "forgetting_report"), output(refitted, "registered_version")
    [reason] = report.reasons
    bundle = registry().bundle("credit", version.version)

    assert report.outcome is not Outcome.INCONCLUSIVE
    assert reason in output(refitted, "gate_verdict").reasons
    assert bundle.lineage.replay == output(refitted, "replay")
    logged = tracker().client.get_run(version.run_id).data.metrics
    assert logged["forgetting_difference"] == pytest.approx(reason.found)
    assert logged["forgetting_rows"] == reason.samples
    page = registry().report("credit", version.version)
    assert "What it has forgotten" in page.read_text("utf-8")
    twin = json.loads(page.with_suffix(".json").read_text("utf-8"))
    slices = twin["verdict"]["evidence"]["forgetting"]["slices"]
    assert sum(each["rows"] for each in slices) == reason.samples
