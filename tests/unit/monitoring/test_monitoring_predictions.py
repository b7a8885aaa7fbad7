"""Reading the prediction log."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelway.errors import EmptyWindowError, SourceError
from modelway.monitoring.predictions import read_predictions

SINCE = datetime(2005, 1, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=30)


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(1)


def test_only_events_of_the_window_are_read_the_end_excluded(draw, make_log, write_log) -> None:
    frame = make_log(draw, 60, days=60)
    folder = write_log(frame)

    found = read_predictions(folder, since=SINCE, until=UNTIL)

    assert found["_entity_id"].to_list() == [f"e{k}" for k in range(30)]
    assert found.columns == frame.columns


def test_a_file_still_being_written_is_not_read(draw, make_log, write_log) -> None:
    folder = write_log(make_log(draw, 10))
    (folder / "r1-1-1.parquet.tmp").write_bytes(b"half a file")

    assert read_predictions(folder, since=SINCE, until=UNTIL).height == 10


def test_of_a_retried_question_the_newest_answer_stays(draw, make_log, write_log) -> None:
    first = make_log(draw, 5)
    retried = first.with_columns(
        pl.col("_received_at") + timedelta(seconds=2),
        pl.lit("other").alias("_request_id"),
        pl.lit(0.5, pl.Float32).alias("_probability"),
    )
    write_log(retried, "a.parquet")
    folder = write_log(first, "b.parquet")

    found = read_predictions(folder, since=SINCE, until=UNTIL)

    assert found.height == 5
    assert found["_probability"].to_list() == [0.5] * 5


def test_the_same_entity_at_another_time_is_another_question(draw, make_log, write_log) -> None:
    first = make_log(draw, 5)
    write_log(first, "a.parquet")
    folder = write_log(first.with_columns(pl.col("_event_time") + timedelta(days=1)), "b.parquet")

    assert read_predictions(folder, since=SINCE, until=UNTIL).height == 10


def test_rows_without_an_entity_are_told_apart_by_request_and_row(draw, make_log, write_log) -> None:
    frame = make_log(draw, 4).with_columns(
        pl.lit(None, pl.String).alias("_entity_id"),
        pl.lit(SINCE).cast(pl.Datetime("us", "UTC")).alias("_event_time"),
        pl.Series("_request_id", ["a", "a", "b", "b"]),
        pl.Series("_row", [0, 1, 0, 0], dtype=pl.Int32),
    )

    assert read_predictions(write_log(frame), since=SINCE, until=UNTIL).height == 3


def test_two_bundles_that_answered_the_same_question_both_stay(draw, make_log, write_log) -> None:
    frame = make_log(draw, 5)
    write_log(frame, "a.parquet")
    canary = frame.with_columns(pl.lit("b2").alias("_bundle"), pl.lit("r2").alias("_revision"))
    folder = write_log(canary, "b.parquet")

    assert read_predictions(folder, since=SINCE, until=UNTIL).height == 10
    assert read_predictions(folder, since=SINCE, until=UNTIL, revision="r2").height == 5
    assert read_predictions(folder, since=SINCE, until=UNTIL, bundle="b1")[
        "_revision"
    ].unique().to_list() == ["r1"]


def test_bundles_with_different_inputs_lie_in_one_folder(draw, make_log, write_log) -> None:
    write_log(make_log(draw, 5), "a.parquet")
    other = make_log(draw, 5, first_id=5).rename({"amount": "turnover"})
    folder = write_log(other, "b.parquet")

    found = read_predictions(folder, since=SINCE, until=UNTIL)

    assert found["amount"].null_count() == 5
    assert found["turnover"].null_count() == 5


def test_a_missing_folder_is_an_empty_window_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(EmptyWindowError, match="no prediction log") as error:
        read_predictions(tmp_path / "nowhere", since=SINCE, until=UNTIL)

    assert "send requests" in error.value.remedy


def test_an_empty_window_names_its_days(draw, make_log, write_log) -> None:
    folder = write_log(make_log(draw, 5))

    with pytest.raises(EmptyWindowError, match="from 2004-12-02 to 2005-01-01"):
        read_predictions(folder, since=SINCE - timedelta(days=30), until=SINCE)


@pytest.mark.parametrize("content", [b"no parquet at all", b""])
def test_a_broken_file_is_named(draw, make_log, write_log, content: bytes) -> None:
    folder = write_log(make_log(draw, 5))
    (folder / "z.parquet").write_bytes(content)

    with pytest.raises(SourceError, match=r"z\.parquet is no readable prediction log"):
        read_predictions(folder, since=SINCE, until=UNTIL)


def test_a_parquet_file_of_something_else_is_named_with_what_it_lacks(write_log) -> None:
    folder = write_log(pl.DataFrame({"x": [1]}))

    with pytest.raises(SourceError, match="it lacks _request_id"):
        read_predictions(folder, since=SINCE, until=UNTIL)


def test_files_that_cannot_lie_side_by_side_are_named(draw, make_log, write_log) -> None:
    frame = make_log(draw, 5)
    folder = write_log(frame)
    frame.with_columns(pl.concat_list("_probability")).write_parquet(folder / "z.parquet")

    with pytest.raises(SourceError, match="is no readable prediction log"):
        read_predictions(folder, since=SINCE, until=UNTIL)
