"""A V2 request of any JSON shape: nested data, NaN, wrong types. Slow, and says what is wrong."""

from collections.abc import Iterator, Mapping
from math import isinf, isnan
from typing import Any

import msgspec

from serving.runtime.json_text import loads
from serving.runtime.parsed import infinite
from serving.runtime.problems import RequestError

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "FP32": (float, int),
    "FP64": (float, int),
    "INT64": (int,),
    "INT32": (int,),
    "BOOL": (bool,),
    "BYTES": (str,),
}
_MAX_DEPTH = 8


class _AnyTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _AnyOutput(msgspec.Struct):
    name: str


class AnyRequest(msgspec.Struct):
    """A request with all its values in flat lists."""

    inputs: list[_AnyTensor]
    id: Any = None
    outputs: list[_AnyOutput] | None = None


def any_request(body: bytes) -> AnyRequest:
    """Read a request without assuming anything.

    Raises:
        RequestError: It is no JSON, or no V2 request.
    """
    document = loads(body)
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise RequestError("expected a JSON object with a list `inputs`")
    return AnyRequest(
        inputs=[_tensor(item, f"inputs[{at}]") for at, item in enumerate(document["inputs"])],
        id=document.get("id"),
        outputs=_outputs(document.get("outputs")),
    )


def _tensor(item: Any, where: str) -> _AnyTensor:
    if not isinstance(item, dict):
        raise RequestError(f"{where} must be an object")
    name, datatype, data = item.get("name"), item.get("datatype"), item.get("data")
    if not isinstance(name, str):
        raise RequestError(f"{where} needs a string `name`")
    if not isinstance(datatype, str) or datatype not in _PYTHON_TYPES:
        raise RequestError(f"{where} needs a `datatype` out of {', '.join(_PYTHON_TYPES)}")
    if not isinstance(data, list):
        raise RequestError(f"{where} needs a list `data` (binary tensors are not supported)")
    flat = [_value(value, datatype, where) for value in _flat(data, 0)]
    return _AnyTensor(name, _shape(item.get("shape"), where), datatype, flat)


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
    if value is None:
        return None
    if type(value) not in _PYTHON_TYPES[datatype]:
        raise RequestError(f"{where} is {datatype} but holds a {type(value).__name__}")
    if datatype in {"FP32", "FP64"}:
        return _float(value)
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise RequestError(f"{where} holds a number beyond 64 bits")
    return value


def _float(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError as error:
        raise infinite() from error
    if isinf(number):
        raise infinite()
    return None if isnan(number) else number


def _outputs(outputs: Any) -> list[_AnyOutput] | None:
    if outputs is None:
        return None
    if not isinstance(outputs, list):
        raise RequestError("`outputs` must be a list")
    for output in outputs:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise RequestError("each of `outputs` needs a string `name`")
    return [_AnyOutput(output["name"]) for output in outputs]
