"""A request's body, piece by piece as it comes (RFC 9112, 6 and 7.1)."""

import re
from typing import Protocol

from serving.runtime.problems import RequestError

_MAX_LINE_BYTES = 4096
_MAX_CHUNKS = 65_536
"""A client that sends byte by byte would keep the loop to itself."""
_CRLF = b"\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~\x80-\xff]*)?").fullmatch
"""A chunk's, below 2^64, and extensions, which mean nothing here."""
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*").fullmatch
"""A trailer: dropped, but what is none may be a request to others."""


class Body(Protocol):
    """Collects the body of one request."""

    rest: bytes | None
    """What came after it; None while it is not whole."""

    def feed(self, data: bytes) -> None:
        """Take what came.

        Raises:
            RequestError: It is no body, or becomes too large (413).
        """

    def whole(self) -> bytes:
        """What was collected."""


class Counted:
    """One whose length was announced."""

    __slots__ = ("_left", "_parts", "rest")

    def __init__(self, length: int) -> None:
        """Start with nothing of `length` bytes."""
        self._left, self._parts = length, list[bytes]()
        self.rest: bytes | None = None

    def feed(self, data: bytes) -> None:
        """As `Body.feed`."""
        self._parts.append(data[: self._left])
        if len(data) >= self._left:
            self.rest = data[self._left :]
        self._left -= len(self._parts[-1])

    def whole(self) -> bytes:
        """As `Body.whole`."""
        return b"".join(self._parts)


class Chunks:
    """One in chunks."""

    def __init__(self, max_bytes: int) -> None:
        """Start with nothing.

        Args:
            max_bytes: The most that the body may be.
        """
        self._max_bytes = max_bytes
        self._waiting = b""
        self._parts: list[bytes] = []
        self._size = self._left = self._chunks = 0
        self._trailers = False
        self.rest: bytes | None = None

    def whole(self) -> bytes:
        """As `Body.whole`."""
        return b"".join(self._parts)

    def feed(self, data: bytes) -> None:
        """As `Body.feed`."""
        data = self._waiting + data
        at = 0
        while self.rest is None:
            step = self._data(data, at) if self._left else self._line(data, at)
            if step == at:
                break
            at = step
        self._waiting = data[at:] if self.rest is None else b""
        if self.rest is not None:
            self.rest = data[at:]

    def _data(self, data: bytes, at: int) -> int:
        """Take data of the present chunk, its line end included; where to go on."""
        if self._left > len(_CRLF):
            part = data[at : at + self._left - len(_CRLF)]
            self._parts.append(part)
            self._left -= len(part)
            return at + len(part)
        if len(data) - at < self._left:
            return at
        if data[at : at + self._left] != _CRLF:
            raise RequestError("a chunk of the body is longer than it says")
        self._left = 0
        return at + len(_CRLF)

    def _line(self, data: bytes, at: int) -> int:
        """Take the size of a chunk, or a trailer; where to go on."""
        end = data.find(_CRLF, at, at + _MAX_LINE_BYTES)
        if end < 0:
            if len(data) - at >= _MAX_LINE_BYTES:
                raise RequestError("a line of the chunked body is too long")
            return at
        line = data[at:end]
        if b"\n" in line or b"\r" in line:  # where others see the end of a line, and another chunk behind it
            raise RequestError("a line of the chunked body holds half a line end")
        if self._trailers:
            self._trailer(line)
        else:
            self._begin(line)
        return end + len(_CRLF)

    def _trailer(self, line: bytes) -> None:
        self._size += len(line)
        self._check_size()
        if not line:
            self.rest = b""
        elif not _FIELD(line):
            raise RequestError("what follows the last chunk is no field")

    def _begin(self, line: bytes) -> None:
        said = _SIZE(line)
        if said is None:
            raise RequestError("the size of a chunk must be hexadecimal")
        size = int(said[1], 16)
        self._size += size
        self._chunks += 1
        self._check_size()
        self._trailers = size == 0
        self._left = size + len(_CRLF) if size else 0

    def _check_size(self) -> None:
        if self._size > self._max_bytes or self._chunks > _MAX_CHUNKS:
            raise RequestError(too_large(self._max_bytes), status=413)


def too_large(max_bytes: int) -> str:
    """What a client is told whose body is above the limit."""
    return f"the body is larger than {max_bytes} bytes; send fewer rows a request"
