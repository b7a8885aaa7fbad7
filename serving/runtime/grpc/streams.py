"""One request and its answer on an HTTP/2 connection."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from serving.runtime.grpc.fields import Fields
    from serving.runtime.grpc.heads import RequestHead
    from serving.runtime.grpc.http2 import Http2
    from serving.runtime.grpc.watching import Watcher


class Stream:
    """Between its head and the end of its answer."""

    __slots__ = (
        "body",
        "closed",
        "ended",
        "head",
        "http2",
        "inflow",
        "number",
        "size",
        "start_ns",
        "still_s",
        "waiting",
        "watcher",
        "window",
    )

    def __init__(self, http2: "Http2", number: int, head: "RequestHead", start_ns: int, window: int) -> None:
        """Its head has come; the client takes `window` bytes of it."""
        self.http2, self.number, self.head, self.start_ns, self.window = http2, number, head, start_ns, window
        self.body: list[bytes] = []
        self.size = self.inflow = 0
        """Of the body so far; bytes that the client has not been allowed again."""
        self.still_s = 0
        """For how many looks its body has not grown, or nothing of its answer could go out."""
        self.waiting = 0
        """Pieces of the answer that wait for a window."""
        self.ended = False
        """The request is whole: what was asked for is being done, even after a reset."""
        self.closed = False
        """Nothing more goes out."""
        self.watcher: Watcher | None = None
        """Set where the answer goes on for as long as the client listens."""

    @property
    def peer(self) -> str:
        """Address and port of the client."""
        return self.http2.peer


class Taker(Protocol):
    """What requests are for. None of it may raise."""

    max_body_bytes: int
    """The largest message that is taken."""

    def head(self, fields: "Fields") -> "RequestHead":
        """What a request's fields say; depends on nothing else."""

    def take(self, stream: Stream, body: bytes) -> None:
        """Answer a whole request, now or later, from any thread."""

    def too_large(self, stream: Stream) -> None:
        """Answer a request that goes on beyond the largest message."""
