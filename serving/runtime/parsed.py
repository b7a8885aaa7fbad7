"""A request after decoding: what to score, and what to remember about it."""

from collections.abc import Sequence
from math import isinf, nan
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from serving.runtime.problems import RequestError

Matrix = npt.NDArray[np.float32]

MAX_ID_CHARS = 256
MAX_EVENT_TIME_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999; no calendar library goes further."""
MIN_EVENT_TIME_US = -62_135_596_800_000_000


class Stored(msgspec.Struct, gc=False):
    """What a request by key took from the online store."""

    views: tuple[str, ...]
    """Names of the feature views that were read."""
    event_times_us: list[list[int | None]]
    """One list a view: when each row's values were true, None where there were none."""


class Parsed(msgspec.Struct, gc=False):
    """One request's rows.

    A single row stays a list of floats, which packs faster than an array is made.
    """

    rows: int
    values: list[float] | Matrix
    """One row: F floats, NaN for missing. Several: float32 of shape (rows, F). Never infinite."""
    request_id: str | None = None
    entity_ids: list[str | None] | None = None
    event_times_us: list[int | None] | None = None
    entities: dict[str, list[str | None]] | None = None
    """Ids that name rows of the online store beside the key and the model's inputs, by column."""
    outputs: tuple[str, ...] | None = None
    """Names of the outputs asked for; None means all."""
    by_key: dict[str, list[Any]] | None = None
    """Columns that came with a request by key, not yet numbers; `values` is empty until the store answers."""
    stored: Stored | None = None
    """What came from the online store; None for a request that brought its features."""
    fallbacks: dict[int, str] | None = None
    """Rows that are answered by the fallback rule, and why; None means none of them."""
    binary: frozenset[str] | None = None
    """Names of the outputs to be sent as bytes; None means none of them."""
    packed: bytes | None = None
    """A single row as float32 bytes, where it came like that; None means that `values` are to be packed."""


def row_of(values: Sequence[float | None]) -> list[float]:
    """One row with NaN where a value is missing."""
    return [nan if value is None else value for value in values]


def matrix_of(values: Sequence[Any] | npt.NDArray[np.float64], rows: int) -> Matrix:
    """Row-major numbers as a float32 matrix, NaN where missing.

    Raises:
        RequestError: A value is beyond the range of float32.
    """
    given = np.asarray(values) if isinstance(values, np.ndarray) else np.array(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(given.reshape(rows, -1), dtype=np.float32)
    if np.isinf(matrix).any():
        raise infinite()
    return matrix


def checked_row(values: Sequence[float | None]) -> list[float]:
    """One row whose values may be infinite: refused here.

    Raises:
        RequestError: A value is infinite.
    """
    row = row_of(values)
    if any(map(isinf, row)):
        raise infinite()
    return row


def infinite() -> RequestError:
    """The error for a value that float32 cannot hold."""
    return RequestError(
        "a value is infinite or beyond the range of FP32; send null for a value that is not known"
    )


def checked_id(value: object) -> str | None:
    """A request's id, or none.

    Raises:
        RequestError: It is no short string.
    """
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_ID_CHARS or not is_text(value):
        raise RequestError(f"`id` must be a string of at most {MAX_ID_CHARS} characters")
    return value


def checked_entity(value: object) -> str | None:
    """One row's subject or another id: a string, or a whole number that stands for one.

    Raises:
        RequestError: It is something else, or too long.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RequestError("the key tensor must hold strings, whole numbers or null")
    text = str(value)
    if len(text) > MAX_ID_CHARS or not is_text(text):
        raise RequestError(f"a key must be text of at most {MAX_ID_CHARS} characters")
    return text


def checked_ids(values: Sequence[object]) -> list[str | None]:
    """One column of ids.

    Raises:
        RequestError: One is no id.
    """
    return [checked_entity(value) for value in values]


def is_text(value: str) -> bool:
    """Whether it can be written: JSON can spell half a surrogate pair, UTF-8 cannot."""
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def checked_event_time(value: object) -> int | None:
    """One row's time, microseconds since 1970 UTC.

    Raises:
        RequestError: It is no whole number, or outside the years 1 to 9999.
    """
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not MIN_EVENT_TIME_US <= value <= MAX_EVENT_TIME_US
    ):
        raise RequestError("`event_time` must be INT64 microseconds since 1970, within the years 1 to 9999")
    return value
