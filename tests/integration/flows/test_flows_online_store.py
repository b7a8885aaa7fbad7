"""What is served depends on the online store: the training flow stops where it holds other values."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from zenml.client import Client

from flows.bridge import output
from flows.training import training_flow
from modelway.contract import Outcome
from modelway.errors import GateError
from modelway.usecase import load_use_case
from stacks.active import feature_store, registry


@pytest.fixture
def spoiled_store(trained) -> Iterator[str]:
    """Somebody wrote other values of one state online, a moment newer than ours, so that ours never win."""
    file = feature_store().online_file(load_use_case("credit"))
    [(view, entity, kept)] = query(
        file,
        "SELECT view, entity, row FROM modelway_rows WHERE view LIKE '%state%' AND entity = 'CA' LIMIT 1",
    )
    name = next(iter(json.loads(kept)))
    move = "UPDATE modelway_rows SET row = ?, event_us = event_us + ? WHERE view = ? AND entity = ?"
    query(file, move, json.dumps({**json.loads(kept), name: 12345.0}), 1, view, entity)
    yield name
    query(file, move, kept, -1, view, entity)


def query(file: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def test_online_features_that_are_not_trainings_stop_it_before_it_trains(trained, spoiled_store: str):
    before = registry().list("credit")

    with pytest.raises(GateError, match="online store are not those of training") as caught:
        training_flow(trained.config)

    assert "1 of " in caught.value.found
    runs = Client().list_pipeline_runs(pipeline="training", sort_by="desc:created", size=1, hydrate=True)
    run = runs.items[0]
    assert set(run.steps) == {"ingest_data", "materialise_features"}
    verdict = output(run, "skew_report")
    assert verdict.outcome is Outcome.FAIL
    assert any("CA" in str(rows) and spoiled_store in str(rows) for rows in verdict.evidence.values())
    assert registry().list("credit") == before
