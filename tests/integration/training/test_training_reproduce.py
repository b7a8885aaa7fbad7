from datetime import UTC, datetime

import polars as pl
import pytest
from train_once import FakeTracker

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.derived import Derived
from modelway.bundle.lineage import Lineage
from modelway.bundle.signing import load_or_create_key
from modelway.contract import Column, CostMatrix, Outcome, Verdict
from modelway.data.frames import write_frame
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.errors import NotFoundError
from modelway.evaluation.held_out import evaluate_on
from modelway.features.definitions import FeatureSet
from modelway.features.target_rate import target_rate
from modelway.features.training_set import build_training_set
from modelway.registry.packing import Stores, pack
from modelway.training import reproduce as module
from modelway.training.environment import Environment
from modelway.training.policy import TrainingPolicy
from modelway.training.reproduce import reproduce
from modelway.training.splits import split_by_time
from modelway.training.tune import Request, tune
from modelway.usecase import load_use_case
from usecases.iris.use_case import IrisUseCase

AS_OF = datetime(2020, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """Iris, ingested, trained and packed for real: use case, snapshots, bundle, folder."""
    return packed(load_use_case("iris"), tmp_path_factory.mktemp("iris"))


def packed(use_case, folder):
    snapshots = FolderSnapshotStore(str(folder / "snapshots"))
    snapshot = ingest(use_case, None, snapshots)
    history = snapshots.scan(snapshot.id, as_of=AS_OF)
    rows = build_training_set(use_case, history, as_of=AS_OF)
    training_set, splits = (
        write_frame(rows, str(folder / "frames")),
        split_by_time(rows, str(folder / "frames")),
    )
    request = Request(snapshot_id=snapshot.id, as_of=AS_OF, seed=3, trials=1)
    trained = tune(use_case, splits, request, tracker=FakeTracker(), folder=str(folder / "models"))
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
    others = {"environment", "training rows", "signature", "graph", "probabilities"}
    assert set(found) == others | set(iris[2].lineage.metrics)


class Beds(IrisUseCase):
    """The irises with all that training can do: a rate of labels, a ratio, a staircase, groups."""

    contract = IrisUseCase.contract.model_copy(
        update={"columns": (*IrisUseCase.contract.columns, Column(name="bed", kind="string"))}
    )
    features = FeatureSet(
        row=IrisUseCase.features.row,
        views=(target_rate("bed", IrisUseCase.label, smoothing_rows=5, ttl_days=200),),
        derived=(Derived(name="petal_ratio", how="ratio", of=("petal_length", "petal_width")),),
    )
    candidates = IrisUseCase.candidates[:1]
    training = TrainingPolicy(calibrators=("isotonic",), group="bed")

    def clean(self, raw):
        return super().clean(raw).with_columns((raw["row"].cast(pl.Int64) % 7).cast(pl.String).alias("bed"))


def test_so_is_one_with_rates_of_labels_derived_features_groups_and_a_staircase(tmp_path, monkeypatch):
    made = packed(Beds(), tmp_path)
    same_place(monkeypatch, made[2].lineage)

    verdict, found = again(made)

    assert verdict.passed, verdict.summary()
    assert made[2].lineage.calibrator == "isotonic"
    assert "bed_target_rate" in made[2].signature.names
    assert found["ece"] is found["cost_per_row"] is Outcome.PASS


@pytest.mark.parametrize(("is_same", "outcome"), [(True, Outcome.FAIL), (False, Outcome.INCONCLUSIVE)])
def test_a_metric_of_decisions_differs_for_good_only_in_the_same_environment(
    iris, tmp_path, monkeypatch, is_same, outcome
):
    same_place(
        monkeypatch, iris[2].lineage if is_same else iris[2].lineage.model_copy(update={"lock_sha256": "0"})
    )
    metrics = {**iris[2].lineage.metrics, "f1": 0.5}

    verdict, found = again(iris, with_lineage(iris, tmp_path, metrics=metrics))

    assert found["f1"] is verdict.outcome is outcome


def test_costs_that_have_changed_since_show_as_another_threshold(iris, monkeypatch):
    use_case, *others = iris
    same_place(monkeypatch, iris[2].lineage)
    dearer = type("Dearer", (type(use_case),), {"costs": CostMatrix(false_positive=1, false_negative=9)})()

    _, found = again((dearer, *others))

    assert found["signature"] is Outcome.FAIL
    assert found["graph"] is Outcome.PASS


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
