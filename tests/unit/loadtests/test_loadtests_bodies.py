"""Rows become V2 requests."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from loadtests.bodies import MOST_BODIES, expected_duration_s, make_bodies
from loadtests.options import LoadOptions, make_options
from modelway.contract import Slo
from modelway.errors import ConfigError, SourceError


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    pl.DataFrame(
        {
            "loan_id": [7, 8, 9],
            "event_time": [datetime(2007, 1, 1, tzinfo=UTC)] * 3,
            "amount": [1.5, float("nan"), None],
            "new": [True, False, None],
            "state": ["CA", None, "NY"],
            "label": [1, 0, 0],
            "label_matured_at": [datetime(2009, 1, 1, tzinfo=UTC)] * 3,
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC")},
    ).write_parquet(path)
    return path


def options(rows: Path, **changes: object) -> LoadOptions:
    given = {
        "url": "http://h:1",
        "model": "m",
        "rows": rows,
        "out": "o",
        "slo": Slo(latency_limit_ms=1, rate_rps=1),
    }
    return make_options(**(given | {"once": True} | changes))


def test_one_row_is_one_tensor_per_column_and_missing_is_null(rows: Path) -> None:
    bodies = [json.loads(b) for b in make_bodies(options(rows, key="loan_id", event_time="event_time"))]

    assert bodies[1]["inputs"] == [
        {"name": "amount", "shape": [1], "datatype": "FP32", "data": [None]},
        {"name": "new", "shape": [1], "datatype": "FP32", "data": [0.0]},
        {"name": "state", "shape": [1], "datatype": "BYTES", "data": [None]},
        {"name": "loan_id", "shape": [1], "datatype": "BYTES", "data": ["8"]},
        {"name": "event_time", "shape": [1], "datatype": "INT64", "data": [1167609600000000]},
    ]


def test_label_and_times_are_not_sent_unless_named(rows: Path) -> None:
    body = json.loads(make_bodies(options(rows, key="loan_id"))[0])

    assert [t["name"] for t in body["inputs"]] == ["amount", "new", "state", "loan_id"]


def test_several_rows_share_a_request_and_the_last_one_takes_the_rest(rows: Path) -> None:
    bodies = [json.loads(b) for b in make_bodies(options(rows, columns=("amount",), rows_per_request=2))]

    assert [b["inputs"][0]["shape"] for b in bodies] == [[2], [1]]
    assert bodies[0]["inputs"][0]["data"] == [1.5, None]


def test_a_large_file_is_sampled_by_seed(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    pl.DataFrame({"x": range(3 * MOST_BODIES)}).write_parquet(path)

    first, again, other = (make_bodies(options(path, once=False, seed=s)) for s in (1, 1, 2))

    assert len(first) == MOST_BODIES
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"columns": ("colour",)}, "colour"), ({"key": "id"}, "id"), ({"event_time": "amount"}, "amount")],
)
def test_a_column_that_cannot_be_sent_is_named(rows: Path, changes: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make_bodies(options(rows, **changes))


def test_a_timestamp_is_no_input(rows: Path) -> None:
    with pytest.raises(ConfigError, match=r"event_time.*cannot be sent"):
        make_bodies(options(rows, columns=("event_time",)))


def test_missing_broken_and_empty_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"no")
    pl.DataFrame({"x": []}).write_parquet(tmp_path / "empty.parquet")

    for name in ("nowhere.parquet", "broken.parquet", "empty.parquet"):
        with pytest.raises(SourceError):
            make_bodies(options(tmp_path / name))


def test_the_length_of_a_run_is_known_beforehand(rows: Path) -> None:
    assert expected_duration_s(options(rows, rows_per_request=2)) == 2.0
    assert expected_duration_s(options(rows, once=False, duration_s=9)) == 9.0
    assert expected_duration_s(options(rows.with_name("nowhere"))) == 0.0
