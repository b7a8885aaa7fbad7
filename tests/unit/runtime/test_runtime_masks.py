"""What the policy masks is not in the file: not as it was, and not to be had back from what is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from modelway.bundle.masking import SALT_VARIABLE, hashed
from modelway.bundle.policy import ServingPolicy
from modelway.errors import ConfigError
from serving.runtime.parsed import Parsed
from serving.runtime.prediction_log import Entry
from serving.runtime.prediction_table import parquet_writer

SALT = "0123456789abcdef"
ROWS = np.array([[1.5, 2.0, 0.0], [1.5, np.nan, 1.0]], np.float32)


@pytest.fixture
def written(bundled: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    def make(**masked: str) -> Any:
        write = parquet_writer(bundled("logistic", ServingPolicy(masked=masked)), "r1")()
        request = Parsed(2, ROWS, request_id="r-1", entity_ids=["p1", None])
        own = Parsed(2, ROWS, entity_ids=["p1", "p2"])
        answers = np.array([0.25, 0.5], np.float32)
        write(
            tmp_path / "log.parquet", [Entry(request, 0, answers, ROWS, 1), Entry(own, 0, answers, ROWS, 2)]
        )
        return pq.read_table(tmp_path / "log.parquet")

    return make


def test_a_dropped_column_is_not_there(written: Callable[..., Any]) -> None:
    table = written(months="drop", paint_id="drop", request_id="drop")

    assert "months" not in table.column_names
    assert table["amount"].to_pylist() == [1.5] * 4
    assert table["_entity_id"].to_pylist() == [None] * 4
    ids = table["_request_id"].to_pylist()
    assert "r-1" not in ids
    assert len(set(ids)) == 2  # rows of one request are still known as such


def test_a_hashed_column_can_be_compared_and_not_read(written: Callable[..., Any], monkeypatch: Any) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)

    table = written(amount="hash", months="hash", paint_id="hash", request_id="hash")

    assert not {"amount", "months"} & set(table.column_names)
    amounts, months = table["_hashed_amount"].to_pylist(), table["_hashed_months"].to_pylist()
    assert len(set(amounts)) == 1
    assert [text is None for text in months] == [False, True, False, True]
    assert table["_entity_id"].to_pylist() == [
        hashed("p1", SALT),
        None,
        hashed("p1", SALT),
        hashed("p2", SALT),
    ]
    ids = table["_request_id"].to_pylist()
    assert ids[:2] == [hashed("r-1", SALT)] * 2
    assert ids[2].endswith("-2")  # ours says nothing about the client
    assert table["colour"].to_pylist() == [0, 1, 0, 1]
    monkeypatch.setenv(SALT_VARIABLE, SALT[::-1])
    assert written(amount="hash")["_hashed_amount"].to_pylist()[0] != amounts[0]


def test_hashing_without_a_salt_is_refused_before_the_first_request(
    bundled: Callable[..., Any], monkeypatch: Any
) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=SALT_VARIABLE):
        parquet_writer(bundled("logistic", ServingPolicy(masked={"amount": "hash"})), "r1")


def test_a_mask_for_a_column_that_is_not_there_is_refused(bundled: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="weight"):
        parquet_writer(bundled("logistic", ServingPolicy(masked={"weight": "drop"})), "r1")
