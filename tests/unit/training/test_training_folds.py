from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from modelway.errors import ContractError, EmptyWindowError
from modelway.training.folds import validation_folds
from modelway.training.policy import Validation
from modelway.training.splits import cut

START = datetime(2001, 1, 1, tzinfo=UTC)


def rows(days, horizons):
    """Event on each day; its label matures so many days later, and may be known earlier."""
    times = [START + timedelta(days=day) for day in days]
    matured = [time + timedelta(days=horizon) for time, horizon in zip(times, horizons, strict=True)]
    return pl.DataFrame(
        {
            "event_time": times,
            "label": [i % 2 for i in range(len(days))],
            "label_matured_at": matured,
            "label_known_at": [
                end if i % 2 else start + (end - start) / 2
                for i, (start, end) in enumerate(zip(times, matured, strict=True))
            ],
        },
        schema_overrides={"label": pl.Int8},
    )


def test_one_fold_is_the_newest_share_and_purges_nothing():
    frame = rows(range(100), [30] * 100)

    [fold] = validation_folds(frame, Validation(), min_rows=10)

    older, newest = cut(frame, 0.25, 10)
    assert fold.train.equals(older)
    assert fold.validation.equals(newest)


def test_three_blocks_by_hand():
    frame = rows(range(100), [10] * 100)
    how = Validation(folds=3, share=0.6)

    folds = validation_folds(frame, how, min_rows=5)

    days = [(f.validation["event_time"] - START).dt.total_days() for f in folds]
    assert [(d.min(), d.max()) for d in days] == [(40, 59), (60, 79), (80, 99)]
    # A label that matures on the block's first day is learnt too late: day 29 is the last for day 40.
    assert [(f.train["event_time"].max() - START).days for f in folds] == [29, 49, 69]


def test_later_rows_begin_after_the_last_label_and_the_embargo():
    frame = rows(range(100), [10] * 100)
    how = Validation(folds=2, later_rows=True, embargo_days=5)

    first, second = validation_folds(frame, how, min_rows=5)

    # The first block's last label is of day 49 and matures on day 59; the embargo ends on day 64.
    assert (first.train["event_time"].min() - START).days == 65
    assert first.validation.height == 50
    assert (second.train["event_time"].max() - START).days == 39


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 40)), min_size=40, max_size=150),
    st.integers(2, 5),
    st.booleans(),
    st.integers(0, 20),
)
def test_no_label_window_of_a_train_row_overlaps_a_validation_rows(spans, folds, later, embargo):
    frame = rows([day for day, _ in spans], [horizon for _, horizon in spans])
    how = Validation(folds=folds, share=0.5, later_rows=later, embargo_days=embargo)
    try:
        made = validation_folds(frame, how, min_rows=1)
    except EmptyWindowError:
        return

    for fold in made:
        opens, closes = fold.train["event_time"].to_numpy(), fold.train["label_known_at"].to_numpy()
        for start, known in fold.validation.select("event_time", "label_known_at").to_numpy():
            assert not ((opens <= known) & (closes >= start)).any()
        gap = fold.train["event_time"] - fold.validation["label_matured_at"].max()
        assert (gap.filter(gap > timedelta(0)) > timedelta(days=embargo)).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=60, max_size=120), st.integers(2, 4))
def test_every_newest_row_is_validated_on_once(days, folds):
    frame = rows(days, [0] * len(days)).with_row_index("row")
    try:
        made = validation_folds(frame, Validation(folds=folds, later_rows=True), min_rows=1)
    except EmptyWindowError:
        return

    assert sorted(row for fold in made for row in fold.validation["row"]) == list(range(len(days)))


def test_a_share_of_less_than_a_row_is_told():
    with pytest.raises(EmptyWindowError, match="fold 1 of 2"):
        validation_folds(rows(range(100), [1] * 100), Validation(folds=2, share=0.001), min_rows=5)


def test_labels_longer_than_the_history_leave_nothing_to_learn_from():
    frame = rows(range(100), [90] * 100)

    with pytest.raises(EmptyWindowError, match="fold 1 of 2: 0 train rows"):
        validation_folds(frame, Validation(folds=2, share=0.5), min_rows=5)


def test_rows_that_do_not_say_when_they_matured_cannot_be_purged():
    frame = rows(range(100), [1] * 100).drop("label_matured_at")

    with pytest.raises(ContractError, match="label_matured_at"):
        validation_folds(frame, Validation(folds=2), min_rows=5)


def test_an_embargo_without_later_blocks_is_a_mistake():
    with pytest.raises(ValidationError, match="folds of 2"):
        Validation(embargo_days=3)
