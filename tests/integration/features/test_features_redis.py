"""A real Redis: hashes that Feast's stock store reads, the newest event kept, one batch a call."""

import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from modelway.bundle.online import OnlineView
from modelway.errors import StorageError
from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.features.names import project_name
from modelway.features.store import FeatureStore
from serving.gateway.ports import free_port
from serving.runtime.online_redis import RedisOnlineStore
from serving.runtime.redis_server import RedisServer

pytestmark = pytest.mark.apt("redis-server")

TIME = pl.Datetime("us", "UTC")
JAN, FEB = (datetime(2005, month, 1, tzinfo=UTC) for month in (1, 2))
AS_OF = FEB + timedelta(days=9)
ROWS = [
    ("NY", JAN, JAN, 1.5, "calm"),
    ("NY", FEB, FEB, 0.1, "büsy"),
    ("FL", JAN, JAN, 0.0, None),
    ("TX", JAN, JAN, None, "calm"),
]
VIEWS = tuple(
    FeatureView(
        name=name,
        entity="state",
        ttl_days=60,
        compute=lambda history: history,
        features=(
            Feature(name=f"{name}_rate", sql="rate"),
            Feature(name=f"{name}_mood", sql="mood", kind="category"),
        ),
    )
    for name in ("a", "b")
)
USE_CASE = SimpleNamespace(name="moods-3", features=FeatureSet(row=(), views=VIEWS))


def table(rows):
    schema = {"state": pl.String, "event_time": TIME, "known_at": TIME, "rate": pl.Float64, "mood": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture(scope="module")
def address():
    """`host:port` of a Redis that keeps nothing on disk."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port):
    until = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@pytest.fixture
def store(tmp_path, address):
    store = FeatureStore(tmp_path / "features", redis=address)
    store.materialise(USE_CASE, table(ROWS).lazy(), as_of=AS_OF)
    yield store
    store.clear(USE_CASE)


def rates(store, *states, view="a"):
    return store.read(USE_CASE, view, states, at=AS_OF)[f"{view}_rate"].to_list()


def push(store, event_time, rate, known_at=None):
    return store.push(USE_CASE, "a", table([("NY", event_time, known_at or event_time, rate, "busy")]))


def stock(store):
    """Feast as it comes, with its own Redis store, on the same repository."""
    from feast import FeatureStore as Feast  # noqa: PLC0415 - 4 s that collecting tests need not pay

    config = store.folder(USE_CASE) / "feature_store.yaml"
    config.write_text(
        config.read_text().replace("modelway.features.online_redis.NewestWinsRedisOnlineStore", "redis")
    )
    return Feast(repo_path=str(config.parent))


def test_feasts_stock_redis_store_reads_what_was_written_packed(store):
    answer = stock(store).get_online_features(
        features=["a:a_rate", "a:a_mood", "b:b_rate"],
        entity_rows=[{"state": state} for state in ("NY", "FL", "TX", "XX")],
    )

    rates = [pytest.approx(0.1, rel=1e-7), 0.0, None, None]
    assert answer.to_dict() == {
        "state": ["NY", "FL", "TX", "XX"],
        "a_rate": rates,
        "a_mood": ["büsy", None, "calm", None],
        "b_rate": rates,
    }


def test_every_byte_of_a_hash_is_what_feast_writes(store, address):
    import redis  # noqa: PLC0415 - as above

    host, port = address.split(":")
    client = redis.Redis(host=host, port=int(port))
    ours = {key: client.hgetall(key) for key in client.scan_iter()}
    client.flushall()
    latest = (
        table(ROWS[1:])
        .rename({"rate": "a_rate", "mood": "a_mood"})
        .with_columns(pl.col("a_rate").cast(pl.Float32))
    )
    feast = stock(store)
    feast.write_to_online_store("a", latest.to_pandas())
    theirs = {key: client.hgetall(key) for key in client.scan_iter()}

    assert ours.keys() == theirs.keys()
    for key, fields in theirs.items():
        missing = {name for name, value in fields.items() if value != ours[key].get(name)}
        assert {ours[key][name] for name in missing} <= {
            b""
        }  # a missing number: Feast writes NaN, we write nothing


def test_an_older_event_does_not_replace_a_newer_one_even_within_a_second(store):
    push(store, FEB + timedelta(microseconds=7), 7.0)
    push(store, FEB + timedelta(microseconds=3), 3.0)
    push(store, JAN, 99.0)

    assert rates(store, "NY") == [7.0]
    assert rates(store, "NY", view="b") == [pytest.approx(0.1)]


def test_a_correction_of_the_same_moment_wins_and_what_it_corrects_does_not_come_back(store):
    push(store, FEB, 4.0, known_at=FEB + timedelta(days=6))
    push(store, FEB, 2.5, known_at=FEB + timedelta(days=3))

    assert rates(store, "NY") == [4.0]


def test_feasts_own_push_keeps_the_newest_too(store):
    rows = [
        ("NY", FEB + timedelta(days=day), FEB + timedelta(days=day), float(day), "x") for day in (2, 6, 4)
    ]
    frame = table(rows).rename({"rate": "a_rate", "mood": "a_mood"}).to_pandas()
    store._feast(USE_CASE).write_to_online_store("a", frame)

    assert rates(store, "NY") == [6.0]


def test_online_equals_offline_and_clear_forgets_everything(store):
    assert store.skew(USE_CASE, table(ROWS).lazy(), as_of=AS_OF).passed

    store.clear(USE_CASE)
    store.materialise(USE_CASE, table(ROWS).lazy(), as_of=JAN + timedelta(days=9))

    assert rates(store, "NY", "XX") == [1.5, None]


def test_a_view_that_went_and_came_back_starts_empty(store):
    bare = SimpleNamespace(name=USE_CASE.name, features=FeatureSet(row=(), views=VIEWS[1:]))
    store.apply(bare)
    store.materialise(USE_CASE, table(ROWS).lazy(), as_of=JAN + timedelta(days=9))

    assert rates(store, "NY") == [1.5]
    assert rates(store, "NY", view="b") == [pytest.approx(0.1)]


def test_a_server_that_is_away_is_a_storage_error(tmp_path):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        store = FeatureStore(tmp_path, redis=f"127.0.0.1:{taken.getsockname()[1]}")

        with pytest.raises(StorageError, match="failed: ConnectionError"):
            store.materialise(USE_CASE, table(ROWS).lazy(), as_of=AS_OF)


def test_a_value_is_missing_until_it_was_known(store):
    event, known = FEB + timedelta(days=1), FEB + timedelta(days=20, microseconds=3)
    store.push(USE_CASE, "a", table([("NY", event, known, 9.5, "late")]))

    before, after = (
        store.read(USE_CASE, "a", ["NY"], at=moment)["a_rate"].to_list()
        for moment in (known - timedelta(microseconds=1), known)
    )

    assert (before, after) == ([None], [9.5])


def server_store(address):
    """The same Redis, as the model server reads it: without Feast."""
    host, port = address.split(":")
    slow = 60_000  # this machine may be busy
    return RedisOnlineStore(
        RedisServer(url=f"redis://{host}:{port}", connect_timeout_ms=slow, timeout_ms=slow)
    )


def server_view(name):
    features = tuple(feature.name for view in VIEWS if view.name == name for feature in view.features)
    return OnlineView(
        name=name, table=f"{project_name(USE_CASE)}_{name}", entity="state", features=features, ttl_s=1.0
    )


def test_the_server_reads_without_feast_what_feast_reads_bit_for_bit(store, address):
    reader, states = server_store(address), ["NY", "FL", "TX", "XX"]
    at = FEB + timedelta(days=1, microseconds=7)
    known = FEB + timedelta(days=20, microseconds=3)
    store.push(USE_CASE, "a", table([("Köln", at, known, 9.5, "")]))

    found = reader.read(server_view("a"), states)
    late = reader.read(server_view("a"), ["Köln"])["Köln"]

    feast = store.read(USE_CASE, "a", states, at=AS_OF)
    rows = [found.get(state) for state in states]
    assert [row and row.values["a_rate"] for row in rows] == feast["a_rate"].to_list()
    assert [row and row.values["a_mood"] for row in rows] == feast["a_mood"].to_list()
    assert found["NY"].event_us == found["NY"].known_us == FEB.timestamp() * 1e6
    assert late.values == {"a_rate": 9.5, "a_mood": ""}
    assert (late.event_us, late.known_us) == tuple(
        (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for moment in (at, known)
    )
    assert reader.read(server_view("a"), []) == {}
    reader.close()


def test_a_server_gives_values_that_feasts_stock_store_wrote_their_own_time(store, address):
    later = FEB + timedelta(days=6)
    frame = table([("NY", later, later, 2.0, "calm")]).rename({"rate": "a_rate", "mood": "a_mood"})
    stock(store).write_to_online_store("a", frame.to_pandas())
    reader = server_store(address)

    row = reader.read(server_view("a"), ["NY"])["NY"]

    assert (row.values["a_rate"], row.event_us, row.known_us) == (2.0, *[later.timestamp() * 1e6] * 2)
    reader.close()
