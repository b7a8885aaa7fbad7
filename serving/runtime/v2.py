"""Open Inference Protocol V2 requests: typed decoders for the usual shapes, a careful one for the rest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from modelway.bundle.signature import GRAPH_INPUT
from serving.runtime.columns import EVENT_TIME, Columns, Tensor
from serving.runtime.parsed import (
    Parsed,
    checked_entity,
    checked_event_time,
    checked_id,
    checked_row,
    matrix_of,
    row_of,
)
from serving.runtime.problems import RequestError, shown
from serving.runtime.v2_any import any_request

OUTPUTS = ("probability", "decision")
_MATRIX_DIMENSIONS = 2
_FLOATS = frozenset({"FP32", "FP64"})
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Output(msgspec.Struct, gc=False):
    name: str


class _Floats(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[float | None]


class _FloatRequest(msgspec.Struct, gc=False):
    inputs: list[_Floats]
    id: str | None = None
    outputs: list[_Output] | None = None


class _Tagged(msgspec.Struct, tag_field="datatype", gc=False):
    name: str
    shape: list[int]

    @property
    def datatype(self) -> str:
        return str(self.__struct_config__.tag)


class _Fp32(_Tagged, tag="FP32", gc=False):
    data: list[float | None]


class _Fp64(_Tagged, tag="FP64", gc=False):
    data: list[float | None]


class _I64(_Tagged, tag="INT64", gc=False):
    data: list[_Int64 | None]


class _I32(_Tagged, tag="INT32", gc=False):
    data: list[_Int64 | None]


class _Bool(_Tagged, tag="BOOL", gc=False):
    data: list[bool | None]


class _Bytes(_Tagged, tag="BYTES", gc=False):
    data: list[str | None]


class _MixedRequest(msgspec.Struct, gc=False):
    inputs: list[_Fp32 | _Fp64 | _I64 | _I32 | _Bool | _Bytes]
    id: str | None = None
    outputs: list[_Output] | None = None


class V2Decoder:
    """Requests of one model. The decoder that fitted last is tried first: clients repeat themselves."""

    __slots__ = ("_columns", "_decoders", "_width")

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._width = len(columns.names)
        floats, mixed = msgspec.json.Decoder(_FloatRequest), msgspec.json.Decoder(_MixedRequest)
        self._decoders: list[Callable[[bytes], Any]] = [floats.decode, mixed.decode]

    def decode(self, body: bytes) -> Parsed:
        """A request's rows in matrix order.

        Raises:
            RequestError: The body is no V2 request for this model; the message says why.
        """
        try:
            request = self._decoders[0](body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            request = self._second_try(body)
        if type(request) is _FloatRequest and not _all_floats(request.inputs):
            request = self._careful(body)
        return self._parsed(request)

    def _second_try(self, body: bytes) -> Any:
        try:
            request = self._decoders[1](body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._careful(body)
        self._decoders.reverse()
        return request

    def _careful(self, body: bytes) -> Any:
        return any_request(body)

    def _parsed(self, request: Any) -> Parsed:
        tensors: Sequence[Tensor] = request.inputs
        if len(tensors) == 1 and tensors[0].name == GRAPH_INPUT:
            parsed = self._matrix(tensors[0])
        else:
            parsed = self._named(tensors)
        if request.id is not None:
            parsed.request_id = checked_id(request.id)
        if request.outputs is not None:
            parsed.outputs = _asked_for(request.outputs)
        return parsed

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
        if tensor.datatype not in _FLOATS:
            raise RequestError(f"`{GRAPH_INPUT}` must be FP32, found {tensor.datatype}")
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
        if len(positions) != self._width:
            raise columns.missing_from(positions)
        _check_lengths(given, rows)
        if rows == 1:
            row = [0.0] * self._width
            for name, at in positions.items():
                row[at] = columns.encode(at, given[name].data)[0]
            return Parsed(1, checked_row(row))
        wide = np.empty((rows, self._width), dtype=np.float64)
        for name, at in positions.items():
            wide[:, at] = columns.encode(at, given[name].data)
        return Parsed(rows, matrix_of(wide, rows))


def _all_floats(tensors: Sequence[_Floats]) -> bool:
    return all(tensor.datatype in _FLOATS for tensor in tensors)


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


def _asked_for(outputs: Sequence[_Output]) -> tuple[str, ...]:
    names = tuple(output.name for output in outputs)
    for name in names:
        if name not in OUTPUTS:
            raise RequestError(f"no output named {shown(name)}; expected {' or '.join(OUTPUTS)}")
    return names or OUTPUTS
