"""Late and disordered payments pushed to a real Feast store: online is what training would see."""

from datetime import timedelta

import polars as pl
import pytest

from modelway.data.validation import Inspection
from modelway.errors import InputError, NotFoundError
from modelway.features.join import TIME, as_of_join
from modelway.features.store import FeatureStore
from modelway.features.values import view_rows
from usecases.fraud import use_case
from usecases.fraud.history import CARD_VIEW, VIEWS, card_rows
from usecases.fraud.simulator.scenario import FIRST_DAY
from usecases.fraud.stream import StreamJob, arrivals, replay

SOURCE = "simulator?seed=5&days=12&cards=60&merchants=40&rings=1&late_share=0.1&disordered_share=0.3"
WARM = FIRST_DAY + timedelta(days=9)
"""Up to here the store is materialised; from here on events stream in."""


@pytest.fixture(scope="module")
def history():
    inspection = Inspection(use_case.contract)
    return pl.concat(inspection.take(use_case.clean(raw))[0] for raw in use_case.load(SOURCE)).lazy()


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features")


def offline(view, history, moment):
    """The point-in-time join at a moment, from what was known then: entity and features."""
    known = history.filter(pl.col("known_at") <= moment).with_columns(
        pl.when(pl.col("charged_back_at") <= moment).then("charged_back_at")
    )
    rows = view_rows(view, known)
    entities = known.select(pl.col(view.entity).drop_nulls().unique().sort()).with_columns(
        pl.lit(moment).cast(TIME).alias("at")
    )
    ttl = timedelta(days=view.ttl_days)
    return as_of_join(entities, rows, keys=[view.entity], ttl=ttl, at="at").drop("at").collect()


def online(store, view, entities, moment):
    return store.read(use_case, view.name, entities.to_list(), at=moment).drop("event_time")


def assert_online_is_offline(store, history, moment):
    for view in VIEWS:
        expected = offline(view, history, moment)
        assert expected.height > 20
        assert online(store, view, expected[view.entity], moment).equals(expected)


def test_at_every_stop_the_online_value_is_the_as_of_value(store, history) -> None:
    job, waiting = StreamJob(store, use_case), list(arrivals(history))
    for hours in (30, 31, 100, 216, 288):
        moment = FIRST_DAY + timedelta(hours=hours)
        while waiting and waiting[0].known_us <= moment.timestamp() * 1e6:
            job.take(waiting.pop(0))
        job.publish(moment)

        assert_online_is_offline(store, history, moment)


def test_a_job_goes_on_from_a_materialised_store(store, history) -> None:
    store.materialise(use_case, history.filter(pl.col("known_at") <= WARM), as_of=WARM)
    job, events = StreamJob(store, use_case), list(arrivals(history))
    before = [e for e in events if e.known_us <= WARM.timestamp() * 1e6]
    for event in before:
        job.take(event)
    job.pass_over(WARM)

    rest = [e for e in events[len(before) :] if e.cents is not None]
    pushed = replay(job, iter(rest), every=timedelta(hours=1))
    assert pushed > 100
    end = FIRST_DAY + timedelta(microseconds=rest[-1].known_us - FIRST_DAY.timestamp() * 1e6)
    moment = end + timedelta(hours=1)
    job.publish(moment)
    expected = offline(CARD_VIEW, history, moment)
    assert online(store, CARD_VIEW, expected["card_id"], moment).equals(expected)


def test_rows_pushed_in_any_order_leave_the_newest(store, history) -> None:
    moment = FIRST_DAY + timedelta(days=12)
    store.apply(use_case)
    known = history.filter(pl.col("known_at") <= moment)
    rows = (
        card_rows(known)
        .filter(pl.col("known_at") <= moment)
        .collect()
        .sample(fraction=1, shuffle=True, seed=3)
    )

    pushed = sum(store.push(use_case, CARD_VIEW.name, batch) for batch in rows.iter_slices(150))

    assert pushed == rows.height > 1_000
    expected = offline(CARD_VIEW, history, moment)
    assert online(store, CARD_VIEW, expected["card_id"], moment).equals(expected)


def test_an_older_row_pushed_late_changes_nothing(store, history) -> None:
    store.apply(use_case)
    rows = card_rows(history).filter(pl.col("card_id") == "C000007").collect()
    moment = rows["event_time"][-1] + timedelta(days=1)
    store.push(use_case, CARD_VIEW.name, rows.tail(1))
    before = online(store, CARD_VIEW, rows["card_id"].head(1), moment)

    assert rows["purchases_7d"][0] != rows["purchases_7d"][-1]
    store.push(use_case, CARD_VIEW.name, rows.head(1))
    assert online(store, CARD_VIEW, rows["card_id"].head(1), moment).equals(before)


def test_an_event_from_before_what_was_published_is_refused(store, history) -> None:
    job, first = StreamJob(store, use_case), next(arrivals(history))
    job.publish(FIRST_DAY + timedelta(days=30))

    with pytest.raises(InputError, match="order in which they arrive"):
        job.take(first)


def test_pushing_to_a_view_that_is_not_there_is_refused(store, history) -> None:
    rows = card_rows(history).head(1).collect()

    with pytest.raises(NotFoundError, match="no feature view"):
        store.push(use_case, "card_early", rows)
    with pytest.raises(NotFoundError, match="no feature store"):
        store.push(use_case, CARD_VIEW.name, rows)
