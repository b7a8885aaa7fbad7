"""Answers as bytes (RFC 9112, 4 and 6)."""

from http import HTTPStatus

from serving.runtime.http1.head import RequestHead
from serving.runtime.transport import FixedHeaders, Headers, header_lines

_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def usual(headers: Headers, date: bytes, body: bytes) -> bytes:
    """A 200 on a connection that stays."""
    lines = headers.lines if type(headers) is FixedHeaders else header_lines(headers)
    return b"HTTP/1.1 200 OK\r\n%b%bcontent-length: %d\r\n\r\n%b" % (lines, date, len(body), body)


def special(status: int, lines: bytes, body: bytes, head: RequestHead | None, *, last: bool) -> bytes:
    """Any answer.

    Args:
        status: Of HTTP.
        lines: Of its headers.
        body: Not sent in answer to HEAD.
        head: What is answered; None where it could not be read.
        last: Whether nothing is read after it.
    """
    if last:
        lines += b"connection: close\r\n"
    elif head is not None and not head.minor:
        lines += b"connection: keep-alive\r\n"
    first = _LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()
    shown = b"" if head is not None and head.method == "HEAD" else body
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (first, lines, len(body), shown)
