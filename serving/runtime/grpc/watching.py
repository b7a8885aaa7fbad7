"""`grpc.health.v1.Health/Watch`: what is ready, now and whenever it changes."""

from collections.abc import Callable

from serving.runtime.grpc.answers import begun, ended
from serving.runtime.grpc.calls import UNAVAILABLE
from serving.runtime.grpc.packing import packed
from serving.runtime.grpc.streams import Stream
from serving.runtime.transport import Headers

_ENDS = ended(UNAVAILABLE, "the server ends")


class Watcher:
    """One client that wants to know. Looked after about once a second, as its connection is."""

    def __init__(self, stream: Stream, said: Callable[[], bytes], headers: Headers) -> None:
        """Say at once what is; `said` is the message that says it."""
        self._stream, self._said = stream, said
        self._last = said()
        stream.http2.answer(stream, begun(headers), packed(self._last), b"")
        stream.watcher = self

    def look(self) -> None:
        """Say it again, if it has changed."""
        if (now := self._said()) != self._last:
            self._last = now
            self._stream.http2.answer(self._stream, b"", packed(now), b"")

    def end(self) -> None:
        """The server ends: say how it is now, and that there is no more."""
        self.look()
        self._stream.http2.answer(self._stream, b"", b"", _ENDS)
