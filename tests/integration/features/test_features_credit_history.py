"""The monthly credit history against plain counting, and against a history cut short."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.features.values import view_rows
from usecases.credit.history import PUBLICATION_LAG, VIEWS, monthly

DAY0 = datetime(2001, 1, 20, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")


def loans(rows):
    """(state, approved on day, charged off on day or None) as the columns the views read."""
    columns = {"state": pl.String, "known_at": TIME, "charged_off_at": TIME}
    days = [
        (s, DAY0 + timedelta(days=a), None if c is None else DAY0 + timedelta(days=c)) for s, a, c in rows
    ]
    return pl.LazyFrame(
        {name: [row[i] for row in days] for i, name in enumerate(columns)}, schema=columns
    ).with_columns(industry="state", bank_state="state")


def counted(rows, state, month):
    """The same three figures by looking at every loan."""

    def within(moment, days):
        return month - timedelta(days=days) < moment <= month

    mine = [(DAY0 + timedelta(days=a), c) for s, a, c in rows if s == state]
    lost = [max(a, DAY0 + timedelta(days=c)) for a, c in mine if c is not None]
    year = sum(within(a, 365) for a, _ in mine)
    before = sum(within(a, 730) for a, _ in mine) - year
    five_years = sum(within(a, 1826) for a, _ in mine)
    lost_in_year = sum(within(moment, 365) for moment in lost)
    return year, year / before - 1 if before else None, lost_in_year / five_years if five_years else None


loan = st.tuples(
    st.sampled_from(["NY", "FL", None]), st.integers(0, 2500), st.one_of(st.none(), st.integers(0, 2500))
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(loan, min_size=1, max_size=25))
def test_every_month_agrees_with_plain_counting(rows):
    frame = monthly(loans(rows), "state").collect()

    for row in frame.iter_rows(named=True):
        found = (row["approvals_365d"], row["approvals_growth"], row["charge_off_rate_365d"])
        assert found == pytest.approx(counted(rows, row["state"], row["event_time"]))
        assert row["known_at"] == row["event_time"] + PUBLICATION_LAG


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(loan, min_size=1, max_size=25), cut_day=st.integers(0, 2600))
def test_a_history_cut_short_gives_the_same_rows_up_to_the_cut(rows, cut_day):
    cut = DAY0 + timedelta(days=cut_day)
    lost = pl.when(pl.col("charged_off_at") <= cut).then("charged_off_at").alias("charged_off_at")
    known = loans(rows).filter(pl.col("known_at") <= cut).with_columns(lost)
    newest = known.filter(pl.col("state").is_not_null()).select(pl.col("known_at").max()).collect().item()

    whole, then = monthly(loans(rows), "state").collect(), monthly(known, "state").collect()

    begun = pl.col("event_time") <= newest if newest else pl.lit(value=False)
    assert then.equals(whole.filter(begun))


def test_a_group_has_no_month_before_its_first_loan_and_every_month_after():
    frame = monthly(loans([("NY", 0, None), ("FL", 100, None), ("NY", 200, None)]), "state").collect()

    months = frame.group_by("state", maintain_order=True).agg(pl.col("event_time").dt.month()).rows()
    assert months == [("FL", [5, 6, 7, 8]), ("NY", [2, 3, 4, 5, 6, 7, 8])]


def test_no_loan_gives_no_row():
    assert monthly(loans([]), "state").collect().height == 0


def test_each_view_gives_the_features_it_names():
    history = loans([("NY", 0, 300), ("NY", 500, None), ("NY", 900, None)])

    for view in VIEWS:
        frame = view_rows(view, history).collect()
        assert frame.columns == [view.entity, "event_time", "known_at", *(f.name for f in view.features)]
        assert frame.height == 11 + 12 + 7  # February 2001 to July 2003
