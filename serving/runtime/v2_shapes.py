"""The usual shapes of V2 requests, as the typed decoders read them: flat data, the common datatypes."""

from typing import Annotated

import msgspec

_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Parameters(msgspec.Struct, gc=False):
    """What a request or one of its outputs may say beside its fields. Unknown names are ignored."""

    binary_data: bool | None = None
    binary_data_output: bool | None = None


class Output(msgspec.Struct, gc=False):
    """An output that is asked for."""

    name: str
    parameters: Parameters | None = None


class Floats(msgspec.Struct, gc=False):
    """A tensor of floats: the usual matrix, or numeric columns."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | None]


class FloatRequest(msgspec.Struct, gc=False):
    """A request whose tensors all hold floats."""

    inputs: list[Floats]
    id: str | None = None
    outputs: list[Output] | None = None
    parameters: Parameters | None = None


class _Tagged(msgspec.Struct, tag_field="datatype", gc=False):
    name: str
    shape: list[int]

    @property
    def datatype(self) -> str:
        """As the protocol spells it."""
        return str(self.__struct_config__.tag)


class _Fp32(_Tagged, tag="FP32", gc=False):
    data: list[float | None]


class _Fp64(_Tagged, tag="FP64", gc=False):
    data: list[float | None]


class _I64(_Tagged, tag="INT64", gc=False):
    data: list[_Int64 | None]


class _I32(_Tagged, tag="INT32", gc=False):
    data: list[_Int32 | None]


class _Bool(_Tagged, tag="BOOL", gc=False):
    data: list[bool | None]


class _Bytes(_Tagged, tag="BYTES", gc=False):
    data: list[str | None]


class MixedRequest(msgspec.Struct, gc=False):
    """A request whose tensors hold what their datatypes say."""

    inputs: list[_Fp32 | _Fp64 | _I64 | _I32 | _Bool | _Bytes]
    id: str | None = None
    outputs: list[Output] | None = None
    parameters: Parameters | None = None


class SizeParameters(msgspec.Struct, gc=False):
    """What a tensor says of its bytes."""

    binary_data_size: int
    shared_memory_region: str | None = None


class Sized(msgspec.Struct, gc=False):
    """A tensor whose values follow the JSON as bytes."""

    name: str
    shape: list[int]
    datatype: str
    parameters: SizeParameters
    data: msgspec.Raw | None = None


class SizedRequest(msgspec.Struct, gc=False):
    """A request whose tensors all come as bytes."""

    inputs: list[Sized]
    id: str | None = None
    outputs: list[Output] | None = None
    parameters: Parameters | None = None
