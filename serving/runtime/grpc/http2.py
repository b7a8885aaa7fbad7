"""The server's side of one HTTP/2 connection that carries gRPC (RFC 9113), without a socket.

Bytes go in by `received` and come out through the connection's `send`; whole requests go to a `Taker`. Made
for small messages on warm connections: a request is two frames in, three frames out in one piece, and no
events in between. Priorities are ignored and nothing is pushed.
"""

from collections import deque
from time import monotonic, perf_counter_ns

from serving.runtime.grpc import frames
from serving.runtime.grpc.fields import FieldReader
from serving.runtime.grpc.frames import END_STREAM, PROTOCOL_ERROR, ConnectionFault
from serving.runtime.grpc.framing import Framing, Link
from serving.runtime.grpc.heads import MAX_LIST_BYTES, RequestHead
from serving.runtime.grpc.inflow import Inflow
from serving.runtime.grpc.outflow import Outflow
from serving.runtime.grpc.patience import FAULT_COST
from serving.runtime.grpc.streams import Stream, Taker
from serving.runtime.grpc.watching import Watcher

MAX_STREAMS = 256
_SMALL_BYTES, _SMALL_STEP = 256, 1024
"""A part of a body, or a step of a window, below this costs patience."""
_PREFIX_BYTES = 5
_HELD_BODIES = 4
"""Largest bodies that may be under way to us on one connection."""
_GOODBYE = b"goodbye?"
"""A ping behind the first GOAWAY: what the client sent before it knew comes before the answer to it."""
_SLOW_S, _STUCK_S = 30, 60
"""Looks, about one a second, at a body that stands still, and at an answer of which nothing is taken."""
_SKIPPED_RANGES = 256
_GREETING_S, _LEAVING_S, _QUIET_S, _ANSWER_S = 10.0, 2.0, 600.0, 20.0


class Http2(Framing):
    """One connection. The loop's thread calls all but `answer` and `only`."""

    def __init__(self, link: Link, taker: Taker) -> None:
        """Nothing is sent before the client speaks."""
        ours = {
            frames.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            frames.INITIAL_WINDOW_SIZE: Inflow.STREAM,
            frames.MAX_FRAME_SIZE: self.largest_frame,
            frames.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
        }
        super().__init__(link, Outflow(link.send, self._done))
        self.peer, self._taker = link.peer, taker
        self._in = Inflow(self.out.send)
        self._hello = frames.settings(ours) + self._in.opening()
        self._fields: FieldReader[RequestHead] = FieldReader(taker.head)
        self._streams: dict[int, Stream] = {}
        self._skipped: deque[tuple[int, int]] = deque(maxlen=_SKIPPED_RANGES)
        """Streams between which the client left numbers out: those cannot be begun any more."""
        self._held = 0
        self._most_bytes = taker.max_body_bytes + _PREFIX_BYTES
        self._leaving = self._pinged = False
        self._quiet_since_s, self._drained_s = monotonic(), 0.0

    @property
    def idle_since_s(self) -> float | None:
        """Since when nothing is under way, to the second; None while something is."""
        if self._streams:
            return None
        return monotonic() if self.heard else self._quiet_since_s  # the next look says since when

    def answer(self, stream: Stream, head: bytes, data: bytes, after: bytes) -> None:
        """Answer, or go on answering: see `Outflow.answer`; from any thread."""
        self.out.answer(stream, head, data, after)
        if self.draining:
            self._settle()

    def only(self, stream: Stream, fields: bytes) -> None:
        """Answer with nothing but fields; before the request is whole on the loop's thread, else from any."""
        if stream.ended:
            self.out.only(stream, fields)
        else:
            self._held -= stream.size
            self.left.append(stream.number)
            self.out.only(stream, fields, behind=frames.reset(stream.number, frames.NO_ERROR))
        if self.draining:
            self._settle()

    def ended(self) -> None:
        """The client sends no more: what it has asked for is answered, what waits for its windows is not."""
        self.draining = self._leaving = True
        for stream in [one for one in list(self._streams.values()) if one.waiting or not one.ended]:
            self._give_up(stream)
            self._streams.pop(stream.number, None)
        self._settle()

    def lost(self) -> None:
        """The connection is gone."""
        self.over = True
        for stream in list(self._streams.values()):
            self._give_up(stream)

    def drain(self) -> None:
        """Tell the client, answer what it sent before it knew, then close."""
        if self.draining or self.over:
            return
        self.draining = True
        if not self.settled:
            self._leaving = True
            self._settle()
            return
        self.out.send(
            frames.goaway(frames.LARGEST_WINDOW, frames.NO_ERROR) + frames.frame(frames.PING, 0, 0, _GOODBYE)
        )
        for watcher in self._watchers():
            watcher.end()

    def overdue(self, now_s: float) -> None:
        """Close, if the client has been silent for too long; a quiet one is asked whether it is there."""
        self.patience.earn()
        if self.heard:
            self.heard, self._pinged, self._quiet_since_s = False, False, now_s
        self._look()
        quiet_s = now_s - self._quiet_since_s
        if self.draining and not self._leaving:
            self._drained_s = self._drained_s or now_s
            if now_s - self._drained_s >= _LEAVING_S:
                self._leave()
        elif quiet_s > (_QUIET_S + _ANSWER_S if self.settled else _GREETING_S):
            self.link.close()
        elif quiet_s > _QUIET_S and not self._pinged:
            self._pinged = True
            self.out.send(frames.frame(frames.PING, 0, 0, bytes(8)))

    def _look(self) -> None:
        """Tell who watches, and leave streams whose client has stopped half way."""
        for watcher in self._watchers():
            watcher.look()
        for stream in [one for one in list(self._streams.values()) if one.waiting or not one.ended]:
            stream.still_s += 1
            if stream.still_s > (_STUCK_S if stream.ended else _SLOW_S):
                self._give_up(stream)
                self.left.append(stream.number)
                self.out.send(frames.reset(stream.number, frames.CANCEL))

    def _watchers(self) -> list[Watcher]:
        return [stream.watcher for stream in list(self._streams.values()) if stream.watcher is not None]

    def _leave(self) -> None:
        """Take no stream above the last one any more; close when the last one is answered."""
        self._leaving = True
        self.out.send(frames.goaway(self.last, frames.NO_ERROR))
        self._settle()

    def _settle(self) -> None:
        if self._leaving and not self._streams and not self.over:
            self.link.close()

    def _done(self, stream: Stream, *, sent: bool) -> None:
        """All that there will be of a stream is out."""
        self._streams.pop(stream.number, None)
        if sent:
            self.patience.earn()

    def _head(self, number: int, flags: int, block: bytes) -> None:
        head = self._fields.read(block)
        if number <= self.last:
            self._trailers(number, flags, head)
            return
        if number - self.last > 2:  # noqa: PLR2004 - every other number is the server's
            self._skipped.append((self.last, number))
        self.last = number
        if self._leaving or len(self._streams) >= MAX_STREAMS:
            self._refuse(number, frames.REFUSED_STREAM)
            return
        if not head.valid:
            self._refuse(number, PROTOCOL_ERROR)
            return
        stream = Stream(self, number, head, perf_counter_ns(), self.out.first_window)
        self._streams[number] = stream
        if flags & END_STREAM and head.refusal is None:
            self._whole(stream, b"")
        elif head.refusal is not None:
            stream.ended = bool(flags & END_STREAM)
            self.only(stream, head.refusal)

    def _trailers(self, number: int, flags: int, head: RequestHead) -> None:
        """Fields behind a body, which mean nothing here."""
        stream = self._streams.get(number)
        if stream is None or stream.closed:
            self._stray_fields(number)
        elif stream.ended:
            self._fault(stream, frames.STREAM_CLOSED)
        elif flags & END_STREAM and head.trails:
            self._whole(stream, b"".join(stream.body))
        else:
            self._fault(stream, PROTOCOL_ERROR)

    def _stray_fields(self, number: int) -> None:
        """Fields on a stream that is over, or was never begun."""
        if number in self.left:
            self.patience.spend(FAULT_COST)
        elif any(low < number < high for low, high in self._skipped):
            raise ConnectionFault(PROTOCOL_ERROR, f"stream {number} was left out and cannot be begun")
        else:
            raise ConnectionFault(frames.STREAM_CLOSED, f"fields on stream {number}, which is closed")

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._in.came(size)
        stream = self._streams.get(number)
        if stream is None or stream.ended:
            self._stray(number, stream, size)
            return
        if flags & frames.PADDED:
            payload = frames.unpadded(frames.PADDED, payload)
        stream.size += len(payload)
        stream.still_s = 0
        self._held += len(payload)
        if stream.size > self._most_bytes:
            self._taker.too_large(stream)
        elif flags & END_STREAM:
            stream.body.append(payload)
            self._whole(stream, b"".join(stream.body) if len(stream.body) > 1 else payload)
        else:
            self._part(stream, payload, size)

    def _part(self, stream: Stream, payload: bytes, size: int) -> None:
        """More of the body is to come."""
        if len(payload) < _SMALL_BYTES:
            self.patience.spend()
        stream.body.append(payload)
        if not self._in.came_on(stream, size):
            self._fault(stream, frames.FLOW_CONTROL_ERROR)
        elif self._held > _HELD_BODIES * self._most_bytes:
            self._fault(stream, frames.ENHANCE_YOUR_CALM)

    def _whole(self, stream: Stream, body: bytes) -> None:
        """A request is there."""
        if stream.head.length is not None and stream.head.length != stream.size:
            self._fault(stream, PROTOCOL_ERROR)
            return
        stream.ended, stream.body, stream.still_s = True, [], 0
        self._held -= stream.size
        self._taker.take(stream, body)

    def _stray(self, number: int, stream: Stream | None, size: int) -> None:
        """Data where there is none to come."""
        self.check_begun(number)
        if stream is not None and not stream.closed:
            self._fault(stream, frames.STREAM_CLOSED)
        elif number not in self.left:
            self._refuse(number, frames.STREAM_CLOSED)
        elif size < _SMALL_BYTES:
            self.patience.spend()

    def _refuse(self, number: int, code: int) -> None:
        self.left.append(number)
        self.patience.spend(FAULT_COST)
        self.out.send(frames.reset(number, code))

    def _fault(self, stream: Stream, code: int) -> None:
        """End a stream whose client broke the protocol."""
        self._give_up(stream)
        self._refuse(stream.number, code)

    def _give_up(self, stream: Stream) -> None:
        """Nobody wants the answer. What is being worked on keeps its place until it is done."""
        answered = self.out.drop(stream) or stream.watcher is not None
        if not stream.ended:
            self._held -= stream.size
            self._streams.pop(stream.number, None)
        elif answered:
            self._streams.pop(stream.number, None)

    def _reset(self, number: int) -> None:
        self.patience.spend(FAULT_COST)
        stream = self._streams.get(number)
        if stream is not None and not stream.closed:
            self._give_up(stream)

    def _window(self, number: int, size: int) -> None:
        stream = self._streams.get(number)
        over = number > 0 and (stream is None or stream.closed)
        if over or size < _SMALL_STEP:
            self.patience.spend()
        if number == 0:
            self.out.allow(size)
        elif stream is not None and not over and not self.out.allow_stream(stream, size):
            self._fault(stream, frames.FLOW_CONTROL_ERROR)

    def _stream_fault(self, number: int, code: int) -> None:
        stream = self._streams.get(number)
        if stream is not None and not stream.closed:
            self._fault(stream, code)
        else:
            self.patience.spend()

    def _first_window(self, size: int) -> None:
        self.out.set_window(size, list(self._streams.values()))

    def _ponged(self, payload: bytes) -> None:
        if payload == _GOODBYE and self.draining and not self._leaving:
            self._leave()
