"""Feast's own store, generated and guarded: what is written, read, missing and refused."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import polars as pl
import pytest

from modelway.contract import Outcome
from modelway.errors import ContractError, EmptyWindowError, NotFoundError, StorageError
from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.features.feast_border import definitions
from modelway.features.store import FeatureStore

TIME = pl.Datetime("us", "UTC")
TTL_DAYS = 60
JAN, FEB, MAR = (datetime(2005, month, 1, tzinfo=UTC) for month in (1, 2, 3))
LAG = timedelta(days=3)
ROWS = [
    ("NY", JAN, JAN + LAG, 1.5, "calm"),
    ("NY", FEB, FEB + LAG, 2.5, "busy"),
    ("FL", JAN, JAN + LAG, 7.25, None),
    ("NY", MAR, MAR + LAG, 3.5, "calm"),
]


def as_given(history: pl.LazyFrame) -> pl.LazyFrame:
    return history


def view(**changes) -> FeatureView:
    features = (
        Feature(name="rate", unit="share", description='the "rate"'),
        Feature(name="mood", kind="category"),
    )
    parts = {"name": "state_mood", "entity": "state", "ttl_days": TTL_DAYS, "compute": as_given}
    return FeatureView(**{**parts, "features": features, **changes})


def use_case_of(*views):
    return SimpleNamespace(name="moods-2", features=FeatureSet(row=(), views=views))


def table(rows):
    schema = {"state": pl.String, "event_time": TIME, "known_at": TIME, "rate": pl.Float64, "mood": pl.String}
    return pl.LazyFrame(rows, schema=schema, orient="row")


USE_CASE = use_case_of(view())


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features")


@pytest.fixture
def filled(store):
    """Materialised on 10 February: March has not happened."""
    store.materialise(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=9))
    return store


def rates(store, values, at=FEB + timedelta(days=9)):
    return store.read(USE_CASE, "state_mood", values, at=at)["rate"].to_list()


def push(store, state, event_time, rate, known_at=None):
    """Write online through Feast itself, as a stream job would."""
    frame = table([(state, event_time, known_at or event_time, rate, "busy")]).collect().to_pandas()
    store._feast(USE_CASE).write_to_online_store("state_mood", frame)


def test_materialise_counts_entities_and_read_answers_in_the_order_asked(store):
    count = store.materialise(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=9))

    frame = store.read(USE_CASE, "state_mood", ["FL", None, "NY", "XX", "FL"], at=FEB + timedelta(days=9))
    assert count == 2
    assert frame.rows() == [
        ("FL", JAN, 7.25, None),
        (None, None, None, None),
        ("NY", FEB, 2.5, "busy"),
        ("XX", None, None, None),
        ("FL", JAN, 7.25, None),
    ]
    assert frame.schema == {"state": pl.String, "event_time": TIME, "rate": pl.Float32, "mood": pl.String}


def test_the_repository_written_is_one_that_feast_reads_by_itself(filled):
    from feast import FeatureStore as Feast  # noqa: PLC0415 - 4 s that collecting tests need not pay

    feast = Feast(repo_path=str(filled.folder(USE_CASE)))

    answer = feast.get_online_features(features=["state_mood:rate"], entity_rows=[{"state": "NY"}]).to_dict()
    assert answer == {"state": ["NY"], "rate": [2.5]}
    field = next(f for f in feast.get_feature_view("state_mood").schema if f.name == "rate")
    assert (field.description, field.tags) == ('the "rate"', {"unit": "share"})
    offline = pl.read_parquet(filled.folder(USE_CASE) / "offline" / "state_mood.parquet")
    assert offline.schema["event_time"] == TIME
    assert offline.height == 3


def test_a_row_counts_from_the_day_it_was_published(store):
    store.materialise(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=2))

    assert rates(store, ["NY"]) == [1.5]


def test_nothing_printed_while_materialising(store, capsys):
    store.materialise(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=9))

    assert capsys.readouterr().out == ""


def test_an_older_event_does_not_replace_a_newer_one(filled):
    push(filled, "NY", JAN, 99.0)

    assert rates(filled, ["NY"]) == [2.5]


def test_an_older_event_within_the_same_second_does_not_either(filled):
    moment = FEB + timedelta(days=5)
    push(filled, "NY", moment + timedelta(microseconds=7), 7.0)
    push(filled, "NY", moment + timedelta(microseconds=3), 3.0)

    frame = filled.read(USE_CASE, "state_mood", ["NY"], at=FEB + timedelta(days=9))
    assert frame.select("event_time", "rate").row(0) == (moment + timedelta(microseconds=7), 7.0)


def test_a_correction_of_the_same_moment_wins_and_what_it_corrects_does_not_come_back(filled):
    push(filled, "NY", FEB, 4.0, known_at=FEB + timedelta(days=6))
    push(filled, "NY", FEB, 2.5, known_at=FEB + LAG)

    assert rates(filled, ["NY"]) == [4.0]


def test_of_one_batch_the_newest_stays_whatever_the_order(filled):
    rows = [("NY", FEB + timedelta(days=d), FEB + timedelta(days=d), float(d), "busy") for d in (2, 6, 4)]
    filled._feast(USE_CASE).write_to_online_store("state_mood", table(rows).collect().to_pandas())

    assert rates(filled, ["NY"]) == [6.0]


def test_an_old_window_materialised_again_changes_nothing(filled):
    feast = filled._feast(USE_CASE)

    feast.materialize(JAN - timedelta(days=30), JAN + timedelta(days=10))

    assert rates(filled, ["NY"]) == [2.5]


def test_an_earlier_as_of_changes_nothing_online(filled):
    filled.materialise(USE_CASE, table(ROWS), as_of=JAN + timedelta(days=9))

    assert rates(filled, ["NY"]) == [2.5]


def test_feasts_own_sqlite_store_would_have_lost_the_newer_value(filled):
    """Why the guard exists. When this fails, Feast has learnt it and online.py can go."""
    config = filled.folder(USE_CASE) / "feature_store.yaml"
    config.write_text(
        config.read_text().replace("modelway.features.online.NewestWinsSqliteOnlineStore", "sqlite")
    )
    plain = FeatureStore(filled.root)
    plain._feast(USE_CASE).apply(definitions(filled.folder(USE_CASE)))

    push(plain, "NY", FEB, 2.5)
    push(plain, "NY", JAN, 99.0)

    assert rates(plain, ["NY"]) == [99.0]


def test_a_store_of_an_earlier_release_is_filled_anew(store):
    store.apply(USE_CASE)
    database = store.online_file(USE_CASE)
    with closing(sqlite3.connect(database)) as old:
        old.executescript("""
            DROP TABLE modelway_rows;
            CREATE TABLE modelway_rows (view TEXT, entity TEXT, event_us INTEGER, row TEXT);
            INSERT INTO modelway_rows VALUES ('moods_2_state_mood', 'NY', 9000000000000000, '{}');
            CREATE TABLE moods_2_state_mood (entity_key BLOB);
            CREATE TABLE modelway_newest (view TEXT);
        """)

    store.materialise(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=9))

    assert rates(store, ["NY"]) == [2.5]
    with closing(sqlite3.connect(database)) as new:
        assert new.execute("SELECT name FROM sqlite_master").fetchall() == [("modelway_rows",)]


def test_a_value_that_no_feature_of_ours_has_is_refused(filled):
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: PLC0415 - 4 s that collecting need not pay
    from feast.protos.feast.types.Value_pb2 import Value  # noqa: PLC0415 - as above

    feast = filled._feast(USE_CASE)
    view_of = feast.get_feature_view("state_mood")
    text = EntityKey(join_keys=["state"], entity_values=[Value(string_val="NY")])
    number = EntityKey(join_keys=["state"], entity_values=[Value(int64_val=1)])
    write = feast.provider.online_store.online_write_batch

    with pytest.raises(ContractError, match="a value of kind int64_val"):
        write(feast.config, view_of, [(text, {"rate": Value(int64_val=1)}, MAR, None)], None)
    with pytest.raises(ContractError, match="state_mood with an entity that is not one text"):
        write(feast.config, view_of, [(number, {"rate": Value(float_val=1)}, MAR, None)], None)
    assert rates(filled, ["NY"]) == [2.5]


def test_two_writers_at_once_leave_the_newest(filled):
    moments = [FEB + timedelta(hours=hour) for hour in range(24)]

    def write(part):
        own = FeatureStore(filled.root)
        for moment in part:
            push(own, "NY", moment, float(moment.hour))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [moments, moments[::-1]]))

    assert rates(filled, ["NY"]) == [23.0]


def test_a_value_exactly_as_old_as_ttl_is_read_and_one_moment_later_it_is_missing(filled):
    limit = FEB + timedelta(days=TTL_DAYS)

    assert rates(filled, ["NY"], at=limit) == [2.5]
    assert rates(filled, ["NY"], at=limit + timedelta(microseconds=1)) == [None]


def test_a_value_from_after_the_moment_asked_for_is_missing(filled):
    assert rates(filled, ["NY"], at=JAN + timedelta(days=20)) == [None]


def test_more_entities_than_one_statement_takes(filled):
    asked = [f"S{i}" for i in range(12_000)] + ["NY"]

    assert rates(filled, asked)[-1] == 2.5


def test_a_value_is_missing_until_it_was_known(filled):
    push(filled, "NY", FEB + timedelta(days=1), 9.5, known_at=FEB + timedelta(days=20))

    before, after = (rates(filled, ["NY"], at=FEB + timedelta(days=day)) for day in (19, 20))

    assert (before, after) == ([None], [9.5])


def test_skew_passes_when_online_is_what_the_join_gives(filled):
    verdict = filled.skew(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=9))

    assert verdict.outcome is Outcome.PASS
    assert verdict.reasons[0].samples == 2


def test_skew_fails_and_shows_the_entity_when_an_online_value_is_wrong(filled):
    push(filled, "NY", FEB, 2.75, known_at=FEB + LAG)

    verdict = filled.skew(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=9))

    assert verdict.outcome is Outcome.FAIL
    assert verdict.reasons[0].found == 1
    shown = verdict.evidence["state_mood.differing"][0]
    assert (shown["state"], shown["rate"], shown["rate_online"]) == ("NY", 2.5, 2.75)


def test_a_value_that_a_stream_has_overtaken_is_no_skew_of_an_earlier_day(filled):
    """Training for a day that has passed while the stream goes on: Florida's value of then is gone."""
    push(filled, "FL", FEB + timedelta(days=20), 9.5)

    verdict = filled.skew(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=9))

    assert (verdict.outcome, verdict.reasons[0].samples) == (Outcome.PASS, 1)
    assert "1 with newer values left out" in verdict.reasons[0].message
    push(filled, "NY", FEB + timedelta(days=20), 9.5)
    verdict = filled.skew(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=9))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "from after 2005-02-10 alone" in verdict.summary()


@pytest.mark.parametrize(("rate", "outcome"), [(1.5, Outcome.INCONCLUSIVE), (1.75, Outcome.FAIL)])
def test_skew_of_the_few_that_no_stream_has_overtaken_is_no_pass(filled, rate, outcome):
    """Two states of three went on; that the third is right says little, that it is wrong says all."""
    push(filled, "TX", FEB, rate, known_at=FEB + LAG)
    for state in ("FL", "NY"):
        push(filled, state, FEB + timedelta(days=20), 9.5)
    history = pl.concat([table(ROWS), table([("TX", FEB, FEB + LAG, 1.5, "busy")])])

    verdict = filled.skew(USE_CASE, history, as_of=FEB + timedelta(days=9))

    assert (verdict.outcome, verdict.reasons[0].samples) == (outcome, 1)
    assert "2 with newer values left out: at least 50% of 3 are needed" in verdict.reasons[0].message


def test_skew_fails_when_the_store_has_fallen_behind(filled):
    verdict = filled.skew(USE_CASE, table(ROWS), as_of=MAR + timedelta(days=9))

    assert verdict.outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("prepare", "as_of", "words"),
    [
        pytest.param(False, FEB, "never materialised", id="never-materialised"),
        pytest.param(True, JAN + timedelta(days=9), "later than 2005-01-10", id="an-earlier-day"),
        pytest.param(True, MAR + timedelta(days=300), "no value to compare", id="everything-expired"),
    ],
)
def test_skew_is_inconclusive_when_nothing_could_be_compared(store, prepare, as_of, words):
    if prepare:
        store.materialise(USE_CASE, table(ROWS), as_of=FEB + timedelta(days=9))

    verdict = store.skew(USE_CASE, table(ROWS), as_of=as_of)

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert words in verdict.summary()


def test_a_use_case_without_views_materialises_nothing_and_its_skew_is_inconclusive(store):
    bare = use_case_of()

    assert store.materialise(bare, table(ROWS), as_of=FEB) == 0
    assert store.skew(bare, table(ROWS), as_of=FEB).outcome is Outcome.INCONCLUSIVE


def test_after_clear_a_replay_may_start_at_an_earlier_day(filled):
    filled.clear(USE_CASE)
    filled.materialise(USE_CASE, table(ROWS), as_of=JAN + timedelta(days=9))

    assert rates(filled, ["NY"], at=JAN + timedelta(days=9)) == [1.5]
    assert filled.skew(USE_CASE, table(ROWS), as_of=JAN + timedelta(days=9)).passed


def test_a_view_taken_out_of_the_use_case_goes_and_one_that_returns_starts_empty(filled):
    other = view(name="state_other", features=(Feature(name="other", sql="rate"),))
    changed = use_case_of(other)

    filled.materialise(changed, table(ROWS), as_of=JAN + timedelta(days=9))
    names = [v.name for v in filled._feast(changed).list_feature_views()]
    filled.materialise(USE_CASE, table(ROWS), as_of=JAN + timedelta(days=9))

    assert names == ["state_other"]
    assert rates(filled, ["NY"], at=JAN + timedelta(days=9)) == [1.5]


def test_a_day_before_anything_was_published_is_an_empty_window(store):
    with pytest.raises(EmptyWindowError, match="state_mood had published nothing by 2005-01-02"):
        store.materialise(USE_CASE, table(ROWS), as_of=JAN + timedelta(days=1))

    assert not store.root.exists()


def test_reading_before_materialising_says_what_to_run(store):
    with pytest.raises(NotFoundError) as caught:
        rates(store, ["NY"])

    assert "modelway features materialise moods-2" in caught.value.remedy


def test_an_unknown_view_is_named(filled):
    with pytest.raises(NotFoundError, match="no feature view 'mood'"):
        filled.read(USE_CASE, "mood", ["NY"], at=FEB)


def test_a_root_that_is_no_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="applying the features of moods-2 failed"):
        FeatureStore(tmp_path / "file").materialise(USE_CASE, table(ROWS), as_of=FEB)


def test_the_store_is_opened_without_importing_feast(tmp_path):
    """A command line that only names the store must not pay for it."""
    code = "import sys, modelway.features.store as m; m.FeatureStore('x'); print('feast' in sys.modules)"
    run = partial(subprocess.run, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)

    assert run([sys.executable, "-c", code]).stdout.strip() == "False"
