"""The training flow on real loans: what it leaves in ZenML, Prefect, MLflow and the registry."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from zenml.client import Client
from zenml.enums import ExecutionStatus

from flows.bridge import output
from flows.training import TrainingConfig, training_flow
from modelway.contract import Outcome
from modelway.data.ingest import ingest
from modelway.data.lock import collecting
from modelway.data.snapshot import FolderSnapshotStore
from modelway.errors import EmptyWindowError, GateError, TransitionError
from modelway.registry.stages import Stage
from modelway.usecase import load_use_case
from stacks.active import bundles_folder, registry, snapshot_store, tracker

MIDSUMMER_2020 = datetime(2020, 6, 1, tzinfo=UTC)
"""The irises' made-up days end two days before."""

ARTIFACTS = {
    "ingest_data": "snapshot",
    "materialise_features": "skew_report",
    "check_contract": "contract_report",
    "assemble_training_set": "training_set",
    "split_in_time": "splits",
    "train_candidates": "trained",
    "check_parity": "parity_report",
    "probe_honesty": "honesty_report",
    "evaluate_candidate": "evaluation",
    "decide_gates": "gate_verdict",
    "pack_bundle": "bundle",
    "register_model": "registered_version",
}
"""Steps in their order, each with the artifact that it makes."""

LINEAGE = {
    "materialise_features": {"ingest_data"},
    "check_contract": {"ingest_data"},
    "assemble_training_set": {"ingest_data"},
    "split_in_time": {"assemble_training_set"},
    "train_candidates": {"ingest_data", "split_in_time"},
    "check_parity": {"train_candidates", "split_in_time"},
    "evaluate_candidate": {"train_candidates", "split_in_time"},
    "probe_honesty": {"ingest_data", "split_in_time", "train_candidates"},
    "decide_gates": {"evaluate_candidate", "check_contract", "check_parity", "probe_honesty"},
    "pack_bundle": {"train_candidates", "evaluate_candidate", "decide_gates", "assemble_training_set"},
    "register_model": {"train_candidates", "pack_bundle", "evaluate_candidate", "decide_gates"},
}
"""Whose artifacts each step takes."""


def test_the_steps_run_in_order_and_each_names_its_artifact(trained):
    steps = sorted(trained.run.steps.values(), key=lambda step: step.start_time)

    assert {step.name: next(iter(step.outputs)) for step in steps} == ARTIFACTS
    assert [step.name for step in steps] == list(ARTIFACTS)
    assert all(before.end_time <= after.start_time for before, after in pairwise(steps))
    assert trained.run.status == ExecutionStatus.COMPLETED


def test_the_lineage_says_whose_artifact_each_step_took(trained):
    steps = trained.run.steps
    maker = {step.outputs[name][-1].id: step.name for step in steps.values() for name in step.outputs}

    taken = {
        name: {maker[one.id] for given in step.inputs.values() for one in given if one.id in maker}
        for name, step in steps.items()
    }

    assert {name: makers for name, makers in taken.items() if makers} == LINEAGE


def test_every_step_is_a_task_run_of_the_flow_run(trained, pages):
    tasks = pages.tasks_of(trained.run)

    assert set(tasks) == set(ARTIFACTS)
    assert {task.state_name for task in tasks.values()} == {"Completed"}
    assert pages.flow_run_of(trained.run).state_name == "Completed"


def test_the_version_waits_in_staging_as_challenger(trained):
    assert output(trained.run, "gate_verdict").outcome is Outcome.PASS
    assert trained.version.stage is Stage.STAGING
    assert trained.challenger.version == trained.version.version
    assert trained.challenger.digest == output(trained.run, "bundle")


def test_bundle_run_and_snapshot_are_the_same_in_every_store(trained):
    model, snapshot = output(trained.run, "trained"), output(trained.run, "snapshot")
    bundle = registry().bundle("credit", trained.version.version)
    mlflow_run = tracker().client.get_run(trained.version.run_id)

    assert bundle.lineage.snapshot_id == model.snapshot_id == snapshot.id
    assert snapshot_store().get(snapshot.id) == snapshot
    assert mlflow_run.info.run_id == model.run_id
    assert mlflow_run.data.tags["modelway.snapshot_id"] == snapshot.id
    assert registry().verify("credit", trained.version.version).passed


def test_the_run_holds_the_evaluation_under_mlflows_names_with_page_and_twin(trained):
    evaluation = output(trained.run, "evaluation")
    client, run_id = tracker().client, trained.version.run_id
    logged = client.get_run(run_id).data.metrics

    assert logged["roc_auc"] == pytest.approx(evaluation.values()["roc_auc"])
    assert logged["precision_recall_auc"] == pytest.approx(evaluation.values()["pr_auc"])
    assert logged["example_count"] == evaluation.rows
    names = {file.path for file in client.list_artifacts(run_id, "evaluation")}
    assert names == {"evaluation/report.html", "evaluation/report.json"}


def test_the_opening_of_the_test_rows_stands_in_the_audit_log(trained):
    rows, graph = output(trained.run, "splits").test.sha256, output(trained.run, "trained").onnx.sha256

    opened = registry().audit.entries(f"test:{rows}")

    assert graph in {entry.evidence["model_sha256"] for entry in opened}
    assert output(trained.run, "evaluation").test_openings >= 1


def test_nothing_in_the_training_set_was_unknown_on_the_day(trained):
    frame = output(trained.run, "training_set").load()

    assert frame["label_matured_at"].max() <= trained.config.as_of
    assert set(load_use_case("credit").features.names) <= set(frame.columns)


def modelway(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).parent / "modelway")
    return subprocess.run(
        [program, *arguments], env=env, capture_output=True, text=True, timeout=560, check=False
    )


def test_the_same_seed_and_snapshot_give_the_same_bundle_in_another_process_and_home(trained, tmp_path: Path):
    """Another home, another signing key, another hash seed: the digest is over none of them."""
    home, config = tmp_path / "home", trained.config
    environment = {**os.environ, "MODELWAY_HOME": str(home), "PYTHONHASHSEED": "4711"}
    environment.pop("PREFECT_API_URL", None)
    options = ["--trials", str(config.trials), "--seed", str(config.seed), "--json"]
    try:
        done = modelway("train", "credit", "--as-of", f"{config.as_of:%Y-%m-%d}", *options, env=environment)
    finally:
        modelway("ui", "--stop", env=environment)
    assert done.returncode == 0, done.stderr

    here = bundles_folder() / trained.version.digest
    [there] = (home / "stacks" / "local" / "artifacts" / "bundles").iterdir()
    assert different(here, there) <= {"MANIFEST.sig", *OF_THE_COMMIT}
    if commit_of(here) != commit_of(there):
        pytest.skip("somebody committed between the two trainings, and the commit is part of the bundle")
    assert different(here, there) == {"MANIFEST.sig"}, "signed by another key"
    assert there.name == here.name == trained.version.digest


OF_THE_COMMIT = {"lineage.json", "model_card.md", "MANIFEST.json"}
"""Files that name the commit, and the list of their hashes."""


def different(here: Path, there: Path) -> set[str]:
    names = {path.name for folder in (here, there) for path in folder.iterdir()}
    return {name for name in names if (here / name).read_bytes() != (there / name).read_bytes()}


def commit_of(bundle: Path) -> str:
    return json.loads((bundle / "lineage.json").read_text())["git_commit"]


@pytest.fixture
def shuffled_irises(tmp_path: Path) -> Path:
    """Fisher's measures with species that belong to other flowers: nothing can be learnt."""
    source = load_use_case("iris").resolve("scikit-learn")
    first, *rows = Path(source).read_text().splitlines()
    cells = pl.DataFrame([row.rsplit(",", 1) for row in rows], schema=["measures", "species"], orient="row")
    mixed = cells.with_columns(pl.col("species").shuffle(seed=1))
    path = tmp_path / "shuffled.csv"
    path.write_text("\n".join([first, *(",".join(row) for row in mixed.iter_rows())]) + "\n")
    return path


def newest_run():
    runs = Client().list_pipeline_runs(pipeline="training", sort_by="desc:created", size=1, hydrate=True)
    return runs.items[0]


def test_a_version_whose_gate_fails_stays_in_development_and_the_flow_fails(
    orchestration, pages, shuffled_irises: Path
):
    config = TrainingConfig(use_case="iris", source=str(shuffled_irises), as_of=MIDSUMMER_2020, trials=1)
    with pytest.raises(GateError, match="stays in Development") as caught:
        training_flow(config)

    run = newest_run()
    version = output(run, "registered_version")
    assert version.reference in caught.value.found
    assert output(run, "gate_verdict").outcome is not Outcome.PASS
    assert registry().get("iris", version.version).stage is Stage.DEVELOPMENT
    assert registry().report("iris", version.version).is_file(), "people can read why"
    assert run.status == ExecutionStatus.FAILED
    assert pages.flow_run_of(run).state_name == "Failed"
    assert {task.state_name for task in pages.tasks_of(run).values()} == {"Completed"}


def test_a_day_before_any_label_matured_fails_the_step_and_registers_nothing(orchestration, trained):
    before = registry().list("credit")

    with pytest.raises(EmptyWindowError):
        training_flow(TrainingConfig(as_of=datetime(1960, 1, 1, tzinfo=UTC), trials=1))

    assert registry().list("credit") == before
    assert newest_run().status == ExecutionStatus.FAILED


def test_no_collection_begins_while_a_bundle_is_packed(orchestration, tmp_path, monkeypatch):
    station, store = import_module("steps.pack_bundle"), FolderSnapshotStore(str(tmp_path / "snapshots"))
    snapshot = ingest(load_use_case("iris"), None, store)

    def pack(*_parts):
        with pytest.raises(TransitionError, match="being committed"), collecting(store.folder):
            pass
        return SimpleNamespace(digest="of the bundle")

    monkeypatch.setattr(station, "snapshot_store", lambda: store)
    monkeypatch.setattr(station, "pack", pack)
    trained = SimpleNamespace(use_case="iris", snapshot_id=snapshot.id, as_of=MIDSUMMER_2020)

    assert station.pack_bundle.entrypoint(trained, None, None, None) == "of the bundle"
