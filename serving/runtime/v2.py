"""Open Inference Protocol V2 requests: typed decoders for the usual shapes, a careful one for the rest."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec
import numpy as np

from modelway.bundle.signature import GRAPH_INPUT
from serving.runtime.binary import FLOATS, Array, binary_tensor, listed
from serving.runtime.columns import EVENT_TIME, Columns, Tensor
from serving.runtime.parsed import (
    MAX_ID_CHARS,
    Parsed,
    checked_entity,
    checked_event_time,
    checked_id,
    checked_ids,
    checked_row,
    matrix_of,
    row_of,
)
from serving.runtime.problems import RequestError, shown
from serving.runtime.records import RECORDS, Rows, objects
from serving.runtime.reply import OUTPUTS
from serving.runtime.v2_any import Tail, any_request
from serving.runtime.v2_forms import Forms
from serving.runtime.v2_shapes import FloatRequest, Floats, MixedRequest, Output, Sized, SizedRequest
from serving.runtime.v2_wordings import Wordings

_MATRIX_DIMENSIONS = 2
ALL_OUTPUTS = frozenset(OUTPUTS)
_TYPED_FLOATS = frozenset({"FP32", "FP64"})


class V2Decoder:
    """Requests of one model. The decoder that fitted last is tried first: clients repeat themselves.

    So much so that the JSON before one row of bytes is the same each time: read once, then recognised.
    """

    __slots__ = (
        "_columns",
        "_decoders",
        "_forms",
        "_header",
        "_one_row",
        "_records",
        "_rows",
        "_width",
        "wordings",
    )

    def __init__(self, columns: Columns) -> None:
        """Prepare a decoder for each form, the cheapest first."""
        self._columns = columns
        self._width = len(columns.names)
        self._one_row = [1, self._width]
        self._rows, self._records = Rows(columns), RECORDS not in columns.index
        self._forms, self.wordings = Forms(self._width), Wordings(self._width)
        self._header = msgspec.json.Decoder(SizedRequest).decode
        floats, mixed = msgspec.json.Decoder(FloatRequest), msgspec.json.Decoder(MixedRequest)
        self._decoders: list[Callable[[bytes], Any]] = [floats.decode, mixed.decode]

    def decode(self, body: bytes) -> Parsed:
        """The rows of a request that is JSON from end to end.

        Raises:
            RequestError: The body is no V2 request for this model; the message says why.
        """
        try:
            request = self._decoders[0](body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            request = self._second_try(body)
        if type(request) is FloatRequest:
            if (row := self._row(request)) is not None:
                self.wordings.learn(body, request.id)
                return Parsed(1, row, request.id)
            if not _all_floats(request.inputs):
                request = self._second_try(body)
        return self.parsed(request.inputs, request)

    def _row(self, request: FloatRequest) -> list[float] | None:
        """The one row of the usual request, which asks for nothing particular; None where it is any other."""
        tensor, wishes = request.inputs[0] if request.inputs else None, request.outputs or request.parameters
        if tensor is None or wishes is not None or tensor.shape != self._one_row or len(request.inputs) > 1:
            return None
        row, request_id = tensor.data, request.id
        if len(row) != self._width or tensor.name != GRAPH_INPUT or tensor.datatype not in _TYPED_FLOATS:
            return None
        if request_id is not None and not (len(request_id) <= MAX_ID_CHARS and request_id.isascii()):
            return None  # the careful path can say what is wrong with it
        return row_of(row) if None in row else row  # type: ignore[return-value]  # mypy does not narrow by `in`

    def decode_binary(self, body: bytes, header_bytes: int) -> Parsed:
        """The rows of a request whose JSON has `header_bytes` bytes and is followed by tensors.

        Raises:
            RequestError: The body is no V2 request for this model; the message says why.
        """
        if (known := self._forms.read(body, header_bytes)) is not None:
            return known
        header = body[:header_bytes]
        raw = memoryview(body)[header_bytes:]
        try:
            request = self._header(header)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._carefully(header, raw)
        if any(tensor.data or tensor.parameters.shared_memory_region for tensor in request.inputs):
            return self._carefully(header, raw)
        tail = Tail(raw)
        tensors = [_cut(tensor, tail) for tensor in request.inputs]
        tail.end()
        parsed = self.parsed(tensors, request)
        self._forms.learn(header, request, parsed)
        return parsed

    def _carefully(self, header: bytes, raw: memoryview) -> Parsed:
        request = any_request(header, Tail(raw))
        return self.parsed(request.inputs, request)

    def _second_try(self, body: bytes) -> Any:
        try:
            request = self._decoders[1](body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return any_request(body)
        self._decoders.reverse()
        return request if type(request) is MixedRequest or _all_floats(request.inputs) else any_request(body)

    def parsed(self, tensors: Sequence[Tensor], request: Any) -> Parsed:
        """Rows out of tensors, however they came.

        Args:
            tensors: The inputs.
            request: Anything with `id`, `outputs` and `parameters`.

        Raises:
            RequestError: They are not what this model takes; the message says why.
        """
        if len(tensors) == 1 and tensors[0].name == GRAPH_INPUT:
            parsed = self._matrix(tensors[0])
        elif len(tensors) == 1 and tensors[0].name == RECORDS and self._records:
            parsed = self._from_records(tensors[0])
        else:
            parsed = self._named(tensors)
        if request.id is not None:
            parsed.request_id = checked_id(request.id)
        if request.outputs is not None:
            parsed.outputs = _asked_for(request.outputs)
        if request.parameters is not None or request.outputs is not None:
            parsed.binary = _as_bytes(request.outputs, request.parameters)
        return parsed

    def _from_records(self, tensor: Tensor) -> Parsed:
        rows = _rows({RECORDS: tensor})
        _check_lengths({RECORDS: tensor}, rows)
        if tensor.datatype != "BYTES":
            raise RequestError(f"`{RECORDS}` must be BYTES, found {tensor.datatype}")
        return self._rows.parsed(objects(tensor.data), RECORDS)

    def _matrix(self, tensor: Tensor) -> Parsed:
        shape, data = tensor.shape, tensor.data
        if len(shape) != _MATRIX_DIMENSIONS or shape[1] != self._width or shape[0] < 1:
            raise RequestError(
                f"`{GRAPH_INPUT}` must have shape [rows, {self._width}], rows >= 1, found {shown(shape)}"
            )
        if len(data) != shape[0] * self._width:
            raise RequestError(
                f"shape {shown(shape)} takes {shape[0] * self._width} values, found {len(data)}"
            )
        if tensor.datatype not in FLOATS:
            raise RequestError(f"`{GRAPH_INPUT}` must be FP32, found {tensor.datatype}")
        if type(data) is np.ndarray:
            return _matrix_of_array(data, shape[0])
        if shape[0] == 1:
            return Parsed(1, row_of(data) if None in data else data)
        return Parsed(shape[0], matrix_of(data, shape[0]))

    def _named(self, tensors: Sequence[Tensor]) -> Parsed:
        row = self._columns.row(tensors)
        if row is not None:
            parsed = Parsed(1, row)
            if len(tensors) > self._width:
                self._remember(parsed, {t.name: t for t in tensors if self._columns.is_log_only(t.name)})
            return parsed
        given = _by_name(tensors)
        extras = {name: tensor for name, tensor in given.items() if self._columns.is_log_only(name)}
        rows = _rows(given)
        make = self._matrix_with_extras if GRAPH_INPUT in given else self._from_columns
        parsed = make(given, extras, rows)
        self._remember(parsed, extras)
        return parsed

    def _remember(self, parsed: Parsed, extras: Mapping[str, Tensor]) -> None:
        if self._columns.key in extras:
            parsed.entity_ids = [checked_entity(v) for v in extras[self._columns.key].data]
        if EVENT_TIME in extras:
            parsed.event_times_us = [checked_event_time(v) for v in extras[EVENT_TIME].data]
        if columns_of_ids := self._columns.entities.intersection(extras):
            parsed.entities = {name: checked_ids(extras[name].data) for name in columns_of_ids}

    def _matrix_with_extras(
        self, given: Mapping[str, Tensor], extras: Mapping[str, Tensor], rows: int
    ) -> Parsed:
        mixed = [name for name in given if name != GRAPH_INPUT and name not in extras]
        if mixed:
            raise RequestError(
                f"send either the matrix `{GRAPH_INPUT}` or named columns, not both: {shown(mixed)}"
            )
        _check_lengths(extras, rows)
        return self._matrix(given[GRAPH_INPUT])

    def _from_columns(self, given: Mapping[str, Tensor], extras: Mapping[str, Tensor], rows: int) -> Parsed:
        columns = self._columns
        positions = {name: columns.position(name) for name in given if name not in extras}
        _check_lengths(given, rows)
        if len(positions) != self._width:
            if not columns.left_to_store(given, keyed=columns.key in given):
                raise columns.missing_from(given)
            return Parsed(rows, [], by_key={name: given[name].data for name in positions})
        if rows == 1:
            row = [0.0] * self._width
            for name, at in positions.items():
                row[at] = columns.encode(at, given[name].data)[0]
            return Parsed(1, checked_row(row))
        wide = np.empty((rows, self._width), dtype=np.float64)
        for name, at in positions.items():
            wide[:, at] = columns.encode(at, given[name].data)
        return Parsed(rows, matrix_of(wide, rows))


def _cut(tensor: Sized, tail: Tail) -> Tensor:
    raw = tail.cut(tensor.parameters.binary_data_size, tensor.name)
    binary = binary_tensor(tensor.name, tensor.shape, tensor.datatype, raw)
    return binary if tensor.name == GRAPH_INPUT else listed(binary)


def _matrix_of_array(values: Array, rows: int) -> Parsed:
    if rows > 1:
        return Parsed(rows, matrix_of(values, rows))
    row = values.tolist()
    return Parsed(1, row if isfinite(sum(row)) else checked_row(row))


def _as_bytes(outputs: Sequence[Output] | None, parameters: Any) -> frozenset[str] | None:
    """Names of the outputs that are wanted as bytes: what an output says itself comes first."""
    default = bool(parameters and parameters.binary_data_output)
    if not outputs:
        return ALL_OUTPUTS if default else None
    said = {output.name: output.parameters and output.parameters.binary_data for output in outputs}
    names = frozenset(name for name, wanted in said.items() if (default if wanted is None else wanted))
    return names or None


def _all_floats(tensors: Sequence[Floats]) -> bool:
    for tensor in tensors:  # `all` would cost a generator a request  # noqa: SIM110
        if tensor.datatype not in _TYPED_FLOATS:
            return False
    return True


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    given = {tensor.name: tensor for tensor in tensors}
    if len(given) != len(tensors):
        raise RequestError("two input tensors have the same name")
    if not given:
        raise RequestError("`inputs` is empty")
    return given


def _rows(given: Mapping[str, Tensor]) -> int:
    shape = next(iter(given.values())).shape
    if not shape or shape[0] < 1:
        raise RequestError(f"a tensor must have shape [rows], rows >= 1, found {shown(shape)}")
    return shape[0]


def _check_lengths(tensors: Mapping[str, Tensor], rows: int) -> None:
    for name, tensor in tensors.items():
        if tensor.shape not in ([rows], [rows, 1]) or len(tensor.data) != rows:
            raise RequestError(
                f"tensor {shown(name)} must hold {rows} values in shape [{rows}] like the others, "
                f"found {len(tensor.data)} in shape {shown(tensor.shape)}"
            )


def _asked_for(outputs: Sequence[Output]) -> tuple[str, ...]:
    names = tuple(output.name for output in outputs)
    for name in names:
        if name not in OUTPUTS:
            raise RequestError(f"no output named {shown(name)}; expected {' or '.join(OUTPUTS)}")
    return names or OUTPUTS
