"""Bytes into frames, and what every connection owes its client: settings, pings, an end with a reason."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

from serving.runtime.grpc import frames
from serving.runtime.grpc.frames import ACK, END_HEADERS, HEAD_BYTES, PREFACE, PROTOCOL_ERROR, ConnectionFault
from serving.runtime.grpc.outflow import Outflow
from serving.runtime.grpc.patience import Patience
from serving.runtime.journal import journal

MAX_BLOCK_BYTES = 32 * 1024
"""Of header fields as they come, over HEADERS and CONTINUATION."""
_REMEMBERED = 256
_NUMBER = 0x7FFFFFFF


class Link(Protocol):
    """The connection below."""

    peer: str

    def send(self, data: bytes) -> None:
        """After what was sent before; from any thread."""

    def close(self) -> None:
        """Once all is sent; from any thread."""

    def linger(self) -> None:
        """The same, but hear the client out, who might miss the reason otherwise."""


class Framing(ABC):
    """Reads frames and answers those that are about the connection."""

    largest_frame: ClassVar[int] = 64 * 1024

    def __init__(self, link: Link, out: Outflow) -> None:
        """Nothing came yet."""
        self.link, self.out, self.patience = link, out, Patience()
        self._rest, self._hello = b"", b""
        self.heard = self._greeted = self.settled = self.over = False
        self.draining = False
        self.last = 0
        """The client's highest stream."""
        self.left: deque[int] = deque(maxlen=_REMEMBERED)
        """Streams that were left while the client still sent on them: what comes of them is let pass."""
        self._block: tuple[int, int, bytearray] | None = None
        self._kinds: Mapping[int, Callable[[int, int, bytes], None]] = {
            frames.DATA: self._data,
            frames.HEADERS: self._headers,
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._reset_frame,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_frame,
            frames.CONTINUATION: self._continuation,
        }

    def received(self, data: bytes) -> None:
        """More bytes came. Never raises: whatever they are, the client is answered or sent away."""
        if self.over:
            return
        self.heard = True
        try:
            self._rest = self._read(self._rest + data if self._rest else data)
        except ConnectionFault as fault:
            self._fail(fault.code, str(fault))
        except Exception as error:  # noqa: BLE001 - the client must hear that it is over
            journal("grpc_failed", error=repr(error))
            self._fail(frames.INTERNAL_ERROR, "internal error")
        if self.draining:
            self._settle()

    def sent(self) -> None:
        """All that had to wait has gone out. Windows hold answers back, not this: nothing to do."""
        return

    def check_begun(self, number: int) -> None:
        """Only streams that the client has begun can be spoken of.

        Raises:
            ConnectionFault: It has not.
        """
        if number > self.last or not number & 1:
            raise ConnectionFault(PROTOCOL_ERROR, f"stream {number} was not begun")

    def _read(self, data: bytes) -> bytes:
        """Handle whole frames; what is left of the last one."""
        at, end = 0, len(data)
        if not self._greeted:
            if data[: len(PREFACE)] != PREFACE[:end]:
                raise ConnectionFault(PROTOCOL_ERROR, "this port speaks gRPC over HTTP/2")
            if end < len(PREFACE):
                return data
            self._greeted, at = True, len(PREFACE)
            self.out.send(self._hello)
        read_head, kinds = frames.read_head, self._kinds
        while end - at >= HEAD_BYTES and not self.over:
            high, low, kind, flags, number = read_head(data, at)
            begin = at + HEAD_BYTES
            stop = begin + (high << 8 | low)
            if stop - begin > self.largest_frame:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, f"a frame above {self.largest_frame} bytes")
            if stop > end:
                break
            if self._block is not None or not self.settled:
                self._check_order(kind, flags)
            kinds.get(kind, self._unknown)(flags, number & _NUMBER, data[begin:stop])
            at = stop
        return data[at:] if at < end else b""

    def _check_order(self, kind: int, flags: int) -> None:
        if self._block is not None and kind != frames.CONTINUATION:
            raise ConnectionFault(PROTOCOL_ERROR, "header fields were interrupted")
        if not self.settled and (kind != frames.SETTINGS or flags & ACK):
            raise ConnectionFault(PROTOCOL_ERROR, "settings must come first")

    def _fail(self, code: int, text: str) -> None:
        """Say why, and hang up."""
        if self._greeted:
            self.out.send(frames.goaway(self.last, code, text.encode()))
        self.lost()
        self.link.linger()

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        if not number & 1:
            raise ConnectionFault(PROTOCOL_ERROR, f"a client begins no stream {number}")
        if flags & (frames.PADDED | frames.WITH_PRIORITY):
            payload = frames.unpadded(flags, payload)
        if flags & END_HEADERS:
            self._head(number, flags, payload)
        else:
            self._block = (number, flags, bytearray(payload))

    def _continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != number:
            raise ConnectionFault(PROTOCOL_ERROR, "fields that continue nothing")
        self.patience.spend()
        _, first_flags, block = self._block
        block += payload
        if len(block) > MAX_BLOCK_BYTES:
            raise ConnectionFault(frames.ENHANCE_YOUR_CALM, f"header fields above {MAX_BLOCK_BYTES} bytes")
        if flags & END_HEADERS:
            self._block = None
            self._head(number, first_flags, bytes(block))

    def _priority(self, _flags: int, number: int, payload: bytes) -> None:
        self.patience.spend()
        if number == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "a priority of no stream")
        if len(payload) != 5:  # noqa: PLR2004 - RFC 9113, 6.3
            self._stream_fault(number, frames.FRAME_SIZE_ERROR)

    def _reset_frame(self, _flags: int, number: int, payload: bytes) -> None:
        self.check_begun(number)
        _check_size(payload, 4)
        self._reset(number)

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "settings of a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, "settings of a wrong size")
        self.patience.spend()
        if flags & ACK:
            return
        for key, value in frames.read_setting(payload):
            self.patience.spend()
            self._set(key, value)
        self.settled = True
        self.out.send(frames.frame(frames.SETTINGS, ACK, 0))

    def _set(self, key: int, value: int) -> None:
        """One setting of the client's."""
        if key == frames.HEADER_TABLE_SIZE and value < frames.DEFAULT_TABLE:
            self.out.empty_table()
        if key == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFault(PROTOCOL_ERROR, f"ENABLE_PUSH {value}")
        if key == frames.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise ConnectionFault(frames.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE {value}")
            self._first_window(value)
        if key == frames.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME <= value <= frames.LARGEST_FRAME:
                raise ConnectionFault(PROTOCOL_ERROR, f"MAX_FRAME_SIZE {value}")
            self.out.set_frame(value)

    def _push(self, _flags: int, _number: int, _payload: bytes) -> None:
        raise ConnectionFault(PROTOCOL_ERROR, "a client pushes nothing")

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "a ping of a stream")
        _check_size(payload, 8)
        self.patience.spend()
        if flags & ACK:
            self._ponged(payload)
        else:
            self.out.send(frames.frame(frames.PING, ACK, 0, payload))

    def _goaway(self, _flags: int, number: int, payload: bytes) -> None:
        """The client begins no more streams, and closes when it has its answers."""
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY of a stream")
        if len(payload) < 8:  # noqa: PLR2004 - RFC 9113, 6.8
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self.patience.spend()

    def _window_frame(self, _flags: int, number: int, payload: bytes) -> None:
        _check_size(payload, 4)
        size = int.from_bytes(payload, "big") & frames.LARGEST_WINDOW
        if number:
            self.check_begun(number)
        if size:
            self._window(number, size)
        elif number:
            self._stream_fault(number, PROTOCOL_ERROR)
        else:
            raise ConnectionFault(PROTOCOL_ERROR, "a window opened by nothing")

    def _unknown(self, _flags: int, _number: int, _payload: bytes) -> None:
        """Frames of extensions are ignored."""
        self.patience.spend()

    @abstractmethod
    def _head(self, number: int, flags: int, block: bytes) -> None: ...

    @abstractmethod
    def _data(self, flags: int, number: int, payload: bytes) -> None: ...

    @abstractmethod
    def _reset(self, number: int) -> None: ...

    @abstractmethod
    def _window(self, number: int, size: int) -> None: ...

    @abstractmethod
    def _stream_fault(self, number: int, code: int) -> None: ...

    @abstractmethod
    def _first_window(self, size: int) -> None: ...

    @abstractmethod
    def _ponged(self, payload: bytes) -> None: ...

    @abstractmethod
    def _settle(self) -> None: ...

    @abstractmethod
    def lost(self) -> None:
        """The connection is gone."""


def _check_size(payload: bytes, size: int) -> None:
    if len(payload) != size:
        raise ConnectionFault(frames.FRAME_SIZE_ERROR, f"a frame of {len(payload)} bytes, expected {size}")
