"""Messages as gRPC packs them: a byte that says whether it is compressed, four of length, the message.

gRPC asks for INTERNAL where a message is compressed by nothing or badly. Gateways count that against the
server: one client could have it ejected. It is INVALID_ARGUMENT, as all that only the client can mend.
"""

import zlib
from collections.abc import Mapping

from serving.runtime.grpc.calls import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED
from serving.runtime.problems import shown

PREFIX_BYTES = 5
_WINDOW_BITS: Mapping[bytes, int] = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
"""What zlib calls the formats; gRPC's deflate is zlib's own."""


class MessageFault(Exception):  # noqa: N818 - what a call is answered with, not an error of ours
    """A body that is not one message."""

    def __init__(self, code: int, text: str) -> None:
        """The call's status."""
        super().__init__(text)
        self.code = code


def packed(message: bytes) -> bytes:
    """One message, uncompressed."""
    return len(message).to_bytes(PREFIX_BYTES, "big") + message


def unpacked(body: bytes, encoding: bytes, max_bytes: int) -> bytes:
    """The one message of a unary call.

    Args:
        body: All that the client sent.
        encoding: The call's `grpc-encoding`.
        max_bytes: Of the message, decompressed.

    Raises:
        MessageFault: There is none, more than one, or it cannot be decompressed.
    """
    size = len(body) - PREFIX_BYTES
    if size < 0:
        raise MessageFault(INVALID_ARGUMENT, "the call brought no message")
    said = int.from_bytes(body[1:PREFIX_BYTES], "big")
    if said != size:
        what = "one message only" if said < size else f"a message of {said} bytes"
        raise MessageFault(INVALID_ARGUMENT, f"expected {what}, found {size} bytes")
    if not body[0]:
        return body[PREFIX_BYTES:]
    if body[0] != 1:
        raise MessageFault(INVALID_ARGUMENT, f"a message begins with 0 or 1, found {body[0]}")
    return _inflated(body[PREFIX_BYTES:], encoding, max_bytes)


def _inflated(data: bytes, encoding: bytes, max_bytes: int) -> bytes:
    bits = _WINDOW_BITS.get(encoding)
    if encoding == b"identity":
        raise MessageFault(INVALID_ARGUMENT, "a compressed message without grpc-encoding")
    if bits is None:
        said = shown(encoding.decode("latin-1"))
        raise MessageFault(UNIMPLEMENTED, f"grpc-encoding {said} is not offered")
    inflate = zlib.decompressobj(bits)
    try:
        message = inflate.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise MessageFault(INVALID_ARGUMENT, f"the message cannot be decompressed: {error}") from error
    if len(message) > max_bytes:
        raise MessageFault(RESOURCE_EXHAUSTED, f"the message is larger than {max_bytes} bytes, decompressed")
    if not inflate.eof:
        raise MessageFault(INVALID_ARGUMENT, "the compressed message ends early")
    return message
