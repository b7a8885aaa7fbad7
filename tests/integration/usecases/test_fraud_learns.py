"""Fraud can be found, and found less well once it changes its face. Library functions, no flow."""

from datetime import UTC, datetime

import polars as pl
import pytest

from modelway.bundle.signing import load_or_create_key
from modelway.contract import Candidate, Outcome, Verdict
from modelway.data.conformance import check_use_case
from modelway.data.frames import write_frame
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.evaluation.held_out import evaluate_on
from modelway.features.training_set import build_training_set
from modelway.optimize.parity import parity_of
from modelway.optimize.scoring import Graph
from modelway.probes.hindsight import hindsight_reasons
from modelway.probes.shuffled import Recipient, shuffled_reason
from modelway.registry.packing import Stores, pack
from modelway.stats.ranking import roc_auc
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, ignore_epoch
from modelway.training.encoding import signature_from
from modelway.training.final import rows_of
from modelway.training.reproduce import reproduce
from modelway.training.splits import split_by_time
from modelway.training.tracking import Tracker
from modelway.training.tune import Request, tune
from usecases.fraud import use_case
from usecases.fraud.simulator.scenario import FIRST_DAY

WORLD = "simulator?seed=3&days=90&cards=1200&merchants=150"
DRIFT_DAY = 60
AS_OF = datetime(2024, 7, 1, tzinfo=UTC)
SMALL_WORLD = "simulator?seed=3&days=60&cards=500&merchants=60"
SMALL = Candidate(kind="hgb", space={}, fixed={"max_iter": 20, "min_samples_leaf": 30})


def history_of(source, folder):
    store = FolderSnapshotStore(str(folder))
    return store.scan(ingest(use_case, source, store).id)


def quality(source, folder):
    """ROC-AUC on days 48 to 60 and from day 60 on, of a model that learnt from the days before 48."""
    rows = build_training_set(use_case, history_of(source, folder), as_of=AS_OF)
    day = (pl.col("event_time") - FIRST_DAY).dt.total_days()
    train = rows.filter(day < 48)
    signature = signature_from(use_case, train, threshold=0.5)
    recipe = Recipe(signature.columns, {"max_iter": 60, "min_samples_leaf": 60}, 7)
    model = kind_named("hgb").fit(rows_of(train, signature), None, recipe, ignore_epoch)
    held_out = (rows.filter(day.is_between(48, DRIFT_DAY - 1)), rows.filter(day >= DRIFT_DAY))
    return [
        roc_auc(part.y, model.margins(part.X)) for part in (rows_of(each, signature) for each in held_out)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fraud")


def test_the_use_case_keeps_what_it_promises() -> None:
    verdict = check_use_case(use_case, WORLD)

    assert verdict.passed, verdict.summary()


def test_no_feature_knows_what_became_known_later(folder) -> None:
    history = history_of(WORLD, folder)
    rows = build_training_set(use_case, history, as_of=AS_OF)

    reasons = list(hindsight_reasons(use_case, history, rows))
    assert [reason.outcome for reason in reasons] == [Outcome.PASS, Outcome.PASS]
    assert reasons[0].samples > 700


def test_a_view_that_windows_by_the_time_of_the_event_alone_would_be_caught(folder) -> None:
    """The probe can fire here: a late purchase that counts from when it happened is hindsight."""
    views = [
        view.model_copy(
            update={"compute": lambda h, compute=view.compute: compute(h.with_columns(known_at="event_time"))}
        )
        for view in use_case.features.views
    ]
    eager = type(
        "Eager", (type(use_case),), {"features": use_case.features.model_copy(update={"views": tuple(views)})}
    )()
    history = history_of(WORLD.replace("cards=1200", "cards=300") + "&late_share=0.5", folder)

    reasons = list(hindsight_reasons(eager, history, build_training_set(eager, history, as_of=AS_OF)))
    assert reasons[0].outcome is Outcome.FAIL


def test_a_model_finds_fraud_and_goes_on_finding_it_while_nothing_changes(folder) -> None:
    before, after = quality(WORLD, folder)

    assert before > 0.85
    assert after > 0.85


def test_concept_drift_costs_quality_on_the_day_it_begins(folder) -> None:
    before, after = quality(f"{WORLD}&drift=concept@{DRIFT_DAY}", folder)

    assert before > 0.85
    assert after < before - 0.15


def test_more_fraud_of_the_same_kind_is_found_as_well(folder) -> None:
    _, after = quality(f"{WORLD}&drift=prior@{DRIFT_DAY}", folder)

    assert after > 0.85


@pytest.fixture(scope="module")
def made(folder):
    """A small world, trained by the platform's own way with one candidate."""
    small = type("Small", (type(use_case),), {"candidates": (SMALL,)})()
    store = FolderSnapshotStore(str(folder / "small"))
    snapshot = ingest(small, SMALL_WORLD, store)
    rows = build_training_set(small, store.scan(snapshot.id, as_of=AS_OF), as_of=AS_OF)
    splits = split_by_time(rows, str(folder / "frames"))
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"))
    request = Request(snapshot_id=snapshot.id, as_of=AS_OF, seed=3, trials=1)
    trained = tune(small, splits, request, tracker=tracker, folder=str(folder / "models"))
    return small, store, write_frame(rows, str(folder / "frames")), splits, trained


def test_derived_features_go_the_whole_way_of_training(made, folder) -> None:
    """Search, fit, export, parity, evaluation, probe, bundle, making it again: all see the same columns."""
    small, store, training_set, splits, trained = made
    test = splits.test.load()

    assert trained.signature.derived == use_case.features.derived
    assert Graph(trained.onnx.read()).features == len(use_case.features.names)
    parity = parity_of(trained, test, limit=use_case.gates.max_parity_error)
    assert parity.passed, parity.summary()
    assert shuffled_reason(Recipient(trained, splits.train.load(), test)).found is not None
    evaluation = evaluate_on(small, trained, splits, None)
    explained = {each.feature for each in evaluation.explanation.importance}
    assert explained == set(use_case.features.names)  # the graph's own columns are inside

    stores = Stores(folder / "bundles", load_or_create_key(folder / "keys"))
    history = store.scan(trained.snapshot_id, as_of=AS_OF)
    bundle = pack(small, trained, evaluation, Verdict(outcome=Outcome.PASS), training_set, history, stores)
    again = {r.metric: r for r in reproduce(small, bundle, store, str(folder / "again")).reasons}

    assert bundle.signature.derived == use_case.features.derived
    assert again["graph"].message.startswith("the graph is the same to the byte")
    assert again["signature"].outcome is again["probabilities"].outcome is Outcome.PASS
