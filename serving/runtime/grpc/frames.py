"""Frames of HTTP/2 and the errors that end a stream or a connection (RFC 9113)."""

from struct import Struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)

END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x2, 0x3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 0x5, 0x6, 0x7, 0x8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x9, 0xB

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 0x1, 0x2, 0x3, 0x4
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 0x5, 0x6

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
LARGEST_WINDOW = 2**31 - 1
LARGEST_FRAME = 2**24 - 1
DEFAULT_WINDOW, DEFAULT_FRAME, DEFAULT_TABLE = 65_535, 16_384, 4096

read_head = Struct(">HBBBL").unpack_from
"""Length (its high 16 bits, its low 8), type, flags, stream."""
read_setting = Struct(">HL").iter_unpack
_setting = Struct(">HL").pack
_goaway = Struct(">LL").pack


class ConnectionFault(Exception):  # noqa: N818 - RFC 9113 calls it an error of the connection; ours never leaves it
    """The client broke the protocol in a way that ends the connection."""

    def __init__(self, code: int, text: str) -> None:
        """`code` goes into GOAWAY, `text` too, for whoever debugs the client."""
        super().__init__(text)
        self.code = code


def opening(size: int, kind: int, flags: int) -> bytes:
    """The first five bytes of a frame; the stream's four follow."""
    return (size << 16 | kind << 8 | flags).to_bytes(5, "big")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return opening(len(payload), kind, flags) + stream.to_bytes(4, "big") + payload


def settings(values: dict[int, int]) -> bytes:
    """What we want of the other side."""
    return frame(SETTINGS, 0, 0, b"".join(_setting(key, value) for key, value in values.items()))


def reset(stream: int, code: int) -> bytes:
    """End one stream."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def more(stream: int, size: int) -> bytes:
    """Allow `size` further bytes on a stream; 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def goaway(last: int, code: int, text: bytes = b"") -> bytes:
    """Take no stream above `last` any more."""
    return frame(GOAWAY, 0, 0, _goaway(last, code) + text)


def unpadded(flags: int, payload: bytes) -> bytes:
    """A payload without padding and priority.

    Raises:
        ConnectionFault: It is shorter than it says.
    """
    begin = (1 if flags & PADDED else 0) + (5 if flags & WITH_PRIORITY else 0)
    if begin > len(payload):
        raise ConnectionFault(FRAME_SIZE_ERROR, "a frame is shorter than its flags say")
    end = payload[0] if flags & PADDED else 0
    if begin + end > len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, "a frame is shorter than its padding")
    return payload[begin : len(payload) - end]
