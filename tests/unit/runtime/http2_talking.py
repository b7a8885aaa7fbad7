"""The server's side of HTTP/2 without a socket, and the `h2` library's client to talk to it."""

from collections.abc import Callable, Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events
from hpack import Decoder, Encoder

from serving.runtime.grpc import frames
from serving.runtime.grpc.answers import DONE, begun, refused
from serving.runtime.grpc.fields import Fields
from serving.runtime.grpc.heads import RequestHead
from serving.runtime.grpc.http2 import Http2
from serving.runtime.grpc.packing import packed
from serving.runtime.grpc.streams import Stream

PATH = b"/echo/Echo"
HEAD = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", PATH),
    (b":authority", b"here"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]


class Link:
    """Keeps what is sent."""

    peer = "127.0.0.1:1"

    def __init__(self) -> None:
        self.out = b""
        self.closed = False

    def send(self, data: bytes) -> None:
        assert not self.closed
        self.out += data

    def close(self) -> None:
        self.closed = True

    linger = close

    def take(self) -> bytes:
        out, self.out = self.out, b""
        return out


class Echo:
    """Sends bodies back; with `late` set it keeps the answers until they are asked for."""

    max_body_bytes = 1 << 20

    def __init__(self, *, late: bool = False) -> None:
        self.late, self.kept = late, list[Callable[[], None]]()
        self.taken: list[bytes] = []

    def head(self, fields: Fields) -> RequestHead:
        return RequestHead(fields)

    def take(self, stream: Stream, body: bytes) -> None:
        self.taken.append(body)

        def answer() -> None:
            stream.http2.answer(stream, begun([("x-revision", "r1")]), packed(body[5:]), DONE)

        self.kept.append(answer)
        if not self.late:
            self.kept.pop()()

    def too_large(self, stream: Stream) -> None:
        stream.http2.only(stream, refused(8, "too large"))


def connected(taker: Echo | None = None) -> tuple[Http2, Link, Echo]:
    link, taker = Link(), taker or Echo()
    return Http2(link, taker), link, taker


def greeting(values: dict[int, int] | None = None) -> bytes:
    return frames.PREFACE + frames.settings(values or {})


def request(
    number: int, body: bytes, encoder: Encoder | None = None, fields: Sequence[tuple[bytes, bytes]] = HEAD
) -> bytes:
    block = (encoder or Encoder()).encode(list(fields))
    head = frames.frame(frames.HEADERS, frames.END_HEADERS, number, block)
    return head + frames.frame(frames.DATA, frames.END_STREAM, number, body)


def parsed(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of whole frames; nothing may be left."""
    found = []
    while data:
        high, low, kind, flags, number = frames.read_head(data)
        size = high << 8 | low
        assert len(data) >= 9 + size
        found.append((kind, flags, number, data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def kinds(data: bytes) -> list[int]:
    return [kind for kind, *_ in parsed(data)]


def goaway_code(data: bytes) -> int | None:
    """Why the connection was ended; None where it was not."""
    codes = [
        int.from_bytes(payload[4:8], "big") for kind, _, _, payload in parsed(data) if kind == frames.GOAWAY
    ]
    return codes[-1] if codes else None


def reset_codes(data: bytes) -> dict[int, int]:
    """By stream, why it was ended."""
    return {
        number: int.from_bytes(payload, "big")
        for kind, _, number, payload in parsed(data)
        if kind == frames.RST_STREAM
    }


class Client:
    """`h2` on the other side."""

    def __init__(self, server: Http2, link: Link) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.server, self.link = server, link
        self.events: list[Any] = []
        self.h2.initiate_connection()
        self.talk()

    def talk(self) -> None:
        """Both ways, until neither has more to say."""
        while True:
            data = self.h2.data_to_send()
            if data:
                self.server.received(data)
            answer = self.link.take()
            if answer:
                self.events += self.h2.receive_data(answer)
            if not data and not answer:
                return

    def ask(self, number: int, body: bytes, fields: Sequence[tuple[bytes, bytes]] = HEAD) -> None:
        self.h2.send_headers(number, list(fields))
        while body:
            size = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(body))
            if size:
                self.h2.send_data(number, body[:size])
                body = body[size:]
            self.talk()
        self.h2.end_stream(number)
        self.talk()

    def acknowledge(self, number: int) -> None:
        """Make room for more of an answer, of which more must then come."""
        before = len(self.events)
        for event in self.of(number, h2.events.DataReceived):
            if event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
                event.flow_controlled_length = 0
        self.talk()
        assert len(self.events) > before

    def of(self, number: int, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind) and event.stream_id == number]

    def body(self, number: int) -> bytes:
        return b"".join(event.data for event in self.of(number, h2.events.DataReceived))

    def trailers(self, number: int) -> dict[bytes, bytes]:
        return dict(self.of(number, h2.events.TrailersReceived)[0].headers)


def decoded(block: bytes) -> dict[bytes, bytes]:
    return {bytes(name): bytes(value) for name, value in Decoder().decode(block, raw=True)}
