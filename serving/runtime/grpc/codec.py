"""ModelInfer: how a message becomes rows, and probabilities a message."""

from collections.abc import Mapping, Sequence
from math import isinf
from struct import Struct
from typing import Any

import msgspec
import numpy as np

from modelway.bundle.signature import GRAPH_INPUT, Signature
from serving.runtime.binary import DATATYPES, DTYPES, BinaryTensor, binary_tensor, listed
from serving.runtime.columns import Columns
from serving.runtime.grpc.messages import message
from serving.runtime.parsed import Matrix, Parsed, checked_id, infinite
from serving.runtime.problems import RequestError, shown
from serving.runtime.reply import OUTPUTS, V2Reply, error_body
from serving.runtime.transport import Head, Headers
from serving.runtime.v2 import ALL_OUTPUTS, V2Decoder
from serving.runtime.v2_any import NOT_OFFERED
from serving.runtime.v2_shapes import Output

_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The field of a typed tensor; FP16 and BF16 have none and come as raw contents only."""
_OUTPUT_TYPES = {"probability": "FP32", "decision": "INT64"}
_ONE = Struct("<2sf2sq").pack
_MOST_DIMENSIONS = 8
_TWO_BYTES = 128
"""From here on a length takes two bytes."""
_RAW_4, _RAW_8 = b"\x32\x04", b"\x32\x08"
"""Field 6 of the answer, raw contents, of four and of eight bytes."""


class _Request(msgspec.Struct, gc=False):
    id: str | None
    outputs: list[Output] | None
    parameters: None = None


class V2Grpc:
    """Open Inference Protocol V2 in protocol buffers. An answer is raw where its request was."""

    protocol = "grpc"
    __slots__ = (
        "_answer",
        "_decoder",
        "_headers",
        "_name",
        "_one",
        "_reply",
        "_revision",
        "_row",
        "_threshold",
    )

    def __init__(self, signature: Signature, revision: str, columns: Columns) -> None:
        """Prepare what never changes."""
        self._decoder, self._reply = V2Decoder(columns), V2Reply(signature, revision)
        self._name, self._revision = signature.model_name, revision
        self._headers: Headers = [("x-revision", revision)]
        self._row = Struct(f"<{len(columns.names)}f")
        self._answer = message("ModelInferResponse")
        self._one = self._described(OUTPUTS, 1).SerializeToString()
        self._threshold = float(self._reply.threshold)

    def decode(self, head: Head, body: bytes) -> Parsed:
        """A request's rows in matrix order.

        Args:
            head: Has the parsed message as `message`.
            body: Its bytes.

        Raises:
            RequestError: The message is no request for this model.
        """
        del body
        request: Any = head.message  # type: ignore[attr-defined]  # the head of a call, not of an HTTP request
        raws, tensors = request.raw_input_contents, request.inputs
        if len(raws) == len(tensors) == 1 and self._is_row(tensors[0], raws[0]):
            row = list(self._row.unpack(raws[0]))
            if any(map(isinf, row)):
                raise infinite()
            parsed = Parsed(1, row)
            if not request.outputs and not request.parameters:
                parsed.binary = ALL_OUTPUTS
                if request_id := request.id:
                    parsed.request_id = checked_id(request_id)
                return parsed
        _check_parameters(request)
        given = _raw(tensors, raws) if raws else [_typed(tensor) for tensor in tensors]
        outputs = [Output(output.name) for output in request.outputs] or None
        parsed = self._decoder.parsed(given, _Request(request.id or None, outputs))
        parsed.binary = ALL_OUTPUTS if raws else None
        return parsed

    def _is_row(self, tensor: Any, raw: bytes) -> bool:
        return (
            len(raw) == self._row.size
            and tensor.name == GRAPH_INPUT
            and tensor.datatype == "FP32"
            and tensor.shape == [1, self._row.size // 4]
            and not tensor.HasField("contents")
            and not tensor.parameters
        )

    def encode(self, parsed: Parsed, probabilities: np.float32 | Matrix) -> tuple[Headers, bytes]:
        """Both outputs, or those asked for, raw or typed."""
        raw = parsed.binary is not None
        if raw and parsed.outputs is None and type(probabilities) is np.float32:
            decision = float(probabilities) >= self._threshold
            numbers = _ONE(_RAW_4, probabilities, _RAW_8, decision)
            return self._headers, self._one + _named(parsed.request_id) + numbers
        matrix = np.atleast_1d(probabilities)
        wanted = parsed.outputs or OUTPUTS
        answer = self._described(wanted, len(matrix))
        if parsed.request_id is not None:
            answer.id = parsed.request_id
        if raw:
            answer.raw_output_contents.extend(self._reply.raw(name, matrix) for name in wanted)
        else:
            self._fill(answer, matrix)
        return self._headers, answer.SerializeToString()

    def _described(self, wanted: Sequence[str], rows: int) -> Any:
        answer = self._answer(model_name=self._name, model_version=self._revision)
        for name in wanted:
            answer.outputs.add(name=name, datatype=_OUTPUT_TYPES[name], shape=[rows])
        return answer

    def _fill(self, answer: Any, probabilities: Matrix) -> None:
        for output in answer.outputs:
            if output.name == "probability":
                output.contents.fp32_contents.extend(probabilities.tolist())
            else:
                decisions = (probabilities >= self._reply.threshold).astype(np.int64)
                output.contents.int64_contents.extend(decisions.tolist())

    def refusal(self, _status: int, message: str) -> tuple[Headers, bytes]:
        """Say why not: the text becomes the details of the call's status."""
        return self._headers, error_body(message)

    def noted(self, headers: Headers, body: bytes, notes: Mapping[str, str | float]) -> tuple[Headers, bytes]:
        """The answer with notes as its `parameters`: messages in a row are read as one."""
        more = self._answer()
        for name, value in notes.items():
            said = more.parameters.add(key=name).value
            if isinstance(value, str):
                said.string_param = value
            else:
                said.double_param = value
        return headers, body + more.SerializeToString()


def _named(request_id: str | None) -> bytes:
    """Field 3 of the answer, the id of its request."""
    if request_id is None:
        return b""
    text = request_id.encode()
    size = len(text)
    return (b"\x1a%c%b" % (size, text)) if size < _TWO_BYTES else _long_id(size, text)


def _long_id(size: int, text: bytes) -> bytes:
    return b"\x1a%c%c%b" % (size & 0x7F | 0x80, size >> 7, text)  # ids are 256 characters at most


def _check_parameters(request: Any) -> None:
    for part in (request, *request.inputs, *request.outputs):
        for entry in part.parameters:
            if entry.key in NOT_OFFERED:
                raise RequestError(f"the parameter `{entry.key}` is not offered by this server")


def _raw(tensors: Sequence[Any], raws: Sequence[bytes]) -> list[BinaryTensor]:
    if len(raws) != len(tensors):
        raise RequestError(
            f"`raw_input_contents` must hold one entry an input: {len(tensors)} inputs, {len(raws)} entries"
        )
    for tensor in tensors:
        if tensor.HasField("contents"):
            raise RequestError(f"tensor {shown(tensor.name)} has `contents` beside `raw_input_contents`")
    pairs = zip(tensors, raws, strict=True)
    return [
        _column(binary_tensor(tensor.name, _shape(tensor), tensor.datatype, raw)) for tensor, raw in pairs
    ]


def _shape(tensor: Any) -> list[int]:
    """As a list: one that comes packed may have as many numbers as the message bytes."""
    if len(tensor.shape) > _MOST_DIMENSIONS:
        raise RequestError(f"tensor {shown(tensor.name)} has {len(tensor.shape)} dimensions")
    return list(tensor.shape)


def _typed(tensor: Any) -> BinaryTensor:
    name, datatype = tensor.name, tensor.datatype
    field = _CONTENTS.get(datatype)
    if field is None:
        expected = "raw_input_contents for it" if datatype in DATATYPES else f"one of {', '.join(DATATYPES)}"
        raise RequestError(f"tensor {shown(name)} is {shown(datatype)}: expected {expected}")
    others = [given.name for given, _ in tensor.contents.ListFields() if given.name != field]
    if others:
        raise RequestError(f"tensor {shown(name)} is {datatype}: expected {field}, found {', '.join(others)}")
    shape, values = _shape(tensor), list(getattr(tensor.contents, field))
    if datatype == "BYTES":
        return BinaryTensor(name, shape, datatype, [_text(value, name) for value in values])
    return _column(BinaryTensor(name, shape, datatype, _array(values, datatype, name)))


def _array(values: list[Any], datatype: str, name: str) -> Any:
    try:
        return np.array(values, DTYPES[datatype])
    except OverflowError as error:
        raise RequestError(f"tensor {shown(name)} is {datatype} but holds a number beyond it") from error


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"tensor {shown(name)} holds a string that is no UTF-8: {shown(value)}") from error


def _column(tensor: BinaryTensor) -> BinaryTensor:
    return tensor if tensor.name == GRAPH_INPUT else listed(tensor)
