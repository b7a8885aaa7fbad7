"""Parquet rows to the graph's matrix, column by column, without a Python value in between."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelway.bundle.signature import Input, Signature
from modelway.errors import ContractError


def matrix(batch: pa.RecordBatch, signature: Signature) -> npt.NDArray[np.float32]:
    """The float32 matrix of one batch, shape (n, F): what `modelway.training.encoding.encode` gives.

    A number as it is; a category as its index in the vocabulary; NaN when missing or unknown.
    """
    encoded = np.empty((batch.num_rows, len(signature.inputs)), dtype=np.float32)
    for place, column in enumerate(signature.inputs):
        encoded[:, place] = _encoded(batch.column(column.name), column)
    return encoded


def _encoded(values: pa.Array, column: Input) -> npt.NDArray[np.float32]:
    if column.kind == "category":
        text = values.cast(pa.string())
        values = pc.index_in(text, value_set=pa.array(column.vocabulary, pa.string()), skip_nulls=True)
    number: npt.NDArray[np.float32] = values.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return number


def check_schema(schema: pa.Schema, signature: Signature, file: str) -> None:
    """Refuse a file that the model cannot read, before anything is written.

    Raises:
        ContractError: Names the file and every column that is absent or of a wrong type.
    """
    faults = [fault for name, fits in _needs(signature) if (fault := _fault(schema, name, fits))]
    if faults:
        raise ContractError(
            f"{file}: {'; '.join(faults)}",
            expected=f"column {signature.key} and one column per input of {signature.model_name}, "
            "numbers as numbers and categories as text",
            remedy="write the rows with the model's feature names; nothing was scored",
        )


Fits = Callable[[pa.DataType], str]
"""What a column should have been, or nothing when the type will do."""


def _needs(signature: Signature) -> list[tuple[str, Fits]]:
    kinds = {"numeric": _numeric, "category": _category}
    return [(signature.key, _key), *((column.name, kinds[column.kind]) for column in signature.inputs)]


def _fault(schema: pa.Schema, name: str, fits: Fits) -> str:
    found = schema.get_all_field_indices(name)
    if len(found) != 1:
        return f"column {name} is {'missing' if not found else 'there more than once'}"
    found_type = schema.field(found[0]).type
    wanted = fits(found_type)
    return f"column {name} is {found_type}, not {wanted}" if wanted else ""


def _numeric(kind: pa.DataType) -> str:
    types = pa.types
    fits = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind)
    return "" if fits or types.is_decimal(kind) else "a number"


def _category(kind: pa.DataType) -> str:
    types = pa.types
    inner = kind.value_type if types.is_dictionary(kind) else kind
    fits = _is_text(inner) or types.is_integer(inner) or types.is_boolean(inner) or types.is_null(inner)
    return "" if fits else "text"


def _key(kind: pa.DataType) -> str:
    return "" if _is_text(kind) or pa.types.is_integer(kind) else "text or an integer"


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
