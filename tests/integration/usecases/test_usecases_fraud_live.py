"""Sums kept one fact at a time are those computed from the whole history: the stream's and training's."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.errors import StorageError
from usecases.fraud import use_case
from usecases.fraud.contract import clean_transactions
from usecases.fraud.history import CARD_VIEW, MERCHANT_VIEW, PUBLICATION_LAG
from usecases.fraud.live import LiveSums
from usecases.fraud.simulator import Scenario, simulate
from usecases.fraud.stream import Arrival, StreamJob, arrivals
from usecases.fraud.windows import GAP, Kind, Window, newest_gap, sliding

START = datetime(2024, 1, 1, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
KIND = Kind(
    values=("n", "cents"),
    windows=(Window("short", timedelta(minutes=3)), Window("long", timedelta(minutes=10))),
)
facts = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(0, 20),
        st.sampled_from([0, 0, 1, 3, 9, 15]),
        st.integers(0, 99),
    ),
    max_size=25,
)


def micros(minute):
    return minute * 60_000_000


def streamed(rows, steps):
    """The rows of a job that advances at the given minutes, taking each fact when it comes in."""
    live, made = LiveSums([KIND], with_gap=True), []
    waiting = sorted(rows, key=lambda row: row[1] + row[2])
    for step in [*sorted(steps), 100]:
        while waiting and waiting[0][1] + waiting[0][2] <= step:
            card, at, delay, cents = waiting.pop(0)
            live.take(card, micros(at), micros(at + delay), {"n": 1, "cents": cents})
        made += live.advance(micros(step))
    return {(row["entity"], row["moment"]): [row[name] for name in (*KIND.names, GAP)] for row in made}


def computed(rows):
    since = [(card, at, at + delay, 1, cents) for card, at, delay, cents in rows]
    schema = {"card": pl.String, "at": pl.Int64, "known_at": pl.Int64, "n": pl.Int64, "cents": pl.Int64}
    clocks = [
        (pl.lit(START).cast(TIME) + pl.duration(minutes=name)).alias(name) for name in ("at", "known_at")
    ]
    frame = pl.LazyFrame(since, schema=schema, orient="row").with_columns(clocks)
    gaps = newest_gap(frame, "card")
    both = (
        sliding([(KIND, frame)], "card").join(gaps, on=["card", "moment"], how="left").sort("card", "moment")
    )
    whole = both.with_columns(pl.col(GAP).forward_fill().over("card")).collect()
    return {
        (row["card"], round((row["moment"] - START).total_seconds() * 1e6)): [
            row[n] for n in (*KIND.names, GAP)
        ]
        for row in whole.to_dicts()
    }


@given(facts, st.lists(st.integers(0, 40), max_size=4, unique=True))
def test_the_stream_makes_the_rows_that_the_history_gives(rows, steps) -> None:
    assert streamed(rows, steps) == computed(rows)


def test_a_job_holds_nothing_once_every_window_is_empty() -> None:
    live = LiveSums([KIND], with_gap=False)
    live.take("a", 0, 0, {"n": 1, "cents": 5})

    assert [row["cents_long"] for row in live.advance(micros(60))] == [5, 5, 0]
    assert live._moves == []


def test_events_come_in_order_of_arrival_purchases_and_charge_backs_alike() -> None:
    run = simulate(Scenario(days=30, cards=100, merchants=40, dirty_share=0.0, late_share=0.2))
    rows = clean_transactions(run.transactions)

    events = list(arrivals(rows.lazy()))
    known, at = ([getattr(e, clock) for e in events] for clock in ("known_us", "at_us"))
    assert known == sorted(known)
    assert at != sorted(at)
    assert len(events) == rows.height + rows["charged_back_at"].count()
    assert sum(e.cents is None for e in events) == rows["charged_back_at"].count() > 0
    assert {view.entity for view in (CARD_VIEW, MERCHANT_VIEW)} == {"card_id", "merchant_id"}


class Fickle:
    """A store that is down now and then, and keeps what it took."""

    def __init__(self):
        self.down, self.kept = True, []

    def apply(self, use_case):
        del use_case

    def push(self, use_case, view, rows):
        del use_case
        if self.down:
            raise StorageError("the store is down", expected="a store", remedy="wait")
        self.kept += [(view, *row) for row in rows.select(rows.columns[0], "event_time").iter_rows()]
        return rows.height


def test_what_a_store_that_was_down_did_not_take_is_pushed_with_the_next_publication():
    store = Fickle()
    job, minute = StreamJob(store, use_case), timedelta(minutes=1)
    for at, card in enumerate(("C1", "C2", "C1"), start=1):
        job.take(Arrival(micros(at), micros(at), card, "M1", 100))
        if at > 1:
            with pytest.raises(StorageError):
                job.publish(datetime(1970, 1, 1, tzinfo=UTC) + at * minute + PUBLICATION_LAG)
    store.down = False

    pushed = job.publish(datetime(1970, 1, 1, tzinfo=UTC) + 4 * minute)

    seen = {(view, who): when.minute for view, who, when in store.kept}
    assert pushed == len(store.kept) == 3
    assert seen == {("card_lately", "C1"): 3, ("card_lately", "C2"): 2, ("merchant_lately", "M1"): 3}
    assert job.publish(datetime(1970, 1, 1, tzinfo=UTC) + 5 * minute) == 0
