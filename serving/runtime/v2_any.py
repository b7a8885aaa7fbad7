"""A V2 request of any shape: nested data, NaN, wrong types, binary tensors. Slow, and says what is wrong."""

from collections.abc import Iterator, Mapping, Sequence
from math import isinf
from typing import Any

import msgspec

from modelway.bundle.signature import GRAPH_INPUT
from serving.runtime.binary import DATATYPES, DTYPES, FLOATS, BinaryTensor, binary_tensor, listed
from serving.runtime.json_text import loads
from serving.runtime.parsed import infinite
from serving.runtime.problems import RequestError, shown
from serving.runtime.records import RECORDS

_MAX_DEPTH = 8
NOT_OFFERED = ("shared_memory_region", "classification")
"""Parameters that change where data lies or what an answer means: ignoring them would mislead."""


class Tail:
    """The bytes behind a request's JSON, cut tensor by tensor in the order of the inputs."""

    def __init__(self, raw: memoryview) -> None:
        """Nothing is cut yet."""
        self._raw, self._at = raw, 0

    def cut(self, size: object, where: str) -> memoryview:
        """The next tensor's bytes.

        Raises:
            RequestError: `size` is no size, or more than there is.
        """
        if type(size) is not int or size < 0:
            raise RequestError(f"`binary_data_size` of {where} must be a size in bytes, found {shown(size)}")
        left = len(self._raw) - self._at
        if size > left:
            raise RequestError(f"{where} should have {size} bytes of binary data, {left} are left")
        self._at += size
        return self._raw[self._at - size : self._at]

    def end(self) -> None:
        """Hold that nothing is left.

        Raises:
            RequestError: Something is.
        """
        left = len(self._raw) - self._at
        if left:
            raise RequestError(f"{left} bytes of binary data belong to no input; check `binary_data_size`")


class _AnyTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class AnyOutput(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: "AnyParameters"


class AnyParameters(msgspec.Struct):
    """What a request or an output may say beside its fields; None where it says nothing."""

    binary_data: bool | None = None
    binary_data_output: bool | None = None


class AnyRequest(msgspec.Struct):
    """A request with all its values in flat lists, or in arrays where they came as bytes."""

    inputs: Sequence[_AnyTensor | BinaryTensor]
    id: Any = None
    outputs: list[AnyOutput] | None = None
    parameters: AnyParameters | None = None


def any_request(body: bytes | memoryview, tail: Tail | None = None) -> AnyRequest:
    """Read a request without assuming anything.

    Args:
        body: The JSON.
        tail: What follows it, when the request has binary tensors.

    Raises:
        RequestError: It is no JSON, or no V2 request.
    """
    document = loads(bytes(body))
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise RequestError("expected a JSON object with a list `inputs`")
    request = AnyRequest(
        inputs=[_tensor(item, f"inputs[{at}]", tail) for at, item in enumerate(document["inputs"])],
        id=document.get("id"),
        outputs=_outputs(document.get("outputs")),
        parameters=_parameters(document, "the request"),
    )
    if tail is not None:
        tail.end()
    return request


def _tensor(item: Any, where: str, tail: Tail | None) -> _AnyTensor | BinaryTensor:
    if not isinstance(item, dict):
        raise RequestError(f"{where} must be an object")
    name, datatype = item.get("name"), item.get("datatype")
    if not isinstance(name, str):
        raise RequestError(f"{where} needs a string `name`")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise RequestError(f"{where} needs a `datatype` out of {', '.join(DATATYPES)}")
    shape = _shape(item.get("shape"), where)
    size = _mapping(item, where).get("binary_data_size")
    if size is not None and "data" not in item:
        if tail is None:
            raise RequestError(
                f"{where} has `binary_data_size`, but the header Inference-Header-Content-Length is missing"
            )
        tensor = binary_tensor(name, shape, datatype, tail.cut(size, where))
        return tensor if name == GRAPH_INPUT else listed(tensor)
    return _AnyTensor(name, shape, datatype, _data(item, datatype, where))


def _data(item: Mapping[str, Any], datatype: str, where: str) -> list[Any]:
    data = item.get("data")
    if not isinstance(data, list):
        raise RequestError(f"{where} needs a list `data`, or the parameter `binary_data_size` and the bytes")
    if item["name"] == RECORDS and datatype == "BYTES" and all(isinstance(value, dict) for value in data):
        return data
    return [_value(value, datatype, where) for value in _flat(data, 0)]


def _shape(shape: Any, where: str) -> list[int]:
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise RequestError(f"{where} needs a `shape`: a list of whole numbers")
    return shape


def _flat(data: list[Any], depth: int) -> Iterator[Any]:
    if depth == _MAX_DEPTH:
        raise RequestError("`data` is nested too deeply")
    for value in data:
        if isinstance(value, list):
            yield from _flat(value, depth + 1)
        else:
            yield value


def _value(value: Any, datatype: str, where: str) -> Any:
    """One value as the typed decoders would give it, or the reason why not."""
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return None
    if not _fits(value, datatype):
        raise RequestError(f"{where} is {datatype} but holds a {type(value).__name__}")
    if datatype in FLOATS:
        return _float(value)
    if type(value) is int:
        return _whole(value, datatype, where)
    return value


def _fits(value: Any, datatype: str) -> bool:
    """Whether a JSON value may stand for a datatype."""
    if datatype == "BYTES":
        return type(value) is str
    if datatype == "BOOL":
        return type(value) is bool
    return type(value) is int or (type(value) is float and datatype in FLOATS)


def _whole(value: int, datatype: str, where: str) -> int:
    bits = 8 * DTYPES[datatype].itemsize
    low = 0 if datatype.startswith("U") else -(1 << (bits - 1))
    if not low <= value < low + (1 << bits):
        raise RequestError(f"{where} is {datatype} but holds {shown(value)}, a number beyond {bits} bits")
    return value


def _float(value: float) -> float:
    try:
        number = float(value)
    except OverflowError as error:
        raise infinite() from error
    if isinf(number):
        raise infinite()
    return number


def _outputs(outputs: Any) -> list[AnyOutput] | None:
    if outputs is None:
        return None
    if not isinstance(outputs, list):
        raise RequestError("`outputs` must be a list")
    for output in outputs:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise RequestError("each of `outputs` needs a string `name`")
    return [AnyOutput(output["name"], _parameters(output, "an output")) for output in outputs]


def _mapping(item: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(f"`parameters` of {where} must be an object")
    for name in NOT_OFFERED:
        if name in parameters:
            raise RequestError(f"the parameter `{name}` of {where} is not offered by this server")
    return parameters


def _parameters(item: Mapping[str, Any], where: str) -> AnyParameters:
    given = _mapping(item, where)
    known = {name: given[name] for name in AnyParameters.__struct_fields__ if given.get(name) is not None}
    for name, value in known.items():
        if type(value) is not bool:
            raise RequestError(
                f"the parameter `{name}` of {where} must be true or false, found {shown(value)}"
            )
    return AnyParameters(**known)
