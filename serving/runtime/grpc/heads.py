"""The fields of a request, understood once and kept for all that come with the same ones."""

import re
from collections.abc import Mapping
from functools import lru_cache

from serving.runtime.grpc.answers import malformed, refused, wrong_status
from serving.runtime.grpc.calls import INVALID_ARGUMENT, RESOURCE_EXHAUSTED
from serving.runtime.grpc.fields import Fields
from serving.runtime.problems import shown

MAX_LIST_BYTES = 16 * 1024
"""Fields of a request that is answered: name, value and 32 each (RFC 9113, 6.5.2)."""
_PSEUDO = frozenset({b":method", b":path", b":scheme", b":authority"})
_OF_THE_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_NO_METADATA = frozenset({"te", "content-type", "content-length"})
_UNITS_NS = {b"H": 3600 * 10**9, b"M": 60 * 10**9, b"S": 10**9, b"m": 10**6, b"u": 10**3, b"n": 1}
_MOST_DIGITS = 8
_GRPC = b"application/grpc"
_COLON = ord(":")
_NAME = re.compile(rb":?[!-9;-@\[-~]+").fullmatch
_NO_VALUE = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]$").search
"""RFC 9113, 8.2.1."""


class RequestHead:
    """What a request said before its message. Shared by all requests with these fields: never changed."""

    __slots__ = (
        "_fields",
        "_metadata",
        "encoding",
        "length",
        "path",
        "refusal",
        "timeout_ns",
        "valid",
        "verb",
    )

    def __init__(self, fields: Fields) -> None:
        """Check and take apart."""
        found = dict(fields)
        self._fields = fields
        self._metadata: Mapping[str, str] | None = None
        self.valid = _well_formed(fields, found)
        """False: the stream is in error (RFC 9113, 8.1.1)."""
        self.path = found.get(b":path", b"")
        self.encoding = found.get(b"grpc-encoding", b"identity")
        self.length = _length(fields, found)
        timeout = found.get(b"grpc-timeout")
        self.timeout_ns = None if timeout is None else _timeout_ns(timeout)
        """From the head; None for ever."""
        self.refusal = _refusal(fields, found, self.timeout_ns)
        """The block of fields that is the whole answer; None: the call is welcome."""
        self.verb: object | None = None
        """What the path stands for; for whoever knows the paths."""

    @property
    def trails(self) -> bool:
        """Whether these may stand behind a body, where nothing is told of the request (RFC 9113, 8.1)."""
        return all(
            _is_name(name) and name[0] != _COLON and not _NO_VALUE(value) for name, value in self._fields
        )

    @property
    def metadata(self) -> Mapping[str, str]:
        """What is there for an application, texts only, by name in lower case."""
        if self._metadata is None:
            self._metadata = _metadata(self._fields)
        return self._metadata


def _well_formed(fields: Fields, found: Mapping[bytes, bytes]) -> bool:
    pseudo = 0
    for at, (name, value) in enumerate(fields):
        if not _is_name(name) or _NO_VALUE(value):
            return False
        if name[0] == _COLON:
            if name not in _PSEUDO or pseudo < at:
                return False  # one comes behind an ordinary field
            pseudo += 1
    if found.get(b"te", b"trailers") != b"trailers":
        return False
    if not (found.get(b":method") and found.get(b":path") and found.get(b":scheme")):
        return False
    return len(_PSEUDO.intersection(found)) == pseudo  # none came twice


@lru_cache(maxsize=512)
def _is_name(name: bytes) -> bool:
    return _NAME(name) is not None and name not in _OF_THE_CONNECTION


def _refusal(fields: Fields, found: Mapping[bytes, bytes], timeout_ns: int | None) -> bytes | None:
    kind = found.get(b"content-type", b"")
    if found.get(b":method") != b"POST":
        return wrong_status(405)
    if not kind.startswith(_GRPC) or kind[len(_GRPC) : len(_GRPC) + 1] not in {b"", b"+", b";"}:
        return wrong_status(415)
    if b"te" not in found:
        return malformed("the field `te: trailers` is missing: is there a proxy that knows no HTTP/2?")
    if sum([len(name) + len(value) + 32 for name, value in fields]) > MAX_LIST_BYTES:
        return refused(RESOURCE_EXHAUSTED, f"metadata above {MAX_LIST_BYTES} bytes")
    if timeout_ns is None and b"grpc-timeout" in found:
        said = shown(found[b"grpc-timeout"].decode("latin-1"))
        return refused(INVALID_ARGUMENT, f"grpc-timeout must be a number and its unit, found {said}")
    return None


def _timeout_ns(text: bytes) -> int | None:
    if not 1 < len(text) <= _MOST_DIGITS + 1 or not text[:-1].isdigit():
        return None
    unit_ns = _UNITS_NS.get(text[-1:])
    return None if unit_ns is None else int(text[:-1]) * unit_ns


def _length(fields: Fields, found: Mapping[bytes, bytes]) -> int | None:
    """Of the body, as it was announced; -1, which no body has, where that is no number or there are two."""
    text = found.get(b"content-length")
    if text is None:
        return None
    if any(name == b"content-length" and value != text for name, value in fields):
        return -1
    return int(text) if text.isdigit() and len(text) < 16 else -1  # noqa: PLR2004 - no body is a petabyte


def _metadata(fields: Fields) -> Mapping[str, str]:
    texts = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)
    return {
        name: value
        for name, value in texts
        if not name.startswith((":", "grpc-")) and not name.endswith("-bin") and name not in _NO_METADATA
    }
