import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.bundle.signature import Input, Signature
from modelway.errors import ContractError, DegenerateColumnError
from modelway.training.encoding import encode, known, refuse_empty_columns, signature_from

INPUTS = (
    Input(name="amount", kind="numeric"),
    Input(name="state", kind="category", vocabulary=("CA", "NY")),
)
SIGNATURE = Signature(model_name="loans", key="loan_id", label="lost", inputs=INPUTS, threshold=0.5)


def test_a_category_becomes_its_place_in_the_vocabulary_and_nan_when_unknown_or_missing():
    frame = pl.DataFrame({"state": ["NY", "CA", "ZZ", None], "amount": [1.5, None, float("inf"), -0.0]})

    matrix = encode(frame, SIGNATURE)

    np.testing.assert_array_equal(matrix[:, 1], np.float32([1, 0, np.nan, np.nan]))
    np.testing.assert_array_equal(matrix[:, 0], np.float32([1.5, np.nan, np.inf, 0]))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous


def test_the_order_of_the_frame_s_columns_does_not_matter():
    a = pl.DataFrame({"state": ["NY"], "amount": [2.0], "other": ["x"]})

    np.testing.assert_array_equal(encode(a, SIGNATURE), encode(a.select("amount", "state"), SIGNATURE))


def test_the_vocabulary_holds_the_train_rows_values_without_the_rare_ones(use_case, make_loans):
    train = make_loans(3000).with_columns(
        pl.when(pl.col("loan_id") == "L000000").then(pl.lit("XX")).otherwise(pl.col("state")).alias("state")
    )

    state, sector = signature_from(use_case, train, 0.25).inputs[2:]

    assert "XX" not in state.vocabulary
    assert set(state.vocabulary) >= {"CA", "NY", "TX"}
    assert sector.vocabulary == ("farm", "shop")


def test_a_missing_column_is_named(use_case, make_loans):
    with pytest.raises(ContractError, match="sector"):
        signature_from(use_case, make_loans(10).drop("sector"), 0.5)
    with pytest.raises(ContractError, match="amount"):
        encode(pl.DataFrame({"state": ["CA"]}), SIGNATURE)


def test_text_in_a_numeric_column_is_a_contract_error():
    with pytest.raises(ContractError, match="cannot be encoded"):
        encode(pl.DataFrame({"state": ["CA"], "amount": ["many"]}), SIGNATURE)


@given(st.floats(width=32, allow_nan=True))
def test_only_codes_of_the_vocabulary_survive(code):
    matrix = np.array([[3.0, code]], dtype=np.float32)

    (kept,) = known(matrix, INPUTS)[:, 1]

    assert kept == code if code in (0.0, 1.0) else np.isnan(kept)
    assert known(matrix, INPUTS)[0, 0] == 3.0


@pytest.mark.parametrize("number", [np.inf, -np.inf, -5.0, 1e38])
def test_numbers_pass_whatever_they_are(number):
    assert known(np.array([[number, 0]], dtype=np.float32), INPUTS)[0, 0] == np.float32(number)


def test_columns_without_a_value_are_named():
    matrix = np.array([[np.nan, 0], [np.nan, 1]], dtype=np.float32)

    with pytest.raises(DegenerateColumnError, match="amount") as caught:
        refuse_empty_columns(matrix, INPUTS)
    assert "state" not in caught.value.found
