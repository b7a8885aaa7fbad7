from datetime import UTC, datetime

import pytest

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signing import load_or_create_key
from modelway.contract import Outcome, Verdict
from modelway.data.frames import write_frame
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.errors import NotFoundError
from modelway.evaluation.held_out import evaluate_on
from modelway.features.training_set import build_training_set
from modelway.registry.packing import Stores, pack
from modelway.training import reproduce as module
from modelway.training.environment import Environment
from modelway.training.reproduce import reproduce
from modelway.training.splits import split_by_time
from modelway.training.tracking import Tracker
from modelway.training.tune import Request, tune
from modelway.usecase import load_use_case

AS_OF = datetime(2020, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """Iris, ingested, trained and packed for real: use case, snapshots, bundle, folder."""
    folder = tmp_path_factory.mktemp("iris")
    use_case = load_use_case("iris")
    snapshots = FolderSnapshotStore(str(folder / "snapshots"))
    snapshot = ingest(use_case, None, snapshots)
    history = snapshots.scan(snapshot.id, as_of=AS_OF)
    rows = build_training_set(use_case, history, as_of=AS_OF)
    training_set, splits = (
        write_frame(rows, str(folder / "frames")),
        split_by_time(rows, str(folder / "frames")),
    )
    request = Request(snapshot_id=snapshot.id, as_of=AS_OF, seed=3, trials=1)
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"))
    trained = tune(use_case, splits, request, tracker=tracker, folder=str(folder / "models"))
    evaluation = evaluate_on(use_case, trained, splits, None)
    stores = Stores(folder / "bundles", load_or_create_key(folder / "keys"))
    verdict = Verdict(outcome=Outcome.PASS)
    bundle = pack(use_case, trained, evaluation, verdict, training_set, history, stores)
    return use_case, snapshots, bundle, folder


def again(iris, bundle: Bundle | None = None) -> tuple[Verdict, dict[str, Outcome]]:
    use_case, snapshots, original, folder = iris
    verdict = reproduce(use_case, bundle or original, snapshots, str(folder / "again"))
    return verdict, {reason.metric: reason.outcome for reason in verdict.reasons}


def with_lineage(iris, tmp_path, **changed) -> Bundle:
    _, _, bundle, folder = iris
    return write_bundle(
        tmp_path / "bundles",
        onnx=bundle.model,
        signature=bundle.signature,
        reference=bundle.reference,
        slo=bundle.slo,
        card="",
        lineage=bundle.lineage.model_copy(update=changed),
        key=load_or_create_key(folder / "keys"),
    )


def same_place(monkeypatch, lineage: Lineage) -> None:
    here = Environment(
        git_commit=lineage.git_commit,
        git_dirty=False,
        lock_sha256=lineage.lock_sha256,
        python="3.11",
        libraries=lineage.libraries,
    )
    monkeypatch.setattr(module, "current", lambda: here)


def test_a_model_is_made_again_to_the_byte(iris, monkeypatch):
    same_place(monkeypatch, iris[2].lineage)

    verdict, found = again(iris)

    assert verdict.passed, verdict.summary()
    assert set(found) == {
        "environment",
        "training rows",
        "signature",
        "graph",
        "probabilities",
        "roc_auc",
        "pr_auc",
    }


def test_another_environment_is_said_and_is_no_pass(iris, tmp_path, monkeypatch):
    same_place(monkeypatch, iris[2].lineage)
    elsewhere = with_lineage(iris, tmp_path, lock_sha256="0" * 64)

    verdict, found = again(iris, elsewhere)

    assert verdict.outcome is found["environment"] is Outcome.INCONCLUSIVE
    assert "lock 000000000000" in verdict.summary()


def test_a_model_of_other_parameters_is_told_apart(iris, tmp_path, monkeypatch):
    same_place(monkeypatch, iris[2].lineage)
    params = {**iris[2].lineage.params}
    name, value = next((k, v) for k, v in params.items() if "learning_rate" in k)
    other = with_lineage(iris, tmp_path, params={**params, name: float(value) * 0.1})

    verdict, found = again(iris, other)

    assert verdict.outcome is Outcome.FAIL
    assert found["graph"] is found["probabilities"] is Outcome.FAIL
    assert found["training rows"] is Outcome.PASS


def test_other_rows_than_the_lineage_names_are_found(iris, tmp_path, monkeypatch):
    same_place(monkeypatch, iris[2].lineage)

    _, found = again(iris, with_lineage(iris, tmp_path, training_set_sha256="0" * 64))

    assert found["training rows"] is Outcome.FAIL


def test_a_lineage_without_metrics_proves_none(iris, tmp_path, monkeypatch):
    same_place(monkeypatch, iris[2].lineage)

    verdict, found = again(iris, with_lineage(iris, tmp_path, metrics={}))

    assert found["roc_auc"] is found["pr_auc"] is verdict.outcome is Outcome.INCONCLUSIVE


def test_a_snapshot_that_is_gone_is_named(iris, tmp_path):
    with pytest.raises(NotFoundError, match="no snapshots start with"):
        again(iris, with_lineage(iris, tmp_path, snapshot_id="f" * 64))
