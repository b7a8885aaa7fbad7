from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.contract import LabelRule
from modelway.data.labels import with_label

RULE = LabelRule(name="lost", starts_at="paid_out", happened_at="lost_at", horizon_months=24)


def _labelled(paid_out: datetime | None, lost_at: datetime | None) -> dict[str, object]:
    schema = dict.fromkeys(("paid_out", "lost_at"), pl.Datetime("us", "UTC"))
    frame = pl.LazyFrame({"paid_out": [paid_out], "lost_at": [lost_at]}, schema=schema)
    return with_label(frame, RULE).collect().row(0, named=True)


def _day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lost_at", "label", "known_at"),
    [
        pytest.param(_day(2004, 5, 1), 1, _day(2004, 5, 1), id="an-event-inside-is-known-when-it-happens"),
        pytest.param(_day(2005, 1, 31), 1, _day(2005, 1, 31), id="the-last-day-still-counts"),
        pytest.param(_day(2005, 2, 1), 0, _day(2005, 1, 31), id="an-event-a-day-later-does-not"),
        pytest.param(None, 0, _day(2005, 1, 31), id="no-event-is-known-at-the-horizon"),
    ],
)
def test_the_label_and_when_it_is_known_by_hand(lost_at, label, known_at) -> None:
    row = _labelled(_day(2003, 1, 31), lost_at)

    assert (row["label"], row["label_known_at"]) == (label, known_at)
    assert row["label_matured_at"] == _day(2005, 1, 31)


def test_a_horizon_that_ends_on_a_day_the_month_lacks_ends_on_its_last_day() -> None:
    assert _labelled(_day(2004, 2, 29), None)["label_matured_at"] == _day(2006, 2, 28)


def test_a_row_without_a_start_has_no_label_and_no_clock() -> None:
    row = _labelled(None, _day(2004, 1, 1))

    assert (row["label"], row["label_known_at"], row["label_matured_at"]) == (None, None, None)


MOMENTS = st.integers(0, 200_000).map(lambda hours: _day(1990, 1, 1) + timedelta(hours=hours))


@given(start=MOMENTS, event=st.none() | MOMENTS)
def test_a_label_is_never_known_after_it_matured_and_a_zero_never_before(start, event) -> None:
    row = _labelled(start, event)

    assert row["label_known_at"] <= row["label_matured_at"]
    assert row["label"] == 1 or row["label_known_at"] == row["label_matured_at"]


def test_a_label_that_stands_in_the_table_is_known_from_its_own_clock() -> None:
    rule = LabelRule(name="late", value="late", value_known_from="arrived")
    frame = pl.LazyFrame({"late": [True, None], "arrived": [_day(2020, 1, 1), None]})

    rows = with_label(frame, rule).collect()

    assert rows["label"].to_list() == [1, None]
    assert rows["label_known_at"].to_list() == rows["label_matured_at"].to_list() == [_day(2020, 1, 1), None]
