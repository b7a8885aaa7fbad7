"""The table that servers read says what Feast's tables say, whoever wrote them."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.features.store import FeatureStore

TIME = pl.Datetime("us", "UTC")
JAN, FEB, MAR = (datetime(2005, month, 1, tzinfo=UTC) for month in (1, 2, 3))
VIEW = FeatureView(
    name="state_mood",
    entity="state",
    ttl_days=60,
    compute=lambda history: history,
    features=(Feature(name="rate"), Feature(name="mood", kind="category")),
)
USE_CASE: Any = SimpleNamespace(name="moods", features=FeatureSet(row=(), views=(VIEW,)))


def history(*rows: tuple[str, datetime, float | None, str | None]) -> pl.LazyFrame:
    wide = [(state, at, at, rate, mood) for state, at, rate, mood in rows]
    schema = {"state": pl.String, "event_time": TIME, "known_at": TIME, "rate": pl.Float64, "mood": pl.String}
    return pl.LazyFrame(wide, schema=schema, orient="row")


def kept(store: FeatureStore) -> dict[str, tuple[int, dict[str, Any]]]:
    with sqlite3.connect(store.online_file(USE_CASE)) as connection:
        rows = connection.execute("SELECT view, entity, event_us, row FROM modelway_rows").fetchall()
    connection.close()
    assert {view for view, *_ in rows} <= {"moods_state_mood"}
    return {entity: (event_us, json.loads(row)) for _, entity, event_us, row in rows}


def micros(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(tmp_path / "features")
    rows = history(("NY", JAN, 1.5, "calm"), ("NY", FEB, 0.1, None), ("FL", JAN, None, "busy"))
    store.materialise(USE_CASE, rows, as_of=FEB)
    return store


def test_a_row_an_entity_with_its_newest_values(store: FeatureStore) -> None:
    tenth = pl.Series([0.1], dtype=pl.Float32)[0]

    assert kept(store) == {
        "NY": (micros(FEB), {"rate": tenth, "mood": None}),
        "FL": (micros(JAN), {"rate": None, "mood": "busy"}),
    }


def test_what_is_pushed_through_feast_arrives_and_old_news_do_not(store: FeatureStore) -> None:
    for at, rate in ((MAR, 3.0), (JAN + timedelta(days=3), 99.0)):
        frame = history(("NY", at, rate, "calm")).collect().to_pandas()
        store._feast(USE_CASE).write_to_online_store("state_mood", frame)

    assert kept(store)["NY"] == (micros(MAR), {"rate": 3.0, "mood": "calm"})


def test_clearing_empties_the_file_under_a_reader_and_does_not_replace_it(store: FeatureStore) -> None:
    path = store.online_file(USE_CASE)
    reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    count = "SELECT count(*) FROM modelway_rows"
    assert reader.execute(count).fetchone() == (2,)
    inode = path.stat().st_ino

    store.clear(USE_CASE)

    assert path.stat().st_ino == inode
    assert reader.execute(count).fetchone() == (0,)
    store.materialise(USE_CASE, history(("NY", JAN, 1.5, "calm")), as_of=JAN)
    assert reader.execute(count).fetchone() == (1,)
    reader.close()
