"""Log entries as a Parquet table. pyarrow is imported by the log's thread, not with this module."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from modelway.bundle.bundle import Bundle
from serving.runtime.parsed import Matrix
from serving.runtime.prediction_log import Entry, Writer

_Value = TypeVar("_Value")


def parquet_writer(bundle: Bundle, revision: str) -> Callable[[], Writer]:
    """A maker of writers for the log of one bundle and revision.

    Columns: `_request_id`, `_row` (within the request), `_entity_id`, `_event_time`, `_received_at`,
    `_model`, `_revision`, `_bundle`, `_probability`, then one float32 column per input as the graph saw it.
    """

    def make() -> Writer:
        import pyarrow as pa  # noqa: PLC0415 - 0.2 s and 40 MB that a server without a log need not pay
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        names, process = bundle.signature.names, os.urandom(6).hex()
        constants = {"_model": bundle.signature.model_name, "_revision": revision, "_bundle": bundle.digest}

        def write(path: Path, entries: list[Entry]) -> None:
            table = _table(pa, entries, names, constants, process)
            pq.write_table(table, path, compression="zstd")

        return write

    return make


def _table(
    pa: Any, entries: Sequence[Entry], names: Sequence[str], constants: dict[str, str], process: str
) -> Any:
    counts = [entry.request.rows for entry in entries]
    rows = sum(counts)
    received = np.repeat(np.array([entry.received_us for entry in entries], dtype=np.int64), counts)
    moment = pa.timestamp("us", tz="UTC")
    ids = [entry.request.request_id or f"{process}-{entry.serial}" for entry in entries]
    columns: dict[str, Any] = {
        "_request_id": pa.array(np.repeat(np.array(ids, dtype=object), counts), pa.string()),
        "_row": pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in counts])),
        "_entity_id": pa.array(_per_row((e.request.entity_ids for e in entries), counts), pa.string()),
        "_event_time": pa.array(_event_times(entries, counts), moment),
        "_received_at": pa.array(received, moment),
    }
    columns |= {name: pa.repeat(value, rows) for name, value in constants.items()}
    columns["_probability"] = pa.array(_probabilities(entries), pa.float32())
    features = _features(entries, len(names))
    columns |= {name: pa.array(features[:, at]) for at, name in enumerate(names)}
    return pa.table(columns)


def _per_row(values: Iterable[Sequence[_Value | None] | None], counts: Sequence[int]) -> list[_Value | None]:
    """One list over all rows; None for the rows of a request that gave none."""
    spread: list[_Value | None] = []
    for given, count in zip(values, counts, strict=True):
        spread.extend(given if given is not None else [None] * count)
    return spread


def _event_times(entries: Sequence[Entry], counts: Sequence[int]) -> list[int]:
    """The time sent with a row; when it was received, where none was."""
    given = _per_row((entry.request.event_times_us for entry in entries), counts)
    received = _per_row(([entry.received_us] * entry.request.rows for entry in entries), counts)
    return [sent if sent is not None else at or 0 for sent, at in zip(given, received, strict=True)]


def _probabilities(entries: Sequence[Entry]) -> Matrix:
    return np.concatenate([np.atleast_1d(np.asarray(entry.probabilities, np.float32)) for entry in entries])


def _features(entries: Sequence[Entry], width: int) -> Matrix:
    parts = [e.features if isinstance(e.features, bytes) else e.features.tobytes() for e in entries]
    return np.asfortranarray(np.frombuffer(b"".join(parts), dtype=np.float32).reshape(-1, width))
