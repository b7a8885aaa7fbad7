"""Sliding sums against a loop that looks at every fact, at every moment: late, disordered, tied."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from usecases.fraud.history import CARD_VIEW, DAY, HOUR, MERCHANT_VIEW, MONTHS, WEEK, card_rows, merchant_rows
from usecases.fraud.windows import Kind, Window, newest_gap, sliding

START = datetime(2024, 1, 1, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
SHORT, LONG = Window("short", timedelta(minutes=3)), Window("long", timedelta(minutes=10))
KIND = Kind(values=("n", "cents"), windows=(SHORT, LONG))

# Few moments and few entities, so that ties, late facts and facts at a window's very edge are common.
facts = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(0, 20),
        st.sampled_from([0, 0, 1, 3, 9, 15]),
        st.integers(0, 99),
    ),
    max_size=25,
)


def minutes(number):
    return START + timedelta(minutes=number)


def frame(rows):
    columns = {"card": pl.String, "at": TIME, "known_at": TIME, "n": pl.Int64, "cents": pl.Int64}
    given_rows = [(card, minutes(at), minutes(at + delay), 1, cents) for card, at, delay, cents in rows]
    return pl.LazyFrame(given_rows, schema=columns, orient="row")


def looped(rows, card, moment, window, value):
    """What the window holds, by its definition."""
    return sum(
        (1 if value == "n" else cents)
        for c, at, delay, cents in rows
        if c == card and at + delay <= moment and moment - window.length.total_seconds() / 60 < at <= moment
    )


@given(facts)
def test_every_row_is_what_a_loop_finds_at_its_moment(rows) -> None:
    for row in sliding([(KIND, frame(rows))], "card").collect().to_dicts():
        moment = (row["moment"] - START).total_seconds() / 60
        expected = {
            f"{value}_{window.name}": looped(rows, row["card"], moment, window, value)
            for value in KIND.values
            for window in KIND.windows
        }
        assert {name: row[name] for name in KIND.names} == expected


@given(facts)
def test_between_two_rows_nothing_changes(rows) -> None:
    sums = sliding([(KIND, frame(rows))], "card").collect()
    for card in {row[0] for row in rows}:
        for moment in range(50):
            known = sums.filter(pl.col("card") == card, pl.col("moment") <= minutes(moment))
            found = known["cents_long"].to_list()[-1] if known.height else 0
            assert found == looped(rows, card, moment, LONG, "cents")


@given(facts, st.integers(0, 40))
def test_a_history_cut_short_gives_the_same_rows_up_to_the_cut(rows, cut) -> None:
    def up_to_the_cut(some):
        return sliding([(KIND, frame(some))], "card").filter(pl.col("moment") <= minutes(cut)).collect()

    assert up_to_the_cut([r for r in rows if r[1] + r[2] <= cut]).equals(up_to_the_cut(rows))


@given(facts, st.randoms())
def test_the_order_of_the_rows_does_not_matter(rows, chance) -> None:
    mixed = rows.copy()
    chance.shuffle(mixed)

    for compute in (lambda f: sliding([(KIND, f)], "card"), lambda f: newest_gap(f, "card")):
        assert compute(frame(mixed)).collect().equals(compute(frame(rows)).collect())


@given(facts)
def test_the_gap_is_that_of_the_two_newest_known(rows) -> None:
    for card, moment, gap in newest_gap(frame(rows), "card").collect().iter_rows():
        at_minute = (moment - START).total_seconds() / 60
        known = sorted(at for c, at, delay, _ in rows if c == card and at + delay <= at_minute)
        assert gap == ((known[-1] - known[-2]) * 60 if len(known) > 1 else None)


def test_a_fact_of_no_one_and_a_fact_without_a_time_are_left_out() -> None:
    rows = frame([("a", 1, 0, 5)]).collect()
    broken = pl.concat(
        [rows, rows.with_columns(card=None), rows.with_columns(known_at=None)], how="vertical_relaxed"
    )

    assert sliding([(KIND, broken.lazy())], "card").collect()["cents_long"].to_list() == [5, 5, 0]


def history(*rows):
    """Hours of event, arrival and charge-back; euros."""
    return pl.LazyFrame(
        [
            ("C1", "M1", START + timedelta(hours=at), START + timedelta(hours=known), eur, back)
            for at, known, eur, back in (
                (at, known, eur, None if back is None else START + timedelta(hours=back))
                for at, known, eur, back in rows
            )
        ],
        schema={
            "card_id": pl.String,
            "merchant_id": pl.String,
            "event_time": TIME,
            "known_at": TIME,
            "amount_eur": pl.Float64,
            "charged_back_at": TIME,
        },
        orient="row",
    )


def at_hour(rows, hour, name):
    known = rows.filter(pl.col("event_time") <= START + timedelta(hours=hour)).collect()
    return known[name].to_list()[-1]


def test_a_cards_sums_by_hand() -> None:
    rows = card_rows(history((0, 0, 10.0, None), (1, 30, 20.5, None), (2, 2, 0.1, None), (2, 2, 0.2, None)))

    assert [at_hour(rows, hour, "purchases_24h") for hour in (0, 1, 2, 23.9, 24, 26)] == [1, 1, 3, 3, 2, 0]
    assert [at_hour(rows, hour, "cents_7d") for hour in (0, 2, 29, 30)] == [1_000, 1_030, 1_030, 3_080]
    assert at_hour(rows, 30, "purchases_24h") == 0  # it happened 29 hours before it came in
    assert [at_hour(rows, hour, "gap_s") for hour in (0, 2, 40)] == [None, 0.0, 0.0]


def test_a_charge_back_counts_from_the_day_of_the_dispute_and_not_from_the_purchase() -> None:
    rows = merchant_rows(history((0, 0, 10.0, 500), (1, 1, 10.0, None)))

    assert [at_hour(rows, hour, "chargebacks_60d") for hour in (1, 499, 500, 500 + 24 * 60)] == [0, 0, 1, 0]
    assert [at_hour(rows, hour, "trade_60d") for hour in (0, 500, 24 * 60)] == [1, 2, 1]


def test_rows_are_found_two_seconds_after_they_are_true() -> None:
    for compute in (card_rows, merchant_rows):
        lag = compute(history((0, 0, 10.0, 30))).collect().select(pl.col("known_at") - pl.col("event_time"))
        assert lag.to_series().unique().to_list() == [timedelta(seconds=2)]


def test_an_entity_that_is_believed_has_empty_windows_long_before_it_expires() -> None:
    longest = max(window.length for window in (HOUR, DAY, WEEK, MONTHS))

    assert all(timedelta(days=view.ttl_days) > longest for view in (CARD_VIEW, MERCHANT_VIEW))
