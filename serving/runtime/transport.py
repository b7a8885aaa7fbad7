"""What a transport and an application say to each other."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

Headers = list[tuple[str, str]]
Respond = Callable[[int, Headers, bytes], None]
INTERNAL_ERROR: tuple[int, Headers, bytes] = (
    500,
    [("content-type", "application/json")],
    b'{"error":"internal error"}',
)
"""What a client is told of a fault that nobody foresaw; the journal says more."""


READS = frozenset({"GET", "HEAD"})
"""What an address that is only read answers to; HEAD's answer goes out without its body (RFC 9110, 9.1)."""


class FixedHeaders(Headers):
    """Headers of many answers, written out once."""

    __slots__ = ("lines",)

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        """They must not be changed any more."""
        super().__init__(headers)
        self.lines = header_lines(self)


def header_lines(headers: Headers) -> bytes:
    """As HTTP/1.1 sends them; line ends within a value, which would begin another header, become spaces."""
    return "".join(f"{name}: {_one_line(value)}\r\n" for name, value in headers).encode("latin-1", "replace")


def _one_line(value: str) -> str:
    return value if value.isprintable() else "".join(one if one.isprintable() else " " for one in value)


class Head(Protocol):
    """A request before its body."""

    method: str
    path: str
    query_string: str

    @property
    def client(self) -> str:
        """Address and port of the peer."""

    @property
    def headers(self) -> Any:
        """`get(name)` gives a value by its lower-case name, or None."""


class Application(Protocol):
    """What answers requests."""

    max_body_bytes: int

    def at_once(self, head: Head) -> tuple[int, Headers, bytes] | None:
        """The answer that needs no body, or None: read the body and call `answer`."""

    def answer(self, head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
        """Call `respond` once, from any thread, now or later; `start_ns` is when the head came."""

    def refuse(self, status: int, message: str) -> tuple[int, Headers, bytes]:
        """The answer to a body that was too large or never came whole."""


class Door(Application, Protocol):
    """An application that wants to see every request before its body, and every answer."""

    def open(self, head: Head, respond: Respond) -> Respond | None:
        """How to answer a request whose body is wanted; None when it was answered without."""
