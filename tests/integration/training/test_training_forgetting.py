"""Refits from old and new rows, and what they forget."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest
from train_once import FakeTracker

from modelway.bundle.lineage import Lineage, Replay
from modelway.contract import Gates, Outcome
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.errors import ConfigError, EmptyWindowError
from modelway.features.training_set import build_training_set
from modelway.training.forgetting import forgetting, measured, memory_rows
from modelway.training.policy import TrainingPolicy
from modelway.training.replay import replay_of, replayed, training_rows
from modelway.training.splits import split_by_time
from modelway.training.tune import Request, tune
from modelway.usecase import load_use_case

THEN, NOW = datetime(2020, 4, 15, tzinfo=UTC), datetime(2020, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    use_case = load_use_case("iris")
    store = FolderSnapshotStore(str(tmp_path_factory.mktemp("iris")))
    snapshot = ingest(use_case, None, store)
    champion = Lineage(
        use_case="iris", snapshot_id=snapshot.id, as_of=THEN, kind="hgb", seed=7, window_months=12
    )
    return use_case, store, champion


def rows_of(iris, replay, as_of=NOW):
    use_case, store, champion = iris
    history = store.scan(champion.snapshot_id, as_of=as_of)
    return training_rows(use_case, history, as_of=as_of, replay=replay)


def test_a_refit_holds_every_new_row_and_a_share_of_the_old(iris):
    use_case, store, champion = iris
    replay = replay_of(champion, share=0.4, seed=3)

    rows = rows_of(iris, replay)

    everything = build_training_set(use_case, store.scan(champion.snapshot_id, as_of=NOW), as_of=NOW)
    old = everything.filter(pl.col("label_matured_at") <= THEN)
    taken = rows.filter(pl.col("label_matured_at") <= THEN)
    assert rows.filter(pl.col("label_matured_at") > THEN).equals(
        everything.filter(pl.col("label_matured_at") > THEN)
    )
    assert set(taken["flower"]) == set(old["flower"].filter(pl.Series(replayed(old["flower"], replay))))
    assert 0.2 < taken.height / old.height < 0.6


def test_what_is_measured_on_was_learnt_from_by_neither(iris):
    use_case, store, champion = iris
    replay = replay_of(champion, share=0.4, seed=3)

    memory = memory_rows(use_case, champion, store, replay)

    of_champion = split_by_time(rows_of(iris, None, THEN), str(store.folder.root))
    assert set(memory["flower"]) < set(of_champion.test.load()["flower"])
    assert not set(memory["flower"]) & set(rows_of(iris, replay)["flower"])


def test_of_a_newer_champion_only_rows_before_the_replay_are_unseen(iris):
    """Another model may have been released meanwhile; its newest rows the challenger knows."""
    use_case, store, champion = iris
    replay = replay_of(champion, share=0.4, seed=3)
    between = champion.model_copy(update={"as_of": THEN + timedelta(days=30)})

    memory = memory_rows(use_case, between, store, replay)

    assert not set(memory["flower"]) & set(rows_of(iris, replay)["flower"])


def test_the_champions_own_window_counts_and_not_todays(iris):
    use_case, store, champion = iris
    short = champion.model_copy(update={"window_months": 4})

    memory = memory_rows(use_case, short, store, replay_of(short, share=0.4, seed=3))

    learnt_by = training_rows(
        use_case, store.scan(champion.snapshot_id, as_of=THEN), as_of=THEN, replay=None, window_months=4
    )
    assert set(memory["flower"]) < set(split_by_time(learnt_by, str(store.folder.root)).test.load()["flower"])


def test_a_champion_that_does_not_name_its_window_is_not_replayed(iris):
    *_, champion = iris

    with pytest.raises(ConfigError, match="window"):
        replay_of(champion.model_copy(update={"window_months": None}), share=0.4, seed=3)


def test_a_third_refit_reaches_back_as_far_as_the_first(iris):
    *_, champion = iris
    day = timedelta(days=1)
    for year in range(3):
        began = champion.model_copy(update={"as_of": THEN + 365 * year * day})
        replay = replay_of(began, share=0.4, seed=3)
        champion = began.model_copy(update={"replay": replay})

    assert replay.until - timedelta(days=30.5 * replay.window_months) <= THEN - 365 * day


def test_a_second_refit_reaches_back_as_far_as_the_first(iris):
    *_, champion = iris
    first = replay_of(champion, share=0.4, seed=3)
    second = replay_of(champion.model_copy(update={"as_of": NOW, "replay": first}), share=0.4, seed=3)

    reach = NOW - timedelta(days=31 * second.window_months)

    assert reach <= THEN - timedelta(days=365)


def test_nothing_new_is_no_reason_to_refit(iris):
    replay = Replay(until=NOW, window_months=12, share=0.5, seed=3)

    with pytest.raises(EmptyWindowError, match="between 2020-06-01 and 2020-06-01"):
        rows_of(iris, replay)


def test_a_subject_is_drawn_by_its_name_alone():
    keys, replay = (
        pl.Series([f"L{i}" for i in range(4000)]),
        Replay(until=NOW, window_months=1, share=0.3, seed=3),
    )
    drawn = replayed(keys, replay)

    assert drawn.mean() == pytest.approx(0.3, abs=0.03)
    assert (replayed(keys[::-1], replay) == drawn[::-1]).all()
    assert (replayed(keys, replay.model_copy(update={"seed": 4})) != drawn).any()


@pytest.fixture
def learn(use_case, make_loans, tmp_path):
    """A model of the trees alone, on loans whose labels may be turned round."""
    use_case.candidates = use_case.candidates[:1]
    use_case.gates = Gates(min_rows=100, min_positives=30)
    use_case.training = TrainingPolicy(max_forgetting=0.02)

    def learn(*, turned: bool):
        frame = make_loans(1500, seed=1)
        label = (1 - pl.col("label")).cast(pl.Int8) if turned else pl.col("label")
        splits = split_by_time(frame.with_columns(label.alias("label")), str(tmp_path / "frames"))
        request = Request(snapshot_id="s", as_of=THEN, seed=3, trials=1)
        return tune(use_case, splits, request, tracker=FakeTracker(), folder=str(tmp_path / "models"))

    return learn


def as_bundle(trained, tmp_path):
    path = tmp_path / "champion.onnx"
    path.write_bytes(trained.onnx.read())
    return SimpleNamespace(model=path, signature=trained.signature)


def test_a_challenger_that_learnt_the_contrary_has_forgotten(use_case, learn, make_loans, tmp_path):
    champion, old = as_bundle(learn(turned=False), tmp_path), make_loans(800, seed=3)

    same = forgetting(use_case, learn(turned=False), champion, old)
    other = forgetting(use_case, learn(turned=True), champion, old)

    assert (same.outcome, other.outcome) == (Outcome.PASS, Outcome.FAIL)
    assert same.reasons[0].found == 0
    assert other.reasons[0].found < -0.2
    found = other.evidence["forgetting"]
    assert found["difference"]["high"] < -0.02
    assert sum(part["rows"] for part in found["slices"]) == found["rows"] == 800
    assert measured(other)["forgetting_difference"] == other.reasons[0].found


def test_too_few_positives_cannot_tell(use_case, learn, make_loans, tmp_path):
    challenger = learn(turned=False)
    few = make_loans(800, seed=3).filter(pl.col("label") == 0)

    verdict = forgetting(use_case, challenger, as_bundle(challenger, tmp_path), few)

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert measured(verdict) == {"forgetting_rows": few.height}
