"""A request's head: parsed by llhttp, kept while the client repeats it."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

import httptools

from serving.runtime.problems import RequestError

MAX_HEAD_BYTES = 32 * 1024
SKIPPED_BYTES = 64 * 1024
"""A refused body up to this is read and dropped, so that the connection can be used again."""
_JOINED_BY_COMMA = ", "
_REQUEST_LINE = re.compile(rb"[!-~]+ [!-~]+ HTTP/1\.[01]\r\n").match
"""What llhttp takes is more: versions that there are not, and those of other protocols."""
_HOST = re.compile(r"(?:[\w.!$&'()*+,;=~%-]*|\[[\w.:%]+\])(?::\d*)?", re.ASCII).fullmatch
"""Of RFC 3986, 3.2.2, and a port."""


class RequestHead:
    """What an application is shown of a request before its body."""

    __slots__ = (
        "chunked",
        "client",
        "headers",
        "keep_alive",
        "large",
        "length",
        "method",
        "minor",
        "path",
        "query_string",
        "simple",
        "waits",
    )

    def __init__(self, client: str, parser: "_Parser") -> None:
        """Take what was parsed."""
        self.client = client
        self.method = parser.method
        path, _, self.query_string = parser.target.partition("?")
        self.path = unquote(path) if "%" in path else path
        self.headers: Mapping[str, str] = parser.headers
        self.keep_alive, self.minor = parser.keep_alive, parser.minor
        self.chunked = "transfer-encoding" in parser.headers
        self.length = int(parser.headers.get("content-length", 0))
        """Bytes of the body, where it is not chunked."""
        self.waits = parser.minor > 0 and parser.headers.get("expect", "").lower() == "100-continue"
        """Whether the client sends its body only when told to."""
        self.large = self.chunked or self.length > SKIPPED_BYTES or self.waits
        """Whether the connection ends when it is answered before its body was read: one that waits for leave
        and gets none may leave its body out (RFC 9110, 10.1.1), and the next request is no body."""
        self.simple = self.keep_alive and self.minor == 1 and self.method != "HEAD"
        """Whether its answer is the usual one."""


class _Parser:
    """What llhttp calls back."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self._target = b""
        self.method = self.target = ""
        self.hosts = 0
        self.keep_alive, self.minor, self._whole = False, 1, False
        self._llhttp = httptools.HttpRequestParser(self)

    def on_url(self, part: bytes) -> None:
        """A part of the target, as it is sent."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field; repeated ones are joined, `Host` is counted."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        self.hosts += key == "host"
        before = self.headers.get(key)
        self.headers[key] = text if before is None else before + _JOINED_BY_COMMA + text

    def on_headers_complete(self) -> None:
        """The blank line was there. Where no body follows, llhttp forgets what the fields said after this."""
        self._whole = True
        self.keep_alive = self._llhttp.should_keep_alive()

    def feed(self, head: bytes) -> None:
        """Read a whole head.

        Raises:
            RequestError: It is no head of HTTP/1.1.
        """
        try:
            self._llhttp.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # an offer to speak something else, which a server may leave
        except (httptools.HttpParserError, httptools.HttpParserCallbackError) as error:
            raise RequestError(f"this is no HTTP/1.1 request: {error}") from error
        if not self._whole:
            raise RequestError("this is no HTTP/1.1 request")
        self.method = self._llhttp.get_method().decode("latin-1")
        self.minor = int(self._llhttp.get_http_version().rpartition(".")[2])
        self.target = self._origin_form(self._target)

    @staticmethod
    def _origin_form(target: bytes) -> str:
        """The path and query, also of a request that names the whole address (RFC 9112, 3.2.2)."""
        if target[:1] in {b"/", b"*"}:
            return target.decode("latin-1")
        try:
            url = httptools.parse_url(target)
        except httptools.HttpParserInvalidURLError as error:
            raise RequestError(f"the address of the request cannot be read: {error}") from error
        query = b"" if url.query is None else b"?" + url.query
        return ((url.path or b"/") + query).decode("latin-1")


def parse_head(head: bytes, client: str) -> RequestHead:
    """Read a head.

    Args:
        head: From the request line to the empty line, both included.
        client: Address and port of the peer.

    Raises:
        RequestError: It is none, or says what could be read in two ways (RFC 9112, 11.2).
    """
    parser = _Parser()
    parser.feed(head)
    if not _REQUEST_LINE(head):
        raise RequestError("a request begins with `METHOD TARGET HTTP/1.1`, each behind one space")
    _refuse_ambiguous(parser)
    return RequestHead(client, parser)


def _refuse_ambiguous(parser: _Parser) -> None:
    headers = parser.headers
    encoding = headers.get("transfer-encoding")
    if encoding is not None and encoding.lower() != "chunked":
        raise RequestError(f"transfer-encoding {encoding[:40]!r} is not read; send chunked")
    if encoding is not None and ("content-length" in headers or parser.minor == 0):
        raise RequestError("a chunked body needs HTTP/1.1 and no content-length")
    length = headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 19):  # noqa: PLR2004 - fits 64 bits
        raise RequestError(f"content-length {length[:40]!r} is no number of bytes")
    if parser.hosts > 1 or (parser.minor >= 1 and not parser.hosts):  # RFC 9112, 3.2
        raise RequestError(f"one host header is needed in HTTP/1.1, found {parser.hosts}")
    if not _HOST(headers.get("host", "")):
        raise RequestError(f"host {headers['host'][:40]!r} is no host")
