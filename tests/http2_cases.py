"""What RFC 9113 and RFC 7541 demand of a server: bytes that a client sends, and what must come of them.

Written from the standards alone, with none of the server's code: no mistake is made twice. The same table is
held against the protocol without a socket and against a real server.
"""

from dataclasses import dataclass

from hpack import Decoder

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
UNKNOWN = 0x42
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
WHOLE = END_HEADERS | END_STREAM
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(6, 12)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)

MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES = 64 * 1024
"""What the server announces; a test holds it against what it does."""
MOST_STREAMS = 256
MAX_WINDOW = 2**31 - 1
LAST = 1001
"""The stream of the request behind each case."""
STILL_THERE = b"barrier!"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3, "big")
        + bytes((kind, flags))
        + (stream & 0xFFFFFFFF).to_bytes(4, "big")
        + payload
    )


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in pairs))


def window(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def reset(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def literal(name: bytes, value: bytes) -> bytes:
    """A field that enters no table and is not packed (RFC 7541, 6.2.2)."""
    assert max(len(name), len(value)) < 127
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def block(*fields: tuple[bytes, bytes]) -> bytes:
    return b"".join(literal(name, value) for name, value in fields)


PATH = b"/inference.GRPCInferenceService/ServerLive"
METHOD, SCHEME, PATHS = (b":method", b"POST"), (b":scheme", b"http"), (b":path", PATH)
AUTHORITY, TYPE, TE = (b":authority", b"here"), (b"content-type", b"application/grpc"), (b"te", b"trailers")
FIELDS = (METHOD, SCHEME, PATHS, AUTHORITY, TYPE, TE)
GOOD = block(*FIELDS)
EMPTY_MESSAGE = bytes(5)
BODY = frame(DATA, END_STREAM, 1, EMPTY_MESSAGE)


def head(stream: int = 1, more: bytes = b"", flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, GOOD + more)


def continued(stream: int = 1, payload: bytes = b"", flags: int = END_HEADERS) -> bytes:
    return frame(CONTINUATION, flags, stream, payload)


def data(stream: int = 1, payload: bytes = b"", flags: int = 0) -> bytes:
    return frame(DATA, flags, stream, payload)


def priority(stream: int = 1, payload: bytes = bytes(5)) -> bytes:
    return frame(PRIORITY, 0, stream, payload)


def call(stream: int = 1, more: bytes = b"") -> bytes:
    return head(stream, more) + frame(DATA, END_STREAM, stream, EMPTY_MESSAGE)


def with_fields(*fields: tuple[bytes, bytes]) -> bytes:
    return frame(HEADERS, END_HEADERS, 1, block(*fields)) + BODY


GREETING = MAGIC + settings()
HELD = settings((INITIAL_WINDOW_SIZE, 0))
"""Answers wait for a window from here on, so that streams stay half-closed (remote)."""
BARRIER = settings((INITIAL_WINDOW_SIZE, 65_535)) + call(LAST) + frame(PING, 0, 0, STILL_THERE)


@dataclass(frozen=True)
class Case:
    """Bytes behind the greeting, and what they demand."""

    name: str
    """Section of RFC 9113 (of RFC 7541 where it says so) or the attack, and what is done."""
    data: bytes
    ends: int | None = None
    """Code of the GOAWAY that ends the connection."""
    resets: int | None = None
    """Code of the RST_STREAM that ends `stream`, and nothing else."""
    stream: int = 1
    opening: bytes = GREETING

    @property
    def sent(self) -> bytes:
        return self.opening + self.data + BARRIER


def ends(code: int, name: str, data: bytes, opening: bytes = GREETING) -> Case:
    return Case(name, data, ends=code, opening=opening)


def resets(code: int, name: str, data: bytes, stream: int = 1) -> Case:
    return Case(name, data, resets=code, stream=stream)


def tolerated(name: str, data: bytes) -> Case:
    return Case(name, data)


PREFACE = [
    ends(PROTOCOL_ERROR, "3.4 no SETTINGS first", frame(PING, 0, 0, bytes(8)), MAGIC),
    ends(PROTOCOL_ERROR, "3.4 the first SETTINGS is an ACK", frame(SETTINGS, ACK, 0), MAGIC),
    tolerated("3.4 an empty SETTINGS", b""),
]

FRAMES = [
    tolerated("4.1 a type that nobody knows", frame(UNKNOWN, 0xFF, 7, b"anything")),
    tolerated("4.1 flags that nobody knows", frame(PING, 0xFE, 0, bytes(8))),
    tolerated("4.1 the reserved bit", frame(PING, 0, 1 << 31, bytes(8)) + window(0, 1 | 1 << 31)),
    ends(FRAME_SIZE_ERROR, "4.2 DATA too long", head() + data(1, bytes(MAX_FRAME_BYTES + 1))),
    ends(FRAME_SIZE_ERROR, "4.2 HEADERS too long", frame(HEADERS, 4, 1, bytes(MAX_FRAME_BYTES + 1))),
    ends(FRAME_SIZE_ERROR, "4.2 an unknown type too long", frame(UNKNOWN, 0, 0, bytes(MAX_FRAME_BYTES + 1))),
    tolerated("4.2 an unknown type as long as may be", frame(UNKNOWN, 0, 0, bytes(MAX_FRAME_BYTES))),
    ends(
        FRAME_SIZE_ERROR,
        "4.2 HEADERS without the length of its padding",
        frame(HEADERS, END_HEADERS | PADDED, 1),
    ),
    ends(
        FRAME_SIZE_ERROR,
        "4.2 HEADERS with half a priority",
        frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, bytes(4)),
    ),
    ends(
        FRAME_SIZE_ERROR,
        "4.2 HEADERS with padding and half a priority",
        frame(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 1, bytes(5)),
    ),
    ends(FRAME_SIZE_ERROR, "4.2 DATA without the length of its padding", head() + frame(DATA, PADDED, 1)),
    ends(PROTOCOL_ERROR, "4.3 fields interrupted by a priority", head(flags=0) + priority()),
    ends(PROTOCOL_ERROR, "4.3 fields interrupted by another stream's", head(flags=0) + head(3)),
    ends(PROTOCOL_ERROR, "5.5 fields interrupted by an unknown type", head(flags=0) + frame(UNKNOWN, 0, 1)),
]

BOTH_ENDED = call()
HALF_CLOSED = HELD + call()
LATE = window(1, 9) + reset(1) + priority()
GIVEN_UP = head() + reset(1)
REFUSED = head(1, literal(b"X", b"y"))
"""The server has reset it and the client may not know."""

STATES = [
    ends(PROTOCOL_ERROR, "5.1 idle: DATA", BODY),
    ends(PROTOCOL_ERROR, "5.1 idle: RST_STREAM", reset(1)),
    ends(PROTOCOL_ERROR, "5.1 idle: WINDOW_UPDATE", window(1, 1)),
    ends(PROTOCOL_ERROR, "5.1 idle: CONTINUATION", continued(1, GOOD)),
    tolerated("5.1 idle: PRIORITY", priority()),
    resets(STREAM_CLOSED, "5.1 half-closed: DATA", HALF_CLOSED + data(1, b"more")),
    resets(STREAM_CLOSED, "5.1 half-closed: HEADERS", HALF_CLOSED + head(flags=WHOLE)),
    ends(PROTOCOL_ERROR, "5.1 half-closed: CONTINUATION", HALF_CLOSED + continued()),
    tolerated("5.1 half-closed: WINDOW_UPDATE, PRIORITY", HALF_CLOSED + window(1, 9) + priority()),
    tolerated("5.1 half-closed: RST_STREAM", HALF_CLOSED + reset(1)),
    resets(STREAM_CLOSED, "5.1 closed: DATA", BOTH_ENDED + data(1, b"more")),
    ends(STREAM_CLOSED, "5.1 closed: HEADERS", BOTH_ENDED + head(flags=WHOLE)),
    ends(PROTOCOL_ERROR, "5.1 closed: CONTINUATION", BOTH_ENDED + continued()),
    tolerated("5.1 closed: WINDOW_UPDATE, RST_STREAM, PRIORITY", BOTH_ENDED + LATE),
    resets(STREAM_CLOSED, "5.1 given up: DATA", GIVEN_UP + frame(DATA, END_STREAM, 1, b"more")),
    ends(STREAM_CLOSED, "5.1 given up: HEADERS", GIVEN_UP + head(flags=WHOLE)),
    tolerated("5.1 given up: WINDOW_UPDATE, RST_STREAM, PRIORITY", GIVEN_UP + LATE),
    resets(
        PROTOCOL_ERROR,
        "5.1 refused: what was on its way",
        REFUSED + data(1, b"a") + window(1, 9) + head(flags=WHOLE) + reset(1),
    ),
    ends(PROTOCOL_ERROR, "5.1.1 a stream of the server's", head(2)),
    ends(PROTOCOL_ERROR, "5.1.1 a number below the last", call(5) + call(3)),
    tolerated("5.1.1 numbers left out", call(3) + call(77)),
    resets(
        REFUSED_STREAM,
        "5.1.2 one stream too many",
        HELD
        + b"".join(call(n) for n in range(1, 2 * MOST_STREAMS + 2, 2))
        + b"".join(reset(n) for n in range(1, 2 * MOST_STREAMS, 2)),
        2 * MOST_STREAMS + 1,
    ),
    tolerated(
        "5.3.2 HEADERS that depends on itself",
        frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, b"\0\0\0\1\x10" + GOOD) + BODY,
    ),
    tolerated("5.3.2 PRIORITY that depends on itself", head() + priority(1, b"\0\0\0\1\x10") + BODY),
]

TYPES = [
    ends(PROTOCOL_ERROR, "6.1 DATA of no stream", data(0, b"a")),
    tolerated("6.1 DATA of nothing but padding", head() + frame(DATA, PADDED, 1, b"\5abcde") + BODY),
    ends(
        PROTOCOL_ERROR,
        "6.1 DATA with a byte less padding than it says",
        head() + frame(DATA, PADDED, 1, b"\6abcde"),
    ),
    tolerated(
        "6.1 DATA with padding",
        head()
        + frame(DATA, PADDED, 1, b"\3" + EMPTY_MESSAGE + bytes(3))
        + frame(DATA, END_STREAM | PADDED, 1, b"\0"),
    ),
    tolerated("6.1 DATA of nothing", head() + data() * 9 + BODY),
    ends(PROTOCOL_ERROR, "6.2 HEADERS of no stream", head(0)),
    ends(
        PROTOCOL_ERROR,
        "6.2 HEADERS with too much padding",
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + GOOD),
    ),
    tolerated(
        "6.2 HEADERS with padding and priority",
        frame(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 1, b"\2" + bytes(5) + GOOD + bytes(2)) + BODY,
    ),
    ends(PROTOCOL_ERROR, "6.3 PRIORITY of no stream", priority(0)),
    resets(FRAME_SIZE_ERROR, "6.3 PRIORITY too short", head() + priority(1, bytes(4))),
    ends(PROTOCOL_ERROR, "6.4 RST_STREAM of no stream", reset(0)),
    ends(FRAME_SIZE_ERROR, "6.4 RST_STREAM too short", head() + frame(RST_STREAM, 0, 1, bytes(3))),
    ends(FRAME_SIZE_ERROR, "6.5 an ACK that sets something", frame(SETTINGS, ACK, 0, bytes(6))),
    ends(PROTOCOL_ERROR, "6.5 SETTINGS of a stream", frame(SETTINGS, 0, 1)),
    ends(FRAME_SIZE_ERROR, "6.5 half a setting", frame(SETTINGS, 0, 0, bytes(3))),
    ends(PROTOCOL_ERROR, "6.5.2 ENABLE_PUSH 2", settings((ENABLE_PUSH, 2))),
    ends(FLOW_CONTROL_ERROR, "6.5.2 INITIAL_WINDOW_SIZE 2^31", settings((INITIAL_WINDOW_SIZE, 1 << 31))),
    ends(PROTOCOL_ERROR, "6.5.2 MAX_FRAME_SIZE 16383", settings((MAX_FRAME_SIZE, 16_383))),
    ends(PROTOCOL_ERROR, "6.5.2 MAX_FRAME_SIZE 2^24", settings((MAX_FRAME_SIZE, 1 << 24))),
    tolerated(
        "6.5.2 the least and the most",
        settings(
            (ENABLE_PUSH, 0),
            (MAX_FRAME_SIZE, 16_384),
            (MAX_FRAME_SIZE, (1 << 24) - 1),
            (INITIAL_WINDOW_SIZE, MAX_WINDOW),
            (HEADER_TABLE_SIZE, 0),
            (HEADER_TABLE_SIZE, 0xFFFFFFFF),
            (MAX_CONCURRENT_STREAMS, 0),
            (6, 0),
        ),
    ),
    tolerated("6.5.2 settings that nobody knows", settings((0xFFFF, 7), (0, 0))),
    tolerated("6.5.3 an ACK of nothing", frame(SETTINGS, ACK, 0)),
    ends(PROTOCOL_ERROR, "6.6 PUSH_PROMISE", head() + frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + GOOD)),
    tolerated("6.7 an answer to no ping", frame(PING, ACK, 0, bytes(8))),
    ends(PROTOCOL_ERROR, "6.7 PING of a stream", frame(PING, 0, 1, bytes(8))),
    ends(FRAME_SIZE_ERROR, "6.7 PING too short", frame(PING, 0, 0, bytes(6))),
    ends(FRAME_SIZE_ERROR, "6.7 PING too long", frame(PING, 0, 0, bytes(9))),
    ends(PROTOCOL_ERROR, "6.8 GOAWAY of a stream", frame(GOAWAY, 0, 1, bytes(8))),
    ends(FRAME_SIZE_ERROR, "6.8 GOAWAY too short", frame(GOAWAY, 0, 0, bytes(7))),
    tolerated("6.9 windows that grow", head() + window(0, 1) + window(1, 1) + BODY),
    ends(PROTOCOL_ERROR, "6.9 the connection's window by nothing", window(0, 0)),
    resets(PROTOCOL_ERROR, "6.9 a stream's window by nothing", head() + window(1, 0)),
    ends(FRAME_SIZE_ERROR, "6.9 WINDOW_UPDATE too short", head() + frame(WINDOW_UPDATE, 0, 1, bytes(3))),
    ends(FLOW_CONTROL_ERROR, "6.9.1 the connection's window above 2^31 - 1", window(0, MAX_WINDOW)),
    resets(FLOW_CONTROL_ERROR, "6.9.1 a stream's window above 2^31 - 1", head() + window(1, MAX_WINDOW)),
    ends(
        FLOW_CONTROL_ERROR,
        "6.9.2 a first window that makes another too large",
        head() + window(1, 65_535) + settings((INITIAL_WINDOW_SIZE, MAX_WINDOW)),
    ),
    ends(PROTOCOL_ERROR, "6.10 CONTINUATION of no stream", head(flags=0) + continued(0)),
    ends(PROTOCOL_ERROR, "6.10 CONTINUATION of another stream", head(flags=0) + continued(3)),
    ends(PROTOCOL_ERROR, "6.10 CONTINUATION behind the last", head() + continued()),
    ends(PROTOCOL_ERROR, "6.10 CONTINUATION behind the last CONTINUATION", head(flags=0) + continued() * 2),
    ends(PROTOCOL_ERROR, "6.10 CONTINUATION behind DATA", head() + data() + continued()),
    tolerated(
        "6.10 fields in many pieces",
        frame(HEADERS, 0, 1, GOOD[:9])
        + b"".join(continued(flags=0, payload=GOOD[at : at + 1]) for at in range(9, len(GOOD)))
        + continued()
        + BODY,
    ),
    tolerated(
        "7 codes that nobody knows",
        head() + reset(1, 0xFFFF) + frame(GOAWAY, 0, 0, bytes(4) + b"\xff" * 4 + b"why not"),
    ),
]


def trailing(*fields: tuple[bytes, bytes]) -> bytes:
    return head() + data(1, EMPTY_MESSAGE) + frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*fields))


def malformed(name: str, *fields: tuple[bytes, bytes]) -> Case:
    return resets(PROTOCOL_ERROR, name, with_fields(*fields))


def with_field(section: str, name: bytes, value: bytes) -> Case:
    return malformed(f"{section} {name!r}: {value!r}", *FIELDS, (name, value))


MESSAGES = [
    tolerated("8.1 fields behind the body", trailing((b"x-sum", b"1"))),
    resets(PROTOCOL_ERROR, "8.1 fields behind the body that end nothing", head() + head()),
    resets(PROTOCOL_ERROR, "8.1 a pseudo-field behind the body", trailing((b":path", PATH))),
    resets(PROTOCOL_ERROR, "8.1 a name in capitals behind the body", trailing((b"X-Sum", b"1"))),
    resets(
        PROTOCOL_ERROR, "8.1 a field of the connection behind the body", trailing((b"connection", b"close"))
    ),
    malformed("8.1.1 content-length too small", *FIELDS, (b"content-length", b"4")),
    malformed("8.1.1 content-length too large", *FIELDS, (b"content-length", b"6")),
    malformed("8.1.1 content-length no number", *FIELDS, (b"content-length", b"+5")),
    malformed("8.1.1 two content-lengths", *FIELDS, (b"content-length", b"6"), (b"content-length", b"5")),
    resets(
        PROTOCOL_ERROR,
        "8.1.1 content-length without a body",
        head(1, literal(b"content-length", b"5"), END_HEADERS | END_STREAM),
    ),
    resets(
        PROTOCOL_ERROR,
        "8.1.1 content-length and half the body",
        head(1, literal(b"content-length", b"9")) + data(1, bytes(5)) + frame(DATA, 1, 1, bytes(3)),
    ),
    tolerated("8.1.1 the right content-length", call(1, literal(b"content-length", b"5"))),
    with_field("8.2.1", b"X-Up", b"1"),
    with_field("8.2.1", b"a b", b"1"),
    with_field("8.2.1", b"a:b", b"1"),
    with_field("8.2.1", b"a\x7f", b"1"),
    with_field("8.2.1", b"a\xff", b"1"),
    with_field("8.2.1", b"", b"1"),
    with_field("8.2.1", b"x", b"a\0b"),
    with_field("8.2.1", b"x", b"a\nb"),
    with_field("8.2.1", b"x", b"a\rb"),
    with_field("8.2.1", b"x", b" a"),
    with_field("8.2.1", b"x", b"a\t"),
    *(
        with_field("8.2.2", name, b"1")
        for name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
    ),
    malformed("8.2.2 te is not only trailers", *FIELDS[:-1], (b"te", b"trailers, gzip")),
    tolerated("8.2.3 cookies in crumbs", with_fields(*FIELDS, (b"cookie", b"a=1"), (b"cookie", b"b=2"))),
    with_field("8.3", b":other", b"1"),
    with_field("8.3", b":status", b"200"),
    malformed("8.3 a pseudo-field that nobody knows first", (b":other", b"1"), *FIELDS),
    malformed("8.3 a pseudo-field behind others", METHOD, SCHEME, TYPE, PATHS, TE),
    malformed("8.3.1 no :method", SCHEME, PATHS, AUTHORITY, TYPE, TE),
    malformed("8.3.1 no :scheme", METHOD, PATHS, AUTHORITY, TYPE, TE),
    malformed("8.3.1 no :path", METHOD, SCHEME, AUTHORITY, TYPE, TE),
    malformed("8.3.1 an empty :path", METHOD, SCHEME, (b":path", b""), AUTHORITY, TYPE, TE),
    malformed("8.3.1 :method twice", METHOD, *FIELDS),
    malformed("8.3.1 :scheme twice", SCHEME, *FIELDS),
    malformed("8.3.1 :path twice", PATHS, *FIELDS),
    malformed("8.5 CONNECT", (b":method", b"CONNECT"), AUTHORITY),
    tolerated("8.3.1 no :authority", with_fields(METHOD, SCHEME, PATHS, TYPE, TE)),
]


def undecodable(name: str, coded: bytes) -> Case:
    data = frame(HEADERS, END_HEADERS | END_STREAM, 1, coded)
    return ends(COMPRESSION_ERROR, f"RFC 7541 {name}", data)


ADDED = b"\x40\x01a\x01b"
"""A field that enters the table: a is b."""

HPACK = [
    undecodable("2.3.3 an index beyond both tables", GOOD + b"\xbe"),
    undecodable("2.3.3 a name beyond both tables", GOOD + b"\x7f\x00\x01a"),
    undecodable("4.2 a table above what was allowed", b"\x3f\xe2\x1f" + GOOD),
    undecodable("4.2 a table resized behind a field", GOOD + b"\x20"),
    undecodable("4.4 an index of what fell out of the table", b"\x20" + ADDED + b"\xbe" + GOOD),
    undecodable("5.1 an integer without end", GOOD + b"\xff" + b"\xff" * 9),
    undecodable("5.1 an integer cut off", GOOD + b"\xff\xff"),
    undecodable("5.2 a text cut off", GOOD + b"\x00\x05ab"),
    undecodable("5.2 a text of enormous length", GOOD + b"\x00\x7f\xff\xff\xff\x07ab"),
    undecodable("5.2 Huffman padding of more than seven bits", GOOD + b"\x00\x01a\x82\x1f\xff"),
    undecodable("5.2 Huffman padding of zeros", GOOD + b"\x00\x01a\x81\x18"),
    undecodable("5.2 the Huffman code of the end", GOOD + b"\x00\x01a\x84\xff\xff\xff\xff"),
    undecodable("6.1 index 0", GOOD + b"\x80"),
    tolerated(
        "RFC 7541 4.2 a table resized twice, first of all",
        frame(HEADERS, END_HEADERS, 1, b"\x20\x3f\xe1\x1f" + GOOD) + BODY,
    ),
    tolerated(
        "RFC 7541 4.4 a field larger than the table",
        frame(HEADERS, END_HEADERS, 1, b"\x3e" + GOOD + b"\x40\x01a\x0cbbbbbbbbbbbb") + BODY,
    ),
    tolerated("RFC 7541 6.2 a field never to be indexed", call(1, b"\x10\x01a\x01b")),
    tolerated(
        "RFC 7541 6.3 a table that is emptied and used again",
        call(1, ADDED)
        + frame(HEADERS, END_HEADERS, 3, b"\x20\x3f\xe1\x1f" + GOOD + ADDED + b"\xbe")
        + frame(DATA, 1, 3, EMPTY_MESSAGE),
    ),
]

MANY = 12_000
"""Frames that ask for nothing, above what a server that counts them bears."""
DEEP = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000
"""A field of 4000 bytes that enters the table."""

FLOODS = [
    ends(
        ENHANCE_YOUR_CALM,
        "CVE-2023-44487 streams begun and reset",
        b"".join(head(n) + reset(n) for n in range(1, MANY // 3, 2)),
    ),
    ends(
        ENHANCE_YOUR_CALM,
        "CVE-2025-8671 streams that the server must reset",
        b"".join(head(n) + window(n, 0) for n in range(1, MANY // 3, 2)),
    ),
    ends(
        ENHANCE_YOUR_CALM,
        "CVE-2024-27316 CONTINUATION without end",
        head(flags=0) + continued(flags=0, payload=b"\0" * 1000) * 100,
    ),
    ends(
        ENHANCE_YOUR_CALM, "CVE-2024-27316 CONTINUATION of nothing", head(flags=0) + continued(flags=0) * MANY
    ),
    ends(ENHANCE_YOUR_CALM, "CVE-2019-9512 pings", frame(PING, 0, 0, bytes(8)) * MANY),
    ends(ENHANCE_YOUR_CALM, "CVE-2019-9513 priorities", priority() * MANY),
    ends(ENHANCE_YOUR_CALM, "CVE-2019-9515 settings", settings() * MANY),
    ends(ENHANCE_YOUR_CALM, "CVE-2019-9518 DATA of nothing", head() + data() * MANY),
    ends(ENHANCE_YOUR_CALM, "10.5 DATA of nothing on a stream that was refused", REFUSED + data() * MANY),
    ends(ENHANCE_YOUR_CALM, "10.5 fields on a stream that was refused", REFUSED + head() * MANY),
    ends(ENHANCE_YOUR_CALM, "10.5 windows of a stream that is over", call() + window(1, 2000) * MANY),
    ends(ENHANCE_YOUR_CALM, "10.5 windows by nothing of a stream that is over", call() + window(1, 0) * MANY),
    ends(ENHANCE_YOUR_CALM, "10.5 frames that nobody knows", frame(UNKNOWN, 0, 0) * MANY),
    ends(
        ENHANCE_YOUR_CALM,
        "10.5.1 one field again and again from the table",
        frame(HEADERS, END_HEADERS, 1, GOOD + DEEP + b"\xbe" * 20),
    ),
]

CASES = [*PREFACE, *FRAMES, *STATES, *TYPES, *MESSAGES, *HPACK, *FLOODS]


@dataclass(frozen=True)
class Outcome:
    """What a server made of it."""

    ends: int | None
    resets: dict[int, int]
    answered: bool
    """The request behind it was answered, well."""
    pinged: bool
    """The ping behind it was answered."""


def frames_of(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload; nothing may be left."""
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        assert len(data) >= 9 + size, "half a frame"
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def outcome(case: Case, data: bytes) -> Outcome:
    """What a server's bytes say, fields and all; what went before the end of a connection is left out."""
    decoder, ends, resets, answered, pinged = Decoder(), None, dict[int, int](), False, False
    for kind, flags, stream, payload in frames_of(data):
        if kind == GOAWAY:
            ends = int.from_bytes(payload[4:8], "big")
        elif kind == RST_STREAM:
            assert stream not in resets, "reset twice"
            resets[stream] = int.from_bytes(payload, "big")
        elif kind == HEADERS:
            fields = dict(decoder.decode(payload, raw=True))
            answered |= stream == LAST and bool(flags & END_STREAM) and fields.get(b"grpc-status") == b"0"
        elif kind == PING:
            pinged |= bool(flags & ACK) and payload == STILL_THERE
    return Outcome(ends, resets if case.ends is None else {}, answered, pinged)


def demanded(case: Case) -> Outcome:
    """What should come of it."""
    goes_on = case.ends is None
    resets = {} if case.resets is None else {case.stream: case.resets}
    return Outcome(case.ends, resets, goes_on, goes_on)
