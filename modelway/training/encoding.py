"""From named columns to the float32 matrix that every model and every exported graph takes."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from modelway.bundle.signature import Input, Signature
from modelway.errors import ContractError, DegenerateColumnError
from modelway.features.derived import widened

if TYPE_CHECKING:
    from modelway.features.definitions import Feature
    from modelway.usecase import UseCase

Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int8]

RARE_SHARE = 0.001
"""A category value in fewer of the train rows than this is left out of the vocabulary …"""
RARE_ROWS = 2
"""… and so is one in fewer rows than this: a model cannot learn from it, and it names somebody."""


def signature_from(use_case: "UseCase", train: pl.DataFrame, threshold: float) -> Signature:
    """The model's inputs, their vocabularies learnt from the train rows alone.

    Rare values stay out, so that the model has seen "unknown" before serving meets one.

    Raises:
        ContractError: A feature's column is missing from `train`.
    """
    return Signature(
        model_name=use_case.name,
        key=use_case.contract.key,
        label=use_case.label.name,
        inputs=tuple(_input(feature, train) for feature in use_case.features.all),
        threshold=threshold,
        derived=use_case.features.derived,
    )


def _input(feature: "Feature", train: pl.DataFrame) -> Input:
    _require(train, [feature.name])
    if feature.kind == "numeric":
        return Input(name=feature.name, kind="numeric")
    enough = max(RARE_ROWS, RARE_SHARE * train.height)
    counted = train[feature.name].cast(pl.String).drop_nulls().value_counts(name="rows")
    values = counted.filter(pl.col("rows") >= enough)[feature.name].sort()
    return Input(name=feature.name, kind="category", vocabulary=tuple(values))


def encode(frame: pl.DataFrame, signature: Signature) -> Floats:
    """The matrix that the graph takes.

    Args:
        frame: Any rows with a column per input; other columns are ignored.
        signature: Names, order and vocabularies.

    Returns:
        Shape (n, F), C order. A number as it is; a category as its index in the vocabulary; NaN where
        the value is missing or unknown.

    Raises:
        ContractError: An input's column is missing, or holds text where a number belongs.
    """
    _require(frame, signature.names)
    try:
        coded = frame.select(_code(column) for column in signature.inputs)
    except pl.exceptions.PolarsError as error:
        raise ContractError(
            f"the rows cannot be encoded: {error}", expected="numbers in every numeric column"
        ) from error
    return np.ascontiguousarray(coded.to_numpy(), dtype=np.float32)


def _code(column: Input) -> pl.Expr:
    values = pl.col(column.name)
    if column.kind == "category":
        codes = [float(code) for code in range(len(column.vocabulary))]
        values = values.cast(pl.String).replace_strict(
            list(column.vocabulary), codes, default=None, return_dtype=pl.Float32
        )
    return values.cast(pl.Float32).fill_null(float("nan"))


def known(matrix: Floats, inputs: tuple[Input, ...]) -> Floats:
    """Replace every code that stands for no vocabulary entry (-1, 2.5, one too many) by NaN.

    The exported graph does the same first thing: a caller may send a matrix that `encode` never saw.
    """
    sizes = code_limits(inputs)
    number = np.isinf(sizes)
    valid = number | ((matrix >= 0) & (matrix < sizes) & (matrix == np.floor(matrix)))
    return np.where(valid, matrix, np.float32(np.nan))


def seen_by_model(matrix: Floats, signature: Signature) -> Floats:
    """What the model inside the graph reads: `known`, and beside it what is derived from it.

    Args:
        matrix: Shape (n, F), as `encode` gives it or as a caller may send it.
        signature: Inputs and derived features.

    Returns:
        Shape (n, F + D), with the columns of `signature.columns`.
    """
    return widened(known(matrix, signature.inputs), signature.inputs, signature.derived)


def code_limits(inputs: tuple[Input, ...]) -> Floats:
    """Per column the first code that is none: the vocabulary's size; infinity for numbers. Shape (F,)."""
    return np.array([len(i.vocabulary) if i.kind == "category" else np.inf for i in inputs], dtype=np.float32)


def labels(frame: pl.DataFrame) -> Labels:
    """The truth, shape (n,), 0 or 1.

    Raises:
        ContractError: `frame` has no `label` column.
    """
    _require(frame, ["label"])
    return frame["label"].cast(pl.Int8).to_numpy()


def refuse_empty_columns(matrix: Floats, inputs: tuple[Input, ...]) -> None:
    """Stop before a fitter meets a column with nothing in it.

    Raises:
        DegenerateColumnError: Some columns hold no value at all; they are named.
    """
    nothing: list[bool] = np.asarray(np.isnan(matrix).all(axis=0)).tolist()
    empty = [column.name for column, is_empty in zip(inputs, nothing, strict=True) if is_empty]
    if empty:
        raise DegenerateColumnError(
            f"no value at all among {len(matrix)} train rows in: {', '.join(empty)}",
            expected="at least one value per feature",
            remedy="choose a later as_of or a longer window, or take the feature out of the use case",
        )


def _require(frame: pl.DataFrame, names: "tuple[str, ...] | list[str]") -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ContractError(
            f"columns missing: {', '.join(missing)}",
            expected="one column per feature of the use case",
            remedy="build the rows with modelway.features.training_set",
        )
