"""Target rates against a loop that anybody can check, and against tampering with labels to come."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.contract import LabelRule
from modelway.errors import ConfigError
from modelway.features.join import TIME, as_of_join
from modelway.features.target_rate import target_rate
from modelway.features.values import view_rows

DAY0 = datetime(2005, 1, 1, tzinfo=UTC)
RULE = LabelRule(name="lost", value="lost", value_known_from="lost_known_at")
TTL_DAYS = 6
HOUR = timedelta(hours=1)

hours = st.integers(0, 24 * 9)
facts = st.lists(
    st.tuples(st.sampled_from(["a", "b", None]), hours, hours, st.integers(0, 1)), min_size=1, max_size=14
)


def history_of(rows):
    return pl.LazyFrame(
        {
            "place": [r[0] for r in rows],
            "known_at": [DAY0 + r[1] * HOUR for r in rows],
            "lost_known_at": [DAY0 + r[2] * HOUR for r in rows],
            "lost": [r[3] for r in rows],
        },
        schema={"place": pl.String, "known_at": TIME, "lost_known_at": TIME, "lost": pl.Int8},
    )


def rates_at_each_row(rows, smoothing_rows):
    """What training sees: each row's value as of its own `known_at`."""
    history = history_of(rows)
    view = target_rate("place", RULE, smoothing_rows=smoothing_rows, ttl_days=TTL_DAYS)
    asked = history.select("place", "known_at")
    values = view_rows(view, history)
    ttl = timedelta(days=TTL_DAYS)
    found = as_of_join(asked.rename({"known_at": "at"}), values, keys=["place"], ttl=ttl, at="at")
    return found.collect()["place_target_rate"].to_list()


def day_end(row):
    """When the label of a row can be read: in days since the first."""
    return max(row[1], row[2]) // 24 + 1


def by_hand(rows, row, smoothing_rows):
    published = [r for r in rows if day_end(r) * 24 <= row[1]]
    own = [r for r in published if r[0] == row[0]]
    if row[0] is None or not own:
        return None
    newest = max(map(day_end, own))
    if row[1] - newest * 24 > TTL_DAYS * 24:
        return None
    by_then = [r[3] for r in published if day_end(r) <= newest]
    prior = sum(by_then) / len(by_then)
    return (sum(r[3] for r in own) + smoothing_rows * prior) / (len(own) + smoothing_rows)


@settings(max_examples=60, deadline=None)
@given(rows=facts, smoothing_rows=st.sampled_from([0, 1, 20.5]))
def test_a_rate_is_what_the_loop_says(rows, smoothing_rows):
    expected = [by_hand(rows, row, smoothing_rows) for row in rows]

    for found, wanted in zip(rates_at_each_row(rows, smoothing_rows), expected, strict=True):
        assert found == (None if wanted is None else pytest.approx(wanted, rel=1e-6))


@settings(max_examples=60, deadline=None)
@given(rows=facts, data=st.data())
def test_a_rows_own_label_and_later_ones_never_change_its_value(rows, data):
    at = data.draw(st.integers(0, len(rows) - 1))
    moment = rows[at][1]
    tampered = [
        (place, known, settled, 1 - label) if place_in_list == at or max(known, settled) >= moment else row
        for place_in_list, row in enumerate(rows)
        for place, known, settled, label in [row]
    ]

    assert rates_at_each_row(tampered, 5)[at] == rates_at_each_row(rows, 5)[at]


def test_early_positives_wait_for_the_negatives_of_their_cohort():
    rule = LabelRule(name="lost", starts_at="paid_at", happened_at="lost_at", horizon_months=2)
    rows = [("a", DAY0, DAY0, DAY0 + timedelta(days=3)), ("a", DAY0, DAY0, None)]
    schema = {"place": pl.String, "known_at": TIME, "paid_at": TIME, "lost_at": TIME}
    history = pl.LazyFrame(rows, schema=schema, orient="row")

    found = view_rows(target_rate("place", rule, smoothing_rows=0, ttl_days=9), history).collect()

    day_after_two_months = datetime(2005, 3, 2, tzinfo=UTC)
    assert found.rows() == [("a", day_after_two_months, day_after_two_months, 0.5)]


@pytest.mark.parametrize("rows", [-1, float("nan"), float("inf")])
def test_smoothing_that_is_no_number_of_rows_is_refused(rows):
    with pytest.raises(ConfigError, match="is smoothed with"):
        target_rate("place", RULE, smoothing_rows=rows, ttl_days=9)
