"""Real rows as request bodies: Open Inference Protocol V2 JSON, one tensor per named column."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl

from loadtests.options import LoadOptions
from loadtests.profiles import profile_of
from modelway.errors import ConfigError, SourceError

NOT_INPUTS = frozenset({"label", "label_known_at", "label_matured_at", "known_at", "event_time"})
"""Columns of a training set that no request carries."""

MOST_BODIES = 2000
"""Bodies are made before the first request, and repeat: enough that no cache knows them all by heart."""


def make_bodies(options: LoadOptions) -> list[bytes]:
    """Encode the rows to send, all before the start, so that encoding costs no time under load.

    Returns:
        With `once`, every row in the file's order; else a seeded sample in random order.

    Raises:
        SourceError: The file is missing, unreadable or empty.
        ConfigError: A column named in the options is not there, or of a type no tensor has.
    """
    frame = _rows(options)
    names = _inputs(options, frame)
    tensors = frame.select([_tensor(frame, name) for name in names] + _logged(options, frame))
    size = options.rows_per_request
    return [_body(tensors.slice(start, size)) for start in range(0, tensors.height, size)]


def expected_duration_s(options: LoadOptions) -> float:
    """How long the schedule of a run is, seconds, without making it."""
    if not options.once:
        return options.duration_s or profile_of(options.profile).duration_s
    try:
        rows: int = pl.scan_parquet(options.rows).select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError):
        return 0.0  # the run itself says what is wrong with the file
    return math.ceil(rows / options.rows_per_request) / options.rate


def _rows(options: LoadOptions) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(options.rows)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            f"cannot read rows from {options.rows}: {str(error).splitlines()[0]}",
            expected="a Parquet file with one column per model input",
            remedy="`modelway loadtest run` writes one from the newest snapshot",
        ) from error
    if frame.is_empty():
        raise SourceError(f"{options.rows} holds no row", expected="at least one", remedy="name another file")
    if options.once:
        return frame
    draw = np.random.default_rng(options.seed)
    return frame[draw.permutation(frame.height)[: MOST_BODIES * options.rows_per_request]]


def _inputs(options: LoadOptions, frame: pl.DataFrame) -> Sequence[str]:
    named = [name for name in (options.key, options.event_time) if name]
    wanted = options.columns or tuple(c for c in frame.columns if c not in {*NOT_INPUTS, *named})
    missing = [name for name in (*wanted, *named) if name not in frame.columns]
    if missing or not wanted:
        raise ConfigError(
            f"{options.rows} has no column {', '.join(missing) or 'to send'}",
            expected=f"some of {', '.join(frame.columns)}",
            remedy="check --columns, --key and --event-time",
        )
    return wanted


def _tensor(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Numbers and flags as float32, NaN as null; categories as strings."""
    kind = frame.schema[name]
    if kind.is_numeric() or kind == pl.Boolean:
        return pl.col(name).cast(pl.Float32).fill_nan(None)
    if isinstance(kind, pl.String | pl.Categorical | pl.Enum):
        return pl.col(name).cast(pl.String)
    raise ConfigError(
        f"column {name!r} of type {kind} cannot be sent",
        expected="numbers, flags and strings",
        remedy="name the inputs with --columns",
    )


def _logged(options: LoadOptions, frame: pl.DataFrame) -> list[pl.Expr]:
    """Subject and event time: kept in the prediction log, not seen by the model."""
    logged = [pl.col(options.key).cast(pl.String)] if options.key else []
    if options.event_time:
        if not isinstance(frame.schema[options.event_time], pl.Datetime | pl.Date):
            raise ConfigError(
                f"column {options.event_time!r} is {frame.schema[options.event_time]}",
                expected="timestamps",
                remedy="check --event-time",
            )
        logged.append(pl.col(options.event_time).cast(pl.Datetime("us")).cast(pl.Int64).alias("event_time"))
    return logged


_DATATYPES: dict[Any, str] = {pl.Float32: "FP32", pl.String: "BYTES", pl.Int64: "INT64"}


def _body(rows: pl.DataFrame) -> bytes:
    inputs = [
        {
            "name": column.name,
            "shape": [rows.height],
            "datatype": _DATATYPES[type(column.dtype)],
            "data": column.to_list(),
        }
        for column in rows.iter_columns()
    ]
    return msgspec.json.encode({"inputs": inputs})
