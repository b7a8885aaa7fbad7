"""Log entries as a Parquet table. pyarrow is imported by the log's thread, not with this module."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelway.bundle.bundle import Bundle
from serving.runtime.masks import Masks
from serving.runtime.origins import Origins
from serving.runtime.parsed import Matrix, Parsed
from serving.runtime.prediction_log import Entry, Writer


def parquet_writer(bundle: Bundle, revision: str) -> Callable[[], Writer]:
    """A maker of writers for the log of one bundle and revision.

    Columns: `_request_id`, `_row` (within the request), `_entity_id`, `_event_time`, `_received_at`,
    `_model`, `_revision`, `_bundle`, `_purpose` (null for users' requests, else `probe`, `drill` or
    `loadtest`), `_probability`, then one float32 column per input as the graph saw it.

    A model with a fallback rule has `_fallback`: why the rule answered, null where the model did. One that is
    asked by key has `_features_from`, `request` or `store`, and for each feature view `_at_<view>`: when the
    stored values were true, null where none were used. Ids that a request brings only to name rows of the
    online store stand in `_key_<column>`.

    What the policy masks is left out (`drop`) or hashed: inputs then as text in `_hashed_<name>`.

    Raises:
        ConfigError: The policy masks what is not there, or hashes without a salt.
    """
    masks, origins = Masks(bundle), Origins(bundle)

    def make() -> Writer:
        import pyarrow as pa  # noqa: PLC0415 - 0.2 s and 40 MB that a server without a log need not pay
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above

        names, process = bundle.signature.names, os.urandom(6).hex()
        constants = {"_model": bundle.signature.model_name, "_revision": revision, "_bundle": bundle.digest}

        def fill(sink: Any, entries: Sequence[Entry]) -> None:
            table = _table(Arrays(pa), entries, names, constants, process, (origins, masks))
            # a dictionary of unique ids and floats costs twice the time and half again the space
            with pq.ParquetWriter(
                sink, table.schema, compression="zstd", use_dictionary=list(constants)
            ) as file:
                file.write_table(table)

        def write(path: Path, entries: Sequence[Entry]) -> None:
            with pa.OSFile(str(path), "wb") as sink:
                fill(sink, entries)

        fill(
            pa.BufferOutputStream(), [_example(len(names))]
        )  # pays first-run costs now and not beside requests
        return write

    return make


def _example(width: int) -> Entry:
    request = Parsed(1, [0.0] * width, entity_ids=["a"], event_times_us=[0])
    return Entry(request, 0, np.float32(0), bytes(4 * width))


class Arrays:
    """Arrow arrays from buffers.

    `pa.array`, and `pq.write_table` on a Python file, import pandas where there is one: a second, and
    50 MB, that nobody here asked for.
    """

    def __init__(self, pa: Any) -> None:
        """Keep pyarrow, which the log's thread has imported."""
        self.pa = pa
        self.moment = pa.timestamp("us", tz="UTC")

    def of(self, kind: Any, values: npt.NDArray[Any]) -> Any:
        """A copy-free array without nulls; `values` contiguous and of `kind`'s width."""
        return self.pa.Array.from_buffers(kind, len(values), [None, self.pa.py_buffer(values)])

    def strings(self, values: Sequence[str | None]) -> Any:
        """Strings, None for null."""
        encoded = [b"" if value is None else value.encode() for value in values]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int32, len(encoded)), dtype=np.int32)
        known = np.packbits([value is not None for value in values], bitorder="little")
        buffers = [known, np.concatenate([np.zeros(1, np.int32), ends]), b"".join(encoded)]
        return self._joined(len(encoded), buffers)

    def moments(self, values: Sequence[int | None]) -> Any:
        """Microseconds since 1970 UTC, None for null."""
        known = np.packbits([value is not None for value in values], bitorder="little")
        numbers = np.array([value or 0 for value in values], dtype=np.int64)
        held = [self.pa.py_buffer(known), self.pa.py_buffer(numbers)]
        return self.pa.Array.from_buffers(self.moment, len(values), held)

    def constant(self, value: str, rows: int) -> Any:
        """The same string in every row."""
        encoded = value.encode()
        ends = np.arange(rows + 1, dtype=np.int32) * np.int32(len(encoded))
        return self._joined(rows, [None, ends, encoded * rows])

    def _joined(self, rows: int, buffers: Sequence[Any]) -> Any:
        held = [None if buffer is None else self.pa.py_buffer(buffer) for buffer in buffers]
        return self.pa.Array.from_buffers(self.pa.string(), rows, held)


def _table(  # noqa: PLR0913, PLR0917 - a table joins what every part of it comes from
    arrays: Arrays,
    entries: Sequence[Entry],
    names: Sequence[str],
    constants: Mapping[str, str],
    process: str,
    rules: tuple[Origins, Masks],
) -> Any:
    origins, masks = rules
    pa, counts = arrays.pa, np.array([entry.request.rows for entry in entries])
    rows = int(counts.sum())
    received = np.repeat(np.array([entry.received_us for entry in entries], dtype=np.int64), counts)
    columns: dict[str, Any] = {
        "_request_id": arrays.strings(_request_ids(entries, process, masks)),
        "_row": arrays.of(pa.int32(), _rows_within(counts)),
        "_entity_id": arrays.strings(masks.entities(_entity_ids(entries))),
        "_event_time": arrays.of(arrays.moment, _event_times(entries, received)),
        "_received_at": arrays.of(arrays.moment, received),
    }
    columns |= {name: arrays.constant(value, rows) for name, value in constants.items()}
    columns["_purpose"] = _purposes(arrays, entries, rows)
    columns["_probability"] = arrays.of(pa.float32(), _floats(entry.probabilities for entry in entries))
    columns |= origins.columns(arrays, entries, masks)
    features = np.asfortranarray(_floats(entry.features for entry in entries).reshape(rows, len(names)))
    return pa.table({**columns, **masks.inputs(arrays, names, features)})


def _purposes(arrays: Arrays, entries: Sequence[Entry], rows: int) -> Any:
    """Null for users, of whom a whole file is the usual one."""
    if not any(entry.purpose for entry in entries):
        return arrays.pa.nulls(rows, arrays.pa.string())
    return arrays.strings([entry.purpose for entry in entries for _ in range(entry.request.rows)])


def _request_ids(entries: Sequence[Entry], process: str, masks: Masks) -> list[str]:
    """The client's own where there is one that may be kept, else ours."""
    ids: list[str] = []
    given = masks.request_ids([entry.request.request_id or None for entry in entries])
    for entry, own in zip(entries, given, strict=True):
        ids += [own or f"{process}-{entry.serial}"] * entry.request.rows
    return ids


def _entity_ids(entries: Sequence[Entry]) -> list[str | None]:
    ids: list[str | None] = []
    for entry in entries:
        ids += entry.request.entity_ids or [None] * entry.request.rows
    return ids


def _rows_within(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """0 … n-1 for each request, one after the other."""
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    return (np.arange(len(starts)) - starts).astype(np.int32)


def _event_times(entries: Sequence[Entry], received: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The time sent with a row; when it was received, where none was."""
    times, start = received.copy(), 0
    for entry in entries:
        for at, sent in enumerate(entry.request.event_times_us or ()):
            if sent is not None:
                times[start + at] = sent
        start += entry.request.rows
    return times


def _floats(parts: Iterable[bytes | np.float32 | Matrix]) -> Matrix:
    """Scalars, arrays and packed rows as one flat float32 array."""
    return np.frombuffer(
        b"".join(p if isinstance(p, bytes) else p.tobytes() for p in parts), dtype=np.float32
    )
