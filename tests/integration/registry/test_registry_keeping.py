"""`modelway data lineage` and `data gc` on a real registry: nothing that a bundle was made from may go."""

import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

import stacks
from modelway.cli.main import main
from modelway.contract import Column, DataContract, Outcome, Verdict
from modelway.data.snapshot import FolderSnapshotStore

CONTRACT = DataContract(version="1.0", key="loan_id", columns=(Column(name="loan_id", kind="int"),))
LONG_AGO_S = 7200


@pytest.fixture
def store(tmp_path) -> FolderSnapshotStore:
    return FolderSnapshotStore(str(tmp_path / "snapshots"))


@pytest.fixture
def snapshots(store) -> list[str]:
    """Ids of three snapshots; the second was made from the first, the third is the newest. Long ago."""
    made: list[str] = []
    for count in (1, 2, 3):
        kept = store.commit(
            [pl.DataFrame({"loan_id": range(count)})],
            use_case="credit",
            contract=CONTRACT,
            report=Verdict(outcome=Outcome.PASS),
            source=f"loans-{count}.csv",
            parents=made[:1] if count == 2 else [],
        )
        made.append(kept.id)
    then_s = time.time() - LONG_AGO_S
    for file in Path(store.folder.root).glob("objects/*"):
        os.utime(file, (then_s, then_s))
    return made


@pytest.fixture
def run(workshop, store, monkeypatch, capsys):
    """Run a command on the workshop's registry and these snapshots: what it prints."""
    active = ModuleType("stacks.active")
    active.registry, active.snapshot_store = lambda: workshop.registry, lambda: store
    active.bundles_folder = lambda: workshop.bundles
    monkeypatch.setitem(sys.modules, "stacks.active", active)
    monkeypatch.setattr(stacks, "active", active, raising=False)

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        captured = capsys.readouterr()
        assert not stopped.value.code, captured.err
        return captured.out

    return call


def registered(workshop, snapshot_id: str) -> str:
    version = workshop.registry.register(
        workshop.bundle("credit", 1, snapshot_id=snapshot_id),
        evaluation=workshop.evaluation,
        verdict=workshop.verdict,
        run_id="r",
        who="ci",
    )
    return f"{version.reference} ({version.stage})"


def left(store) -> list[str]:
    found = [snapshot.id for snapshot in store.list()]
    assert all(store.verify(name).passed for name in found)
    return found


def test_lineage_shows_each_snapshot_with_its_models_and_writes_a_page(
    workshop, run, snapshots, tmp_path
) -> None:
    reference = registered(workshop, snapshots[1])
    page = tmp_path / "lineage.html"

    said = run("data", "lineage", "--html", str(page)).splitlines()

    assert [line.split("  ")[-1] for line in said[:4]] == [
        "from loans-1.csv",
        "from loans-2.csv",
        f"=> {reference}",
        "from loans-3.csv",
    ]
    assert said[1].startswith(f"  {snapshots[1][:12]}")
    assert reference in page.read_text()
    (root, _) = json.loads(run("data", "lineage", "--json"))
    assert root["children"][0]["models"] == [reference]


def test_a_registered_model_keeps_its_snapshot_and_that_ones_parent(workshop, run, store, snapshots) -> None:
    registered(workshop, snapshots[1])

    told = json.loads(run("data", "gc", "--keep", "1", "--json"))

    assert told["removed"] == []
    assert told["kept"][snapshots[1]] == "needed by credit@1"
    assert left(store) == snapshots


def test_what_no_model_needs_is_announced_first_and_removed_then(run, store, snapshots) -> None:
    assert "would free" in run("data", "gc", "--keep", "1", "--dry-run")
    assert left(store) == snapshots

    run("data", "gc", "--keep", "1")

    assert left(store) == snapshots[2:]


def test_a_bundle_that_waits_to_be_registered_keeps_its_snapshot(workshop, run, store, snapshots) -> None:
    waiting = workshop.bundle("credit", 1, snapshot_id=snapshots[1])

    told = json.loads(run("data", "gc", "--keep", "1", "--json"))

    assert f"bundle {waiting.digest[:12]}" in told["kept"][snapshots[1]]
    assert left(store) == snapshots


def test_a_registry_that_lost_its_store_does_not_give_the_snapshots_away(
    workshop, run, store, snapshots, empty_store
) -> None:
    registered(workshop, snapshots[1])
    (workshop.root / "mlflow.db").write_bytes(empty_store.read_bytes())

    run("data", "gc", "--keep", "1")

    assert left(store) == snapshots
