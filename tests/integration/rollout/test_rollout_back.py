"""The way back: real gateway, real runtime, real registry on MLflow and its audit log, real requests."""

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import stacks.active
import stacks.rollback
import stacks.standby
from modelway.bundle.bundle import Bundle
from modelway.cli import rollout
from modelway.contract import CostMatrix, Verdict
from modelway.errors import InputError, IntegrityError, NotFoundError, TransitionError
from modelway.evaluation import Evaluation, evaluate
from modelway.registry.audit import AuditLog
from modelway.registry.registry import Registry
from modelway.registry.versions import VersionStore
from serving.rollout.driver import begin
from serving.rollout.local import LocalTarget
from serving.rollout.runner import Record, Records
from serving.rollout.switching import weights_of
from stacks.standby import keep_warm, revision_in

GRAPHS = ("good", "better", "eager")


def evaluation() -> Evaluation:
    random = np.random.default_rng(5)
    y = (random.random(200) < 0.3).astype(int)
    scores = np.clip(0.3 + 0.4 * (y - 0.3) + 0.1 * random.normal(size=200), 0.01, 0.99)
    costs = CostMatrix(false_positive=1, false_negative=2)
    return evaluate(y=y, scores=scores, threshold=0.4, costs=costs, seed=1, resamples=20, test_openings=1)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables, to be copied: making one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    VersionStore(f"sqlite:///{path}").ledger_ids()
    return path


@pytest.fixture
def models(
    tmp_path: Path,
    empty_store: Path,
    bundled: Callable[[str], Bundle],
    monkeypatch: pytest.MonkeyPatch,
) -> Registry:
    """Three versions, each promoted after the other."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path))
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    found = Registry(uri, tmp_path / "bundles", AuditLog(tmp_path / "audit.db"))
    for graph in GRAPHS:
        bundle = bundled(graph)
        version = found.register(
            bundle, evaluation=evaluation(), verdict=Verdict(outcome="pass"), run_id="r", who="ci"
        )
        found.promote("paint", version.version, who="ada", why=f"the {graph} one")
    return found


@pytest.fixture
def call(models: Registry, target: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`modelway rollout` on this test's gateway and registry; its errors are raised."""
    for name, found in (("serving_target", target), ("local_gateway", target), ("registry", models)):
        monkeypatch.setattr(stacks.rollback, name, lambda *_, found=found: found)
    monkeypatch.setattr(stacks.rollback, "serves_on_a_cluster", lambda: False)
    monkeypatch.setattr(stacks.standby, "warm_versions", lambda: 1)
    target.serve(revision_in(models, models.get("paint", 3)))
    keep_warm(models, target, "paint")
    target._gateway.until(lambda: _ready(target, "paint-v2"), 60, "the version to go back to")

    def run(*argv: str) -> Any:
        return CliRunner().invoke(rollout.app, list(argv), catch_exceptions=False)

    return run


def _ready(target: LocalTarget, revision: str) -> bool | None:
    found = target.ready(revision)
    return True if found is not None and found.complete else None


def _everything(root: Path) -> dict[str, str]:
    """Hash of every file that says what is wished, decided or registered; not of what merely happened."""
    happened = {"status.json", "supervisor.lock", "desired.lock"}
    files = (f for f in root.rglob("*") if f.is_file() and f.name not in happened)
    kept = (f for f in files if not {"logs", "predictions", "envoy"} & set(f.parts))
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in kept}


def test_going_back_moves_traffic_and_books_and_loses_no_request(
    call: Callable[..., Any], models: Registry, target: LocalTarget, load: Any, tmp_path: Path
) -> None:
    store = VersionStore(f"sqlite:///{tmp_path / 'mlflow.db'}")
    store.set_tags("paint", 1, {"modelway.stage": "Staging"})  # MLflow lags behind the log, as after a kill
    before = _everything(tmp_path)
    with load(target.gateway_url) as users:
        (told,) = json.loads(call("back", "paint", "--dry-run", "--json").output)
        assert _everything(tmp_path) == before, "a dry run changes nothing, MLflow's tags included"
        assert target.routing().weights["paint-v3"] == 100

        done = json.loads(call("back", "paint", "--why", "complaints", "--who", "eve", "--json").output)
        target._gateway.until(lambda: users.answers[200, "paint-v2"] > 50 or None, 60, "answers of version 2")

    assert told["champion"] == "paint@3 -> paint@2"
    assert told["traffic"] == "paint-v3 100 % -> paint-v2 100 %"
    assert (told["loaded"], told["would load"], told["would stop"]) == (
        "yes: at once",
        "paint-v1",
        "paint-v3",
    )
    assert {status for status, _ in users.answers} == {200}
    assert users.answers[200, "paint-v3"] > 0
    assert done["switched"]["warm"] is True
    champion = models.champion("paint")
    assert champion is not None
    assert champion.version == 2
    assert champion.aliases == ("champion",)
    entry = models.audit.entries()[-1]
    assert (entry.event, entry.who, entry.why) == ("model.rolled_back", "eve", "complaints")
    assert entry.evidence["traffic"]["before"] == {"paint-v3": 100}
    assert entry.evidence["traffic"]["to"] == "paint-v2"
    assert target.deployed() == {"paint-v2", "paint-v1"}, "the version left is gone, the next one is loaded"
    now = models.history("paint", datetime.now(UTC).date())[-1]
    assert (now.version, now.how, now.evidence["traffic"]["warm"]) == (2, "rolled back", True)

    _back_to_one_that_is_not_loaded(call, target, load)
    assert models.champion("paint").version == 1
    with pytest.raises(TransitionError, match="no version served before it"):
        call("back", "paint", "--why", "further")


def _back_to_one_that_is_not_loaded(call: Callable[..., Any], target: LocalTarget, load: Any) -> None:
    """It starts before any request goes there."""
    target.retire("paint-v1")
    with load(target.gateway_url) as users:
        (told,) = json.loads(call("back", "paint", "--dry-run", "--json").output)
        done = json.loads(call("back", "paint", "--why", "that one too", "--json").output)

    assert told["loaded"].startswith("no")
    assert done["switched"]["warm"] is False
    assert {status for status, _ in users.answers} == {200}


def test_a_rollback_that_may_not_be_leaves_traffic_and_books_alone(
    call: Callable[..., Any], models: Registry, target: LocalTarget, make_plan: Any, runs_as: Any
) -> None:
    def refused(error: type[Exception], match: str, *argv: str) -> None:
        with pytest.raises(error, match=match):
            call("back", "paint", *(argv or ("--why", "complaints")))
        assert target.routing().weights["paint-v3"] == 100
        assert models.champion("paint").version == 3

    refused(InputError, "without a reason", "--who", "eve")
    for name in ("", "a/b"):
        with pytest.raises(NotFoundError, match="no model named"):
            call("back", name, "--dry-run")

    plan = make_plan(runs_as("eager", 3), runs_as("contrary", 4))
    Records(target.root).write(Record(plan=plan, state=begin(plan, datetime.now(UTC))))
    refused(TransitionError, "stands at deploying")
    (target.root / "rollouts" / "paint.json").unlink()

    evaluation_file = models.report("paint", 2).parent / "evaluation.json"
    whole = evaluation_file.read_bytes()
    evaluation_file.write_bytes(b"{}")
    refused(IntegrityError, "the evaluation was altered")
    refused(IntegrityError, "the evaluation was altered", "--dry-run")
    evaluation_file.write_bytes(whole)

    target.serve(revision_in(models, models.get("paint", 1)).model_copy(update={"id": "varnish-v1"}))
    with pytest.raises(TransitionError, match="varnish-v1 has the traffic"):
        call("back", "paint", "--why", "complaints")
    assert weights_of(target.routing()) == {"varnish-v1": 100}  # others may still drain
    assert models.champion("paint").version == 3
