"""Batch rows become the matrix that training saw, and wrong columns are named."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.batch.encode import check_schema, matrix
from modelway.bundle.signature import Input, Signature
from modelway.errors import ContractError
from modelway.training.encoding import encode

SIGNATURE = Signature(
    model_name="fake",
    key="loan_id",
    label="lost",
    inputs=(
        Input(name="amount", kind="numeric"),
        Input(name="state", kind="category", vocabulary=("FL", "NY", "7", "true")),
        Input(name="jobs", kind="numeric"),
    ),
    threshold=0.5,
)
COLUMNS = {"loan_id": pa.string(), "amount": pa.float64(), "state": pa.string(), "jobs": pa.int64()}


def batch(**columns):
    rows = len(next(iter(columns.values())))
    given_columns = {"loan_id": pa.array([str(i) for i in range(rows)]), **columns}
    return pa.RecordBatch.from_pydict(given_columns)


def test_a_matrix_by_hand():
    rows = batch(
        amount=pa.array([1.5, None]), state=pa.array(["NY", "XX"]), jobs=pa.array([3, None], pa.int64())
    )

    assert np.array_equal(matrix(rows, SIGNATURE), [[1.5, 1, 3], [np.nan, np.nan, np.nan]], equal_nan=True)


numbers = st.one_of(st.none(), st.floats(allow_infinity=True, allow_nan=True, width=64))
states = st.one_of(st.none(), st.sampled_from(["FL", "NY", "XX", "", "fl", "7", "Zoë"]))
jobs = st.one_of(st.none(), st.integers(-(2**62), 2**62))


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(numbers, states, jobs), min_size=1, max_size=20))
def test_batch_and_training_encode_alike(rows):
    amount, state, job = (list(column) for column in zip(*rows, strict=True))
    table = batch(
        amount=pa.array(amount, pa.float64()),
        state=pa.array(state, pa.string()),
        jobs=pa.array(job, pa.int64()),
    )
    schema = {"amount": pl.Float64, "state": pl.String, "jobs": pl.Int64}
    frame = pl.DataFrame({"amount": amount, "state": state, "jobs": job}, schema=schema)

    assert np.array_equal(matrix(table, SIGNATURE), encode(frame, SIGNATURE), equal_nan=True)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        pytest.param(pa.array(["NY", "FL"]).dictionary_encode(), [1, 0], id="dictionary"),
        pytest.param(pa.array(["NY", None], pa.large_string()), [1, np.nan], id="large-string"),
        pytest.param(pa.array(["NY", "FL"], pa.string_view()), [1, 0], id="string-view"),
        pytest.param(pa.array([7, 8]), [2, np.nan], id="integer"),
        pytest.param(pa.array([True, False]), [3, np.nan], id="bool"),
        pytest.param(pa.nulls(2), [np.nan, np.nan], id="null"),
    ],
)
def test_a_category_may_come_in_any_spelling_of_text(values, codes):
    rows = batch(amount=pa.array([0.0, 0.0]), state=values, jobs=pa.array([0, 0]))

    check_schema(rows.schema, SIGNATURE, "f.parquet")
    assert np.array_equal(matrix(rows, SIGNATURE)[:, 1], codes, equal_nan=True)


@pytest.mark.parametrize("kind", [pa.float32(), pa.int8(), pa.uint64(), pa.bool_(), pa.decimal128(25, 2)])
def test_a_number_may_come_in_any_numeric_type(kind):
    rows = batch(amount=pa.array([1, 0]).cast(kind), state=pa.array(["NY", "FL"]), jobs=pa.nulls(2))

    check_schema(rows.schema, SIGNATURE, "f.parquet")
    assert np.array_equal(matrix(rows, SIGNATURE), [[1, 1, np.nan], [0, 0, np.nan]], equal_nan=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"amount": pa.string()}, "column amount is string, not a number", id="text-for-number"),
        pytest.param({"state": pa.float64()}, "column state is double, not text", id="number-for-text"),
        pytest.param({"jobs": None}, "column jobs is missing", id="missing"),
        pytest.param({"loan_id": None}, "column loan_id is missing", id="no-key"),
        pytest.param({"loan_id": pa.float64()}, "column loan_id is double, not text or an integer", id="key"),
        pytest.param({"amount": pa.timestamp("us")}, "column amount is timestamp", id="time-for-number"),
        pytest.param({"jobs": None, "amount": None}, "amount is missing; column jobs", id="both-are-named"),
    ],
)
def test_a_wrong_column_is_named_with_its_file(changes, words):
    kinds = {name: kind for name, kind in {**COLUMNS, **changes}.items() if kind is not None}

    with pytest.raises(ContractError) as caught:
        check_schema(pa.schema(kinds), SIGNATURE, "part-3.parquet")

    assert words in caught.value.found
    assert caught.value.found.startswith("part-3.parquet: ")


def test_a_column_that_is_there_twice_is_refused():
    twice = pa.schema([*COLUMNS.items(), ("jobs", pa.int64())])

    with pytest.raises(ContractError, match="column jobs is there more than once"):
        check_schema(twice, SIGNATURE, "f.parquet")
