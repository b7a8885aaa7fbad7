"""HTTP/1.1 on one connection, without a socket; h11 is the independent reading of the same standard."""

from collections.abc import Callable
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.runtime.http1.bodies import Chunks
from serving.runtime.http1.head import MAX_HEAD_BYTES, parse_head
from serving.runtime.http1.wire import Http1
from serving.runtime.problems import RequestError
from serving.runtime.transport import Head, Headers, Respond

PEER = "192.0.2.1:4711"


class Turns:
    """A loop that runs what should run soon when told to."""

    now_s, date = 100.0, b"date: Mon, 23 Nov 2026 16:00:00 GMT\r\n"

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def settle(self) -> None:
        """Nothing is left for the end of a turn here."""

    def turn(self) -> None:
        while self.calls:
            self.calls.pop(0)()


class Line:
    """A connection whose client takes everything at once."""

    def __init__(self) -> None:
        self.loop, self.peer = Turns(), PEER
        self.out = b""
        self.sending = self.closed = self.lingers = self.muted = False

    @property
    def alive(self) -> bool:
        return not self.closed

    def send(self, data: bytes) -> None:
        self.out += data

    def close(self) -> None:
        self.closed = True

    def linger(self) -> None:
        self.lingers = True

    def mute(self) -> None:
        self.muted = True

    def open(self) -> None:
        self.muted = False


class Echo:
    """Answers method, path, query and body; `/wait` only when the test says so, `/fail` not at all."""

    max_body_bytes = 1000

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.refused: list[int] = []

    def at_once(self, head: Head) -> tuple[int, Headers, bytes] | None:
        return (404, [], b"no") if head.path == "/nowhere" else None

    def answer(self, head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
        assert start_ns > 0
        if head.path == "/fail":
            raise ZeroDivisionError
        text = f"{head.method} {head.path} {head.query_string} ".encode() + body
        if head.path == "/wait":
            self.waiting.append(lambda: respond(200, [("x-kind", "late")], text))
        else:
            respond(200, [("x-kind", "echo")], text)

    def refuse(self, status: int, message: str) -> tuple[int, Headers, bytes]:
        self.refused.append(status)
        return status, [], message.encode()


class Client:
    """One wire, its application and its line."""

    def __init__(self) -> None:
        self.line, self.app = Line(), Echo()
        self.wire = Http1(self.app, None, self.line)  # type: ignore[arg-type]  # what it needs of a connection

    def sends(self, *parts: bytes) -> None:
        for part in parts:
            self.wire.received(part)
            self.line.loop.turn()

    def answers(self, methods: list[bytes]) -> list[tuple[int, bytes]]:
        """What h11 makes of what was sent, one answer for each request."""
        found = []
        ours = self.line.out
        for method in methods:
            client = h11.Connection(h11.CLIENT)
            client.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"h")]))
            client.send(h11.EndOfMessage())
            client.receive_data(ours)
            status, body = 0, b""
            while not isinstance(event := client.next_event(), h11.EndOfMessage):
                assert not isinstance(event, type(h11.NEED_DATA)), ours
                if isinstance(event, h11.Response):
                    status = event.status_code
                if isinstance(event, h11.Data):
                    body += event.data
            found.append((status, body))
            ours = client.trailing_data[0]
        assert ours == b""
        return found


def post(path: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "host: h", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def in_chunks(path: str, *parts: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


STREAM = (
    post("/a?x=1", b"one")
    + b"\r\n"  # some clients end a body with an empty line; RFC 9112, 2.2
    + post("/a?x=1", b"one")
    + in_chunks("/b", b"two ", b"three")
    + b"GET /none HTTP/1.1\r\nhost: h\r\n\r\n"
    + post("/nowhere", b"dropped")
    + post("/caf%C3%A9", b"")
    + post("/fail", b"x")
    + post("/last", b"4")
)
ANSWERED = [
    (200, b"POST /a x=1 one"),
    (200, b"POST /a x=1 one"),
    (200, b"POST /b  two three"),
    (200, b"GET /none  "),
    (404, b"no"),
    (200, "POST /café  ".encode()),
    (500, b'{"error":"internal error"}'),
    (200, b"POST /last  4"),
]
METHODS = [b"POST", b"POST", b"POST", b"GET", b"POST", b"POST", b"POST", b"POST"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_requests_are_answered_in_order_however_their_bytes_arrive(cuts: list[int]) -> None:
    client = Client()
    edges = [0, *sorted(cuts), len(STREAM)]
    client.sends(*(STREAM[a:b] for a, b in pairwise(edges) if a < b))

    assert client.answers(METHODS) == ANSWERED
    assert not client.line.closed


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_a_chunked_body_is_what_its_chunks_hold(parts: list[bytes], data: st.DataObject) -> None:
    writer = h11.Connection(h11.CLIENT)
    headers = [(b"host", b"h"), (b"transfer-encoding", b"chunked")]
    writer.send(h11.Request(method=b"POST", target=b"/", headers=headers))
    wire = b"".join(writer.send(h11.Data(data=part)) or b"" for part in parts) + (
        writer.send(h11.EndOfMessage(headers=[(b"x-sum", b"1")])) or b""
    )
    body = Chunks(10_000)
    at = 0
    stream = wire + b"NEXT"
    while body.rest is None:
        step = data.draw(st.integers(1, len(stream) - at))
        body.feed(stream[at : at + step])
        at += step

    assert body.whole() == b"".join(parts)
    assert b"NEXT".startswith(body.rest + stream[at:]) or body.rest + stream[at:] == b"NEXT"


@given(st.binary(max_size=300))
def test_no_bytes_break_a_connection(data: bytes) -> None:
    client = Client()
    client.sends(data)
    client.wire.ended()
    client.line.loop.turn()

    assert client.line.closed or client.line.lingers


@given(st.binary(min_size=1, max_size=60), st.integers(0, 80))
def test_what_a_head_means_is_what_h11_says_or_it_is_refused(noise: bytes, at: int) -> None:
    good = b"POST /p?q HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX-A: 1\r\nX-A: 2\r\n"
    at = min(at, len(good))
    head = good[:at] + noise.replace(b"\r\n\r\n", b"") + good[at:] + b"\r\n"
    if b"\r\n\r\n" in head[:-4]:
        return
    try:
        ours = parse_head(head, PEER)
    except RequestError:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(head)
    try:
        theirs = server.next_event()
    except h11.RemoteProtocolError:
        return  # stricter than llhttp in what a value may hold; never in how long the body is
    assert isinstance(theirs, h11.Request)
    lengths = [value for name, value in theirs.headers if name == b"content-length"]
    assert (ours.method.encode(), ours.length) == (theirs.method, int(lengths[0]) if lengths else 0)


def test_a_head_shows_what_was_sent() -> None:
    head = parse_head(
        b"GET http://h:1/v2?a=b HTTP/1.1\r\nHost: h\r\nX-Id:  5 \r\nx-id: 6\r\nExpect: 100-Continue\r\n\r\n",
        PEER,
    )

    assert (head.method, head.path, head.query_string, head.client) == ("GET", "/v2", "a=b", PEER)
    assert head.headers == {"host": "h", "x-id": "5, 6", "expect": "100-Continue"}
    assert (head.keep_alive, head.waits, head.length, head.chunked) == (True, True, 0, False)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("POST / HTTP/1.1\r\ncontent-length: 1", "host"),
        ("POST / HTTP/1.1\r\nhost: h\r\nhost: h", "found 2"),
        ("POST / HTTP/1.1\r\nHost: h\r\nx: y\r\nhost: other", "found 2"),
        ("POST / HTTP/1.0\r\nhost: h\r\nhost: other", "found 2"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2", "no HTTP/1.1 request"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked", "request"),
        ("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked", "not read"),
        ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +1", "request"),
        ("POST / HTTP/1.1\r\nhost: h\r\nno colon", "no HTTP/1.1 request"),
        ("POST / HTTP/1.1\r\nhost: h\r\n folded: x", "no HTTP/1.1 request"),
        ("POST / HTTP/1.0\r\ntransfer-encoding: chunked", "chunked"),
        ("PRI * HTTP/2.0", "request"),
        ("hello", "no HTTP/1.1 request"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read(head: str, said: str) -> None:
    client = Client()
    client.sends(head.encode() + b"\r\n\r\n" + post("/smuggled", b""))

    assert client.line.out.startswith(b"HTTP/1.1 4")
    assert said.encode() in client.line.out
    assert b"smuggled" not in client.line.out
    assert client.line.lingers


def test_a_later_answer_comes_before_the_next_request_is_begun() -> None:
    client = Client()
    client.sends(post("/wait", b"1") + post("/a", b"2"), post("/b", b"3"))
    assert client.line.out == b""

    client.app.waiting[0]()
    client.line.loop.turn()

    bodies = [body for _, body in client.answers([b"POST"] * 3)]
    assert bodies == [b"POST /wait  1", b"POST /a  2", b"POST /b  3"]


def test_a_client_that_sends_ahead_without_end_is_not_heard_until_it_has_its_answer() -> None:
    client = Client()
    client.sends(post("/wait", b"1"))
    client.sends(*[b"POST /a HTTP/1.1\r\nhost: h\r\nx: " + b"y" * 60_000] * 5)

    assert client.line.muted
    client.app.waiting[0]()
    client.line.loop.turn()
    assert b"HTTP/1.1 431" in client.line.out


def test_nothing_is_begun_while_the_client_does_not_read() -> None:
    client = Client()
    client.line.sending = True
    client.sends(post("/a", b"1"))
    assert client.line.out == b""

    client.line.sending = False
    client.wire.sent()
    assert client.answers([b"POST"]) == [(200, b"POST /a  1")]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post("/a", b"x" * 1001), b"413"),
        (in_chunks("/a", b"x" * 600, b"x" * 600), b"413"),
        (b"POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET /" + b"a" * MAX_HEAD_BYTES, b"414"),
    ],
)
def test_what_is_too_much_is_refused_and_the_client_heard_out(request_bytes: bytes, status: bytes) -> None:
    client = Client()
    client.sends(request_bytes)

    assert client.line.out.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in client.line.out
    assert client.line.lingers


def test_a_large_body_that_nobody_wants_ends_the_connection() -> None:
    client = Client()
    client.sends(b"POST /nowhere HTTP/1.1\r\nhost: h\r\ncontent-length: 70000\r\n\r\n", b"x" * 70_000)

    assert client.answers([b"POST"]) == [(404, b"no")]
    assert client.line.lingers


def test_a_client_that_waits_for_leave_gets_it() -> None:
    client = Client()
    whole = post("/a", b"body", "expect: 100-continue")
    client.sends(whole[:-4])
    assert client.line.out == b"HTTP/1.1 100 Continue\r\n\r\n"

    client.sends(whole[-4:])
    assert b"POST /a  body" in client.line.out


@pytest.mark.parametrize(
    ("version", "header", "said", "closed"),
    [
        ("1.1", "x: y", b"", False),
        ("1.1", "connection: close", b"connection: close", True),
        ("1.0", "x: y", b"connection: close", True),
        ("1.0", "connection: keep-alive", b"connection: keep-alive", False),
    ],
)
def test_a_connection_stays_as_long_as_its_client_wants(
    version: str, header: str, said: bytes, closed: bool
) -> None:
    client = Client()
    client.sends(post("/a", b"1", header, version=version))

    assert said in client.line.out
    assert client.line.closed is closed


def test_head_is_answered_without_a_body() -> None:
    client = Client()
    client.sends(b"HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n")

    assert client.line.out.endswith(b"content-length: 9\r\n\r\n")


def test_a_body_that_never_comes_whole_is_a_400_and_counted() -> None:
    client = Client()
    client.sends(post("/a", b"body")[:-1])
    client.wire.ended()

    assert client.line.out.startswith(b"HTTP/1.1 400")
    assert client.app.refused == [400]


def test_silence_is_ended() -> None:
    slow, idle = Client(), Client()
    slow.sends(b"POST /a HTTP/1.1\r\n")
    idle.sends(post("/a", b"1"))
    for client in (slow, idle):
        client.wire.overdue(131.0)
    assert slow.line.out.startswith(b"HTTP/1.1 408")
    assert not idle.line.closed

    idle.wire.overdue(100.0 + 3 * 3600)
    assert idle.line.closed


def test_draining_answers_what_is_under_way_and_closes() -> None:
    busy, idle = Client(), Client()
    busy.sends(post("/wait", b"1") + post("/a", b"2"))
    for client in (busy, idle):
        client.wire.drain()
    assert idle.line.closed
    assert not busy.line.closed

    busy.app.waiting[0]()
    busy.line.loop.turn()
    assert busy.answers([b"POST"]) == [(200, b"POST /wait  1")]
    assert busy.line.closed


def test_a_header_cannot_be_split() -> None:
    client = Client()
    client.app.refuse(400, "")
    client.wire.respond(200, [("x-echo", "a\r\nset-cookie: b")], b"")

    assert b"x-echo: a  set-cookie: b\r\n" in client.line.out


def test_a_body_under_way_is_not_cut_off_by_what_went_out_before_it() -> None:
    client = Client()
    whole = in_chunks("/a", b"x" * 500)
    client.sends(post("/a", b"1") + whole[:-100])
    client.wire.sent()  # the client has taken the first answer only now
    assert not client.line.lingers

    client.sends(whole[-100:])
    assert client.answers([b"POST"] * 2)[1] == (200, b"POST /a  " + b"x" * 500)


def test_a_client_that_sends_no_more_gets_what_it_asked_for_before() -> None:
    client = Client()
    client.sends(post("/wait", b"1") + post("/a", b"2"))
    client.app.waiting[0]()
    client.wire.ended()  # before the loop comes to what waits
    client.line.loop.turn()

    assert [body for _, body in client.answers([b"POST"] * 2)] == [b"POST /wait  1", b"POST /a  2"]
    assert client.line.closed


def test_a_last_request_is_heard_to_its_end_where_nobody_wants_its_body() -> None:
    client = Client()
    client.sends(post("/nowhere", b"body", "connection: close")[:-4])

    assert client.line.out.startswith(b"HTTP/1.1 404")
    assert client.line.lingers


def test_no_next_request_is_taken_for_the_body_of_one_that_got_no_leave() -> None:
    client = Client()
    client.sends(b"POST /nowhere HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n")

    assert b"connection: close" in client.line.out
    assert client.line.lingers


def test_a_chunk_of_two_readings_is_refused() -> None:
    for line in (b"3;a\nb\r\n", b"3;a\rb\r\n"):
        with pytest.raises(RequestError):
            Chunks(100).feed(line + b"abc\r\n0\r\n\r\n")


class Doorkeeper(Echo):
    """Wants to see every answer; `/broken` is what it stumbles over."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, int]] = []

    def open(self, head: Head, respond: Respond) -> Respond | None:
        if head.path == "/broken":
            raise ZeroDivisionError

        def reply(status: int, headers: Headers, body: bytes) -> None:
            self.seen.append((head.path, status))
            respond(status, headers, body)

        return reply


@pytest.mark.parametrize(("then", "status"), [(b"POST /b HT", b"408"), (post("/broken", b""), b"500")])
def test_the_next_requests_failure_is_not_told_of_the_one_before(then: bytes, status: bytes) -> None:
    client, door = Client(), Doorkeeper()
    client.wire = Http1(door, door, client.line)  # type: ignore[arg-type]  # what it needs of a connection
    client.sends(post("/a", b"1"), then)
    client.wire.overdue(131.0)

    assert b"HTTP/1.1 " + status in client.line.out
    assert door.seen == [("/a", 200)]
