"""Blocks of fields that answers begin and end with. Those of every prediction are made once."""

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

from serving.runtime.grpc.calls import INVALID_ARGUMENT
from serving.runtime.grpc.fields import block, field
from serving.runtime.transport import Headers

ENCODINGS = b"identity, deflate, gzip"
_PASSED_ON = frozenset({"x-revision", "retry-after", "www-authenticate", "x-request-id"})
_TYPE = (b"content-type", b"application/grpc")
_BEGIN = block([(b":status", b"200"), _TYPE, (b"grpc-accept-encoding", ENCODINGS)])
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_MOST_TEXT_BYTES = 4096
DONE = block([(b"grpc-status", b"0")])
"""Behind the message of a call that went well."""


def begun(headers: Headers) -> bytes:
    """Before the message of an answer."""
    return _BEGIN + _metadata(tuple(headers))


def refused(code: int, text: str) -> bytes:
    """An answer without a message and metadata: fields that are head and end in one."""
    return _BEGIN + _status(code, text)


def ended(code: int, text: str) -> bytes:
    """Behind the metadata and messages of a call that did not go well."""
    return _status(code, text)


def wrong_status(status: int) -> bytes:
    """The answer to a request that is not gRPC's."""
    return block([(b":status", str(status).encode())])


def malformed(text: str) -> bytes:
    """The answer to a request that is nearly gRPC's."""
    return block([(b":status", b"400"), _TYPE]) + _status(INVALID_ARGUMENT, text)


def percent(text: str) -> bytes:
    """Text as `grpc-message` carries it: what is not printable ASCII, as percent and hex of its UTF-8."""
    return quote(text.encode(errors="replace")[:_MOST_TEXT_BYTES], safe=_PLAIN).encode()


def _status(code: int, text: str) -> bytes:
    fields: Iterable[tuple[bytes, bytes]] = [(b"grpc-status", str(code).encode())]
    return block(fields) + field(b"grpc-message", percent(text))


@lru_cache(maxsize=256)
def _metadata(headers: tuple[tuple[str, str], ...]) -> bytes:
    told = [(name.encode(), _one_line(value)) for name, value in headers if name in _PASSED_ON]
    return b"".join(field(name, value) for name, value in told)


def _one_line(value: str) -> bytes:
    return "".join(one if one.isprintable() else " " for one in value).encode("latin-1", "replace")
