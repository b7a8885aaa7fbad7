"""The loans by their numbers: Feast materialises, a server reads and answers as to the same features sent."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from keyed_bundles import bundle_of

from modelway.bundle.signing import VERIFY_KEY_FILE
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.features.store import FeatureStore
from modelway.features.training_set import feature_rows
from modelway.usecase import load_use_case

USE_CASE = load_use_case("credit")
AS_OF = datetime(2005, 6, 20, tzinfo=UTC)
LATER = AS_OF + timedelta(days=25)
INFER, PREDICT = "/v2/models/credit/infer", "/v1/models/credit:predict"


@dataclass(frozen=True)
class World:
    """Features for real, and a server beside them."""

    history: pl.LazyFrame
    features: FeatureStore
    server: Any

    def ask(self, path: str, document: Mapping[str, Any]) -> httpx.Response:
        return httpx.post(self.server.url + path, json=document, timeout=30)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> pl.LazyFrame:
    snapshots = FolderSnapshotStore(str(tmp_path_factory.mktemp("snapshots")))
    ingest(USE_CASE, None, snapshots)
    recent = pl.col("known_at").is_between(AS_OF - timedelta(days=800), LATER)
    return snapshots.scan(snapshots.latest("credit").id).filter(recent).collect().lazy()


@pytest.fixture
def world(tmp_path: Path, keys: Path, history: pl.LazyFrame, begin: Callable[..., Any]) -> World:
    features = FeatureStore(tmp_path / "features")
    features.materialise(USE_CASE, history, as_of=AS_OF)
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps({"online_store": str(features.online_file(USE_CASE)), "grpc_port": 0}))
    bundle = bundle_of(USE_CASE, tmp_path, keys, history, as_of=AS_OF)
    where = ["--bundle", str(bundle.path), "--verify-key", str(keys / VERIFY_KEY_FILE), "--port", "0"]
    options = [*where, "--revision", "r1", "--settings", str(settings)]
    return World(history, features, begin([sys.executable, "-m", "serving.runtime", *options]))


def loans(history: pl.LazyFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """Some loans of every kind, as the training set would describe them."""
    known = pl.col("known_at").is_between(since, until)
    return feature_rows(USE_CASE, history, history.filter(known).sort("loan_id").head(40))


def by_value(rows: pl.DataFrame) -> dict[str, Any]:
    return {"instances": rows.select(USE_CASE.features.names).to_dicts()}


def by_key(keys: Sequence[str], at: datetime) -> dict[str, Any]:
    moment_us = round(at.timestamp() * 1e6)
    return {"instances": [{"loan_id": key, "event_time": moment_us} for key in keys]}


def answers(response: httpx.Response) -> list[float]:
    assert response.status_code == 200, response.text
    return list(response.json()["predictions"])


def test_a_loans_number_is_answered_as_its_features_from_training_are(world: World) -> None:
    rows = loans(world.history, AS_OF.replace(day=5), AS_OF)  # this month's row was published on the 4th
    keys = rows["loan_id"].to_list()

    keyed = world.ask(PREDICT, by_key(keys, AS_OF))

    expected = answers(world.ask(PREDICT, by_value(rows)))
    assert answers(keyed) == expected
    assert len(set(expected)) > 20
    assert keyed.headers["x-features-from"] == "store"
    oldest_s = float(keyed.headers["x-features-age-s"])
    assert oldest_s >= (AS_OF - AS_OF.replace(day=1)).total_seconds()


def test_it_is_also_what_feasts_own_online_read_gives(world: World) -> None:
    rows = loans(world.history, AS_OF - timedelta(days=40), AS_OF - timedelta(days=30))
    for view in USE_CASE.features.views:
        online = world.features.read(USE_CASE, view.name, rows[view.entity].to_list(), at=AS_OF)
        rows = rows.with_columns(online[feature.name] for feature in view.features)

    keyed = answers(world.ask(PREDICT, by_key(rows["loan_id"].to_list(), AS_OF)))

    assert keyed == answers(world.ask(PREDICT, by_value(rows)))


def test_a_newer_materialisation_changes_the_next_answer(world: World) -> None:
    keys = loans(world.history, AS_OF.replace(day=5), AS_OF)["loan_id"].to_list()
    before = answers(world.ask(PREDICT, by_key(keys, LATER)))

    world.features.materialise(USE_CASE, world.history, as_of=LATER)

    after = answers(world.ask(PREDICT, by_key(keys, LATER)))
    assert sum(a != b for a, b in zip(before, after, strict=True)) > len(keys) / 2


def test_old_and_unknown_loans_are_refused_and_a_row_that_is_sent_is_not(world: World) -> None:
    rows = loans(world.history, AS_OF.replace(day=5), AS_OF).head(1)
    key = rows["loan_id"].to_list()[0]

    stale = world.ask(PREDICT, by_key([key], AS_OF + timedelta(days=63)))
    unknown = world.ask(PREDICT, by_key(["no such loan"], AS_OF))

    assert (stale.status_code, "feature view subject" in stale.text) == (409, True)
    assert (unknown.status_code, "no such loan" in unknown.text) == (404, True)
    own = rows.select(feature.name for feature in USE_CASE.features.row).to_dicts()[0]
    sent = {**by_key(["a new loan"], AS_OF)["instances"][0], **own}
    assert answers(world.ask(PREDICT, {"instances": [sent]})) == answers(world.ask(PREDICT, by_value(rows)))


def test_v2_answers_a_lone_key_tensor(world: World) -> None:
    rows = loans(world.history, AS_OF.replace(day=5), AS_OF).head(1)
    tensors = [
        {"name": "loan_id", "shape": [1], "datatype": "BYTES", "data": rows["loan_id"].to_list()},
        {"name": "event_time", "shape": [1], "datatype": "INT64", "data": [round(AS_OF.timestamp() * 1e6)]},
    ]

    document = world.ask(INFER, {"inputs": tensors}).json()

    assert document["outputs"][0]["data"] == answers(world.ask(PREDICT, by_value(rows)))
    assert document["parameters"]["features_from"] == "store"
    now = world.ask(INFER, {"inputs": tensors[:1]})  # no moment said: now, when these loans are decades old
    assert now.status_code == 409


def test_foreign_clients_ask_by_key_in_bytes_and_over_grpc(world: World) -> None:
    rows = loans(world.history, AS_OF.replace(day=5), AS_OF).head(7)
    keys = rows["loan_id"].to_list()
    moments = [round(AS_OF.timestamp() * 1e6)] * len(keys)
    expected = np.array(answers(world.ask(PREDICT, by_value(rows))), np.float32)

    told = json.dumps({"keys": keys, "moments": moments})
    for protocol, url in (("http", world.server.url.removeprefix("http://")), ("grpc", grpc_url(world))):
        run = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("triton_by_key.py")), protocol, url],
            input=told,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, run.stderr[-4000:]
        found = json.loads(run.stdout)
        assert np.array_equal(np.array(found["probability"], np.float32), expected), protocol
        assert "features_age_s" in found["parameters"]


def grpc_url(world: World) -> str:
    return f"127.0.0.1:{world.server.said[0]['grpc_port']}"
