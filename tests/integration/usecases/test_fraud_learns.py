"""Fraud can be found, and found less well once it changes its face. Library functions, no flow."""

from datetime import UTC, datetime

import polars as pl
import pytest

from modelway.contract import Outcome
from modelway.data.conformance import check_use_case
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.features.training_set import build_training_set
from modelway.probes.hindsight import hindsight_reasons
from modelway.stats.ranking import roc_auc
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, ignore_epoch
from modelway.training.encoding import signature_from
from modelway.training.final import rows_of
from usecases.fraud import use_case
from usecases.fraud.simulator.scenario import FIRST_DAY

WORLD = "simulator?seed=3&days=90&cards=1200&merchants=150"
DRIFT_DAY = 60
AS_OF = datetime(2024, 7, 1, tzinfo=UTC)


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
