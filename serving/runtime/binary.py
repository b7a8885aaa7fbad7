"""Tensors as bytes: the binary tensor data extension of V2, and the raw contents of its gRPC.

Little-endian, row-major, as Triton's specification of the extension says. A string is its length as four
bytes and then its UTF-8.
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from serving.runtime.parsed import infinite
from serving.runtime.problems import RequestError, shown

Buffer = bytes | memoryview
Array = npt.NDArray[Any]

DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""How the numbers of a datatype lie in memory; BF16 is the upper half of an FP32."""
FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})
DATATYPES = (*DTYPES, "BYTES")

_LENGTH = Struct("<I")


class BinaryTensor(msgspec.Struct):
    """One input tensor whose values came as bytes.

    Numbers are an array over the request's own memory; strings, and the numbers of a column, are a list.
    """

    name: str
    shape: list[int]
    datatype: str
    data: Array | list[Any]


def array_of(raw: Buffer, datatype: str, where: str) -> Array:
    """Numbers, without a copy except for BF16.

    Raises:
        RequestError: The bytes are no whole number of values.
    """
    dtype = DTYPES[datatype]
    if len(raw) % dtype.itemsize:
        raise RequestError(
            f"{where} is {datatype}, {dtype.itemsize} bytes a value: {len(raw)} bytes are not whole values"
        )
    if datatype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if datatype == "BOOL":
        return np.not_equal(np.frombuffer(raw, np.uint8), 0)
    return np.frombuffer(raw, dtype)


def strings_of(raw: Buffer, where: str) -> list[str]:
    """Strings, each behind its length.

    Raises:
        RequestError: A length goes beyond the end, or a string is no UTF-8.
    """
    strings: list[str] = []
    view, at, end = memoryview(raw), 0, len(raw)
    while at < end:
        if end - at < _LENGTH.size:
            raise RequestError(f"{where} ends within the length of string {len(strings)}")
        (length,) = _LENGTH.unpack_from(view, at)
        at += _LENGTH.size
        if length > end - at:
            raise RequestError(
                f"string {len(strings)} of {where} should have {length} bytes, {end - at} are left"
            )
        strings.append(_text(view[at : at + length], where))
        at += length
    return strings


def _text(raw: memoryview, where: str) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{where} holds a string that is no UTF-8: {shown(bytes(raw))}") from error


def binary_tensor(name: str, shape: Sequence[int], datatype: str, raw: Buffer) -> BinaryTensor:
    """A tensor of any datatype; its shape is held against the data by whoever uses it.

    Raises:
        RequestError: The datatype is none, or the bytes are not its.
    """
    where = f"tensor {shown(name)}"
    if datatype == "BYTES":
        return BinaryTensor(name, list(shape), datatype, strings_of(raw, where))
    if datatype not in DTYPES:
        raise RequestError(f"{where} needs a datatype out of {', '.join(DATATYPES)}, found {shown(datatype)}")
    return BinaryTensor(name, list(shape), datatype, array_of(raw, datatype, where))


def listed(tensor: BinaryTensor) -> BinaryTensor:
    """The same with its numbers in a list, as a column takes them.

    Raises:
        RequestError: A number is infinite.
    """
    if isinstance(tensor.data, np.ndarray):
        if tensor.datatype in FLOATS and np.isinf(tensor.data).any():
            raise infinite()
        tensor.data = tensor.data.tolist()
    return tensor
