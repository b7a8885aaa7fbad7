from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.errors import EmptyWindowError
from modelway.training.splits import Shares, cut, split_by_time

START = datetime(2001, 1, 1, tzinfo=UTC)


def frame_of(days: list[int], labels: list[int] | None = None) -> pl.DataFrame:
    times = [START + timedelta(days=day) for day in days]
    return pl.DataFrame(
        {"event_time": times, "label": labels or [i % 2 for i in range(len(days))]},
        schema={"event_time": pl.Datetime("us", "UTC"), "label": pl.Int8},
    )


def test_a_hundred_days_are_cut_at_seventy_and_eighty(tmp_path):
    splits = split_by_time(frame_of(list(range(100))), str(tmp_path), Shares(min_rows=10))

    assert (splits.train.rows, splits.calibration.rows, splits.test.rows) == (70, 10, 20)
    assert splits.boundaries.calibration_from == START + timedelta(days=70)
    assert splits.boundaries.test_from == START + timedelta(days=80)
    assert splits.positives == (35, 5, 10)
    assert splits.test.load()["event_time"].min() == splits.boundaries.test_from


@given(st.lists(st.integers(0, 60), min_size=80, max_size=300))
def test_no_moment_is_torn_apart_and_no_row_lost(days):
    ordered = frame_of(days).sort("event_time")
    try:
        older, newest = cut(ordered, 0.2, 1)
    except EmptyWindowError:
        return

    assert older.height + newest.height == len(days)
    assert older["event_time"].max() < newest["event_time"].min()


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    frame = frame_of(list(range(100)))
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=3)

    assert split_by_time(frame, str(tmp_path)) == split_by_time(shuffled, str(tmp_path))


@pytest.mark.parametrize(
    ("days", "found"),
    [
        pytest.param([], "0 rows", id="nothing"),
        pytest.param(list(range(19)), "19 rows", id="too-few"),
        pytest.param([7] * 200, "0 rows before 2001-01-08 and 200", id="one-single-day"),
    ],
)
def test_too_few_rows_say_what_was_found(days, found, tmp_path):
    with pytest.raises(EmptyWindowError, match=found):
        split_by_time(frame_of(days), str(tmp_path))


def test_a_part_of_one_class_is_refused_by_name(tmp_path):
    labels = [i % 2 for i in range(160)] + [0] * 40

    with pytest.raises(EmptyWindowError, match=r"40 test rows, 2001-06-10 to 2001-07-19: 0 positives"):
        split_by_time(frame_of(list(range(200)), labels), str(tmp_path))


def test_a_row_without_a_label_is_refused(tmp_path):
    frame = frame_of(list(range(200))).with_columns(
        pl.when(pl.col("event_time") == START).then(None).otherwise(pl.col("label")).alias("label")
    )

    with pytest.raises(EmptyWindowError, match="140 train rows"):
        split_by_time(frame, str(tmp_path))
