"""What goes out on one HTTP/2 connection: answers of any thread, as far as the client's windows allow."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from serving.runtime.grpc import frames
from serving.runtime.grpc.frames import END_HEADERS, END_STREAM, HEADERS, ConnectionFault
from serving.runtime.grpc.streams import Stream

_HEADERS_OPEN = bytes((HEADERS, END_HEADERS))
_HEADERS_LAST = bytes((HEADERS, END_HEADERS | END_STREAM))
_DATA_OPEN = b"\0\0"
_EMPTY_TABLE = b"\x20"
"""Says at the beginning of a block that the table holds nothing (RFC 7541, 6.3)."""


class Done(Protocol):
    """Told of a stream that is over."""

    def __call__(self, stream: Stream, *, sent: bool) -> None:
        """Its answer was sent, or was not wanted any more."""


class _Piece:
    """A stream's bytes that wait for a window, and the fields that follow them."""

    __slots__ = ("after", "at", "data", "stream")

    def __init__(self, stream: Stream, data: bytes, after: bytes) -> None:
        self.stream, self.data, self.after, self.at = stream, data, after, 0


class Outflow:
    """Frames in order; any thread may add some."""

    def __init__(self, send: Callable[[bytes], None], done: Done) -> None:
        """All windows as RFC 9113 has them at the start.

        Args:
            send: Where bytes go, in order.
            done: Told of each stream whose answer is out or goes nowhere; must come back to none of this.
        """
        self._send, self._done = send, done
        self._lock = threading.Lock()
        self._window = self.first_window = frames.DEFAULT_WINDOW
        self._largest = frames.DEFAULT_FRAME
        self._waiting: deque[_Piece] = deque()
        self._table_said = b""

    def send(self, data: bytes) -> None:
        """Whole frames that no window holds back."""
        with self._lock:
            self._send(data)

    def answer(self, stream: Stream, head: bytes, data: bytes, after: bytes) -> None:
        """Head, one message and what follows it; `data` may have to wait for a window.

        Args:
            stream: Goes nowhere when it is closed.
            head: Block of fields; empty where it was sent before.
            data: Of DATA frames.
            after: Block of the fields that end the stream; empty where more is to come.
        """
        size, number = len(data), stream.number.to_bytes(4, "big")
        with self._lock:
            if stream.closed:
                self._done(stream, sent=False)
                return
            if self._table_said and head:
                head = self._after_table(head)
            opened = b"".join((len(head).to_bytes(3, "big"), _HEADERS_OPEN, number, head)) if head else b""
            fits = size <= self._window and size <= stream.window and size <= self._largest
            if fits and not stream.waiting:
                self._window -= size
                stream.window -= size
                if self._table_said and after:
                    after = self._after_table(after)
                last = (
                    b"".join((len(after).to_bytes(3, "big"), _HEADERS_LAST, number, after)) if after else b""
                )
                self._send(b"".join((opened, size.to_bytes(3, "big"), _DATA_OPEN, number, data, last)))
                if after:
                    self._close(stream)
                return
            if opened:
                self._send(opened)
            stream.waiting += 1
            self._waiting.append(_Piece(stream, data, after))
            self._pump()

    def only(self, stream: Stream, fields: bytes, *, behind: bytes = b"") -> None:
        """Fields that are head and end in one; and frames behind them."""
        with self._lock:
            if stream.closed:
                self._done(stream, sent=False)
                return
            if stream.waiting:
                return  # it has its answer
            self._send(_ending(stream, self._after_table(fields)) + behind)
            self._close(stream)

    def drop(self, stream: Stream) -> bool:
        """Nothing more goes out on a stream; whether something waited to."""
        with self._lock:
            stream.closed = True
            waited = stream.waiting > 0
            if waited:
                self._waiting = deque(piece for piece in self._waiting if piece.stream is not stream)
                stream.waiting = 0
            return waited

    def allow(self, size: int) -> None:
        """The client allows more on the connection."""
        with self._lock:
            self._window = _widened(self._window, size)
            self._pump()

    def allow_stream(self, stream: Stream, size: int) -> bool:
        """The client allows more on one stream; False where that is more than there may be."""
        with self._lock:
            if stream.window + size > frames.LARGEST_WINDOW:
                return False
            stream.window += size
            self._pump()
            return True

    def set_frame(self, size: int) -> None:
        """The largest frame that the client takes."""
        self._largest = size

    def empty_table(self) -> None:
        """The client keeps less of our fields than it need: it must hear that we put none into its table."""
        with self._lock:
            self._table_said = _EMPTY_TABLE

    def _after_table(self, block: bytes) -> bytes:
        """A block that goes out now; the first one since the client's setting says what there is to say."""
        said, self._table_said = self._table_said, b""
        return said + block

    def set_window(self, size: int, streams: Iterable[Stream]) -> None:
        """The client's first window of a stream; it changes those of open streams too (RFC 9113, 6.9.2)."""
        with self._lock:
            for stream in streams:
                stream.window = _widened(stream.window, size - self.first_window)
            self.first_window = size
            self._pump()

    def _pump(self) -> None:
        """Send what the windows allow, oldest first; a stream that is held back holds no other one back."""
        held: deque[_Piece] = deque()
        stuck: set[Stream] = set()
        while self._waiting:
            piece = self._waiting.popleft()
            if piece.stream in stuck or not self._advance(piece):
                stuck.add(piece.stream)
                held.append(piece)
        self._waiting = held

    def _advance(self, piece: _Piece) -> bool:
        """Send of one piece; whether it is gone."""
        stream, number = piece.stream, piece.stream.number.to_bytes(4, "big")
        while (left := len(piece.data) - piece.at) > 0:
            size = min(left, self._window, stream.window, self._largest)
            if size <= 0:
                return False
            part = piece.data[piece.at : piece.at + size]
            self._send(b"".join((size.to_bytes(3, "big"), _DATA_OPEN, number, part)))
            self._window -= size
            stream.window -= size
            piece.at += size
            stream.still_s = 0
        stream.waiting -= 1
        if piece.after:
            self._send(_ending(stream, self._after_table(piece.after)))
            self._close(stream)
        return True

    def _close(self, stream: Stream) -> None:
        stream.closed = True
        self._done(stream, sent=True)


def _ending(stream: Stream, block: bytes) -> bytes:
    return b"".join((len(block).to_bytes(3, "big"), _HEADERS_LAST, stream.number.to_bytes(4, "big"), block))


def _widened(window: int, size: int) -> int:
    if window + size > frames.LARGEST_WINDOW:
        raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "a window above 2^31 - 1")
    return window + size
