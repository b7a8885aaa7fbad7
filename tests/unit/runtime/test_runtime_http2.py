"""HTTP/2 without a socket: against the `h2` library, in any pieces, and whatever a client may send."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from random import Random
from time import monotonic

import h2.events
import pytest
from h2.settings import SettingCodes
from hpack import Decoder, Encoder, HPACKError
from http2_talking import (
    HEAD,
    PATH,
    Client,
    Echo,
    connected,
    goaway_code,
    greeting,
    kinds,
    parsed,
    request,
    reset_codes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.runtime.grpc import frames
from serving.runtime.grpc.fields import FieldReader, Fields, field
from serving.runtime.grpc.heads import RequestHead
from serving.runtime.grpc.http2 import MAX_STREAMS
from serving.runtime.grpc.inflow import Inflow
from serving.runtime.grpc.packing import packed
from serving.runtime.grpc.patience import LIMIT
from serving.runtime.grpc.streams import Stream

F = frames


def test_another_implementation_gets_its_answers() -> None:
    server, link, _ = connected()
    client = Client(server, link)
    for number, size in ((1, 0), (3, 10), (5, 100_000), (7, 900_000)):
        body = packed(Random(size).randbytes(size))  # noqa: S311 - bytes to try, no secret
        client.ask(number, body)
        while client.body(number) != body:
            client.acknowledge(number)
        assert client.trailers(number) == {b"grpc-status": b"0"}
        head = dict(client.of(number, h2.events.ResponseReceived)[0].headers)
        assert (head[b":status"], head[b"x-revision"]) == (b"200", b"r1")
    assert server.idle_since_s is not None


def test_many_streams_at_one_time_do_not_mix() -> None:
    server, link, taker = connected(Echo(late=True))
    client = Client(server, link)
    numbers = range(1, 41, 2)
    for number in numbers:
        client.h2.send_headers(number, HEAD)
    for number in reversed(numbers):
        client.h2.send_data(number, packed(b"%d" % number), end_stream=True)
    client.talk()
    Random(1).shuffle(taker.kept)  # noqa: S311 - bytes to try, no secret
    for answer in taker.kept:
        answer()
    client.talk()

    assert [client.body(number) for number in numbers] == [packed(b"%d" % number) for number in numbers]


def test_a_small_window_holds_one_stream_back_and_no_other() -> None:
    server, link, _ = connected()
    server.received(
        greeting({F.INITIAL_WINDOW_SIZE: 4}) + request(1, packed(b"abcdef")) + request(3, packed(b"")[:4])
    )
    first = parsed(link.take())
    assert [(number, data) for kind, _, number, data in first if kind == F.DATA] == [
        (1, b"\0\0\0\0"),
        (3, b"\0\0\0\0"),
    ]
    server.received(F.more(1, 3))
    assert [data for kind, _, _, data in parsed(link.take()) if kind == F.DATA] == [b"\x06ab"]
    server.received(F.settings({F.INITIAL_WINDOW_SIZE: 6}))
    found = parsed(link.take())
    assert [data for kind, _, _, data in found if kind == F.DATA] == [b"cd", b"\0"]
    server.received(F.more(1, 100))
    ended = parsed(link.take())
    assert [data for kind, _, _, data in ended if kind == F.DATA] == [b"ef"]
    assert ended[-1][:3] == (F.HEADERS, F.END_HEADERS | F.END_STREAM, 1)


def test_a_window_may_fall_below_nothing() -> None:
    server, link, _ = connected()
    server.received(greeting({F.INITIAL_WINDOW_SIZE: 8}) + request(1, packed(b"abcdef")))
    link.take()
    server.received(F.settings({F.INITIAL_WINDOW_SIZE: 0}) + F.more(1, 8))
    assert F.DATA not in kinds(link.take())
    server.received(F.more(1, 3))
    assert [data for kind, _, _, data in parsed(link.take()) if kind == F.DATA] == [b"def"]


def test_the_connections_window_holds_all_streams_back() -> None:
    server, link, _ = connected()
    body = packed(bytes(40_000))
    server.received(greeting({F.INITIAL_WINDOW_SIZE: 1 << 20}))
    link.take()
    for number in (1, 3):
        server.received(_parts(number, body))
    sent = sum(len(data) for kind, _, _, data in parsed(link.take()) if kind == F.DATA)
    assert sent == F.DEFAULT_WINDOW
    server.received(F.more(0, 100_000))
    found = parsed(link.take())
    assert sent + sum(len(data) for kind, _, _, data in found if kind == F.DATA) == 2 * len(body)
    assert found[-1][2] == 3


def _parts(number: int, body: bytes, size: int = 16_384) -> bytes:
    head, *_ = [request(number, b"")[:-9]]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    data = [F.frame(F.DATA, F.END_STREAM * (piece is pieces[-1]), number, piece) for piece in pieces]
    return head + b"".join(data)


def test_what_a_client_sent_it_may_send_again() -> None:
    server, link, _ = connected()
    server.received(greeting({F.INITIAL_WINDOW_SIZE: 1 << 30}) + F.more(0, 1 << 30))
    link.take()
    allowed = 0
    for number in range(1, 21, 2):
        server.received(_parts(number, packed(bytes(900_000))))
        allowed += sum(
            int.from_bytes(data, "big")
            for kind, _, on, data in parsed(link.take())
            if (kind, on) == (F.WINDOW_UPDATE, 0)
        )
    assert Inflow.CONNECTION / 2 <= 10 * 900_005 - allowed + Inflow.CONNECTION / 2 <= Inflow.CONNECTION


def heard(data: bytes, cuts: Sequence[int]) -> tuple[bytes, bool]:
    """What comes of bytes that come in pieces, cut anywhere."""
    server, link, _ = connected()
    edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    for begin, end in pairwise(edges):
        server.received(data[begin:end])
    return link.out, link.closed


def conversation(choose: Random) -> bytes:
    """Valid frames for the most part, a damaged one now and then."""
    encoder, data, number = Encoder(), greeting({F.INITIAL_WINDOW_SIZE: choose.choice([0, 20, 65_535])}), 1
    for _ in range(choose.randrange(1, 12)):
        match choose.randrange(8):
            case 0 | 1 | 2:
                extra = [(b"x-%d" % choose.randrange(3), b"v" * choose.randrange(30))] * choose.randrange(2)
                data += request(number, packed(choose.randbytes(choose.randrange(60))), encoder, HEAD + extra)
                number += 2
            case 3:
                data += F.frame(F.PING, 0, 0, choose.randbytes(8))
            case 4:
                data += F.more(choose.choice([0, max(1, number - 2)]), choose.randrange(1, 2000))
            case 5:
                data += F.reset(max(1, number - 2), F.CANCEL)
            case 6:
                block = encoder.encode(HEAD)
                cut = choose.randrange(len(block))
                data += F.frame(F.HEADERS, F.END_STREAM, number, block[:cut])
                data += F.frame(F.CONTINUATION, F.END_HEADERS, number, block[cut:])
                number += 2
            case _:
                data += F.frame(
                    choose.randrange(12),
                    choose.randrange(256),
                    choose.randrange(number + 2),
                    choose.randbytes(9),
                )
    return data


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 1 << 32), cuts=st.lists(st.integers(0, 600), max_size=30))
def test_in_whatever_pieces_bytes_come_the_answer_is_the_same(seed: int, cuts: list[int]) -> None:
    data = conversation(Random(seed))  # noqa: S311 - bytes to try, no secret

    assert heard(data, cuts) == heard(data, [])


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 1 << 32), noise=st.binary(max_size=60))
def test_whatever_comes_goes_out_as_whole_frames_or_an_end(seed: int, noise: bytes) -> None:
    choose = Random(seed)  # noqa: S311 - bytes to try, no secret
    data = bytearray(conversation(choose))
    for _ in range(choose.randrange(6)):
        data[choose.randrange(24, len(data))] = choose.randrange(256)
    server, link, _ = connected()
    server.received(bytes(data) + noise)
    server.received(noise)
    out = parsed(link.out)

    assert out[0][0] == F.SETTINGS
    assert link.closed == (goaway_code(link.out) is not None)
    server.ended()
    assert link.closed


@given(st.binary(min_size=1, max_size=40))
def test_who_speaks_no_http2_is_sent_away_without_a_word(data: bytes) -> None:
    server, link, _ = connected()
    server.received(data)

    assert link.closed == (data[:24] != F.PREFACE[: len(data)])
    assert not link.out


HEADERS_1 = F.frame(F.HEADERS, F.END_HEADERS, 1, Encoder().encode(HEAD))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(F.frame(F.PING, 0, 0, bytes(7)), F.FRAME_SIZE_ERROR, id="ping-size"),
        pytest.param(F.frame(F.PING, 0, 1, bytes(8)), F.PROTOCOL_ERROR, id="ping-stream"),
        pytest.param(F.frame(F.SETTINGS, 0, 0, bytes(5)), F.FRAME_SIZE_ERROR, id="settings-size"),
        pytest.param(F.frame(F.SETTINGS, F.ACK, 0, bytes(6)), F.FRAME_SIZE_ERROR, id="ack-with-settings"),
        pytest.param(F.frame(F.SETTINGS, 0, 1), F.PROTOCOL_ERROR, id="settings-stream"),
        pytest.param(F.settings({F.ENABLE_PUSH: 2}), F.PROTOCOL_ERROR, id="push"),
        pytest.param(F.settings({F.INITIAL_WINDOW_SIZE: 1 << 31}), F.FLOW_CONTROL_ERROR, id="window"),
        pytest.param(F.settings({F.MAX_FRAME_SIZE: 16_383}), F.PROTOCOL_ERROR, id="frame-size"),
        pytest.param(F.opening(65_537, F.DATA, 0) + bytes(4), F.FRAME_SIZE_ERROR, id="too-large"),
        pytest.param(F.frame(F.DATA, 0, 0, b"a"), F.PROTOCOL_ERROR, id="data-of-none"),
        pytest.param(F.frame(F.DATA, 0, 1, b"a"), F.PROTOCOL_ERROR, id="data-of-idle"),
        pytest.param(F.frame(F.HEADERS, F.END_HEADERS, 2, b""), F.PROTOCOL_ERROR, id="even"),
        pytest.param(F.frame(F.HEADERS, F.END_HEADERS, 1, b"\xff\xff"), F.COMPRESSION_ERROR, id="hpack"),
        pytest.param(F.frame(F.HEADERS, F.END_HEADERS, 1, b"\xc0"), F.COMPRESSION_ERROR, id="index"),
        pytest.param(F.frame(F.HEADERS, F.PADDED, 1, b"\x09a"), F.PROTOCOL_ERROR, id="padding"),
        pytest.param(F.frame(F.CONTINUATION, 0, 1, b""), F.PROTOCOL_ERROR, id="continues-nothing"),
        pytest.param(
            F.frame(F.HEADERS, 0, 1, b"") + F.frame(F.PING, 0, 0, bytes(8)),
            F.PROTOCOL_ERROR,
            id="interrupted",
        ),
        pytest.param(F.frame(F.PUSH_PROMISE, 0, 1, bytes(4)), F.PROTOCOL_ERROR, id="push-promise"),
        pytest.param(F.frame(F.RST_STREAM, 0, 1, bytes(4)), F.PROTOCOL_ERROR, id="reset-of-idle"),
        pytest.param(HEADERS_1 + F.frame(F.RST_STREAM, 0, 1, bytes(3)), F.FRAME_SIZE_ERROR, id="reset-size"),
        pytest.param(F.more(0, 0), F.PROTOCOL_ERROR, id="no-window"),
        pytest.param(F.more(0, F.LARGEST_WINDOW), F.FLOW_CONTROL_ERROR, id="window-overflow"),
        pytest.param(F.more(3, 1), F.PROTOCOL_ERROR, id="window-of-idle"),
        pytest.param(request(1, b"") + request(1, b""), F.STREAM_CLOSED, id="stream-again"),
        pytest.param(F.frame(F.GOAWAY, 0, 0, bytes(7)), F.FRAME_SIZE_ERROR, id="goaway-size"),
        pytest.param(F.frame(F.PRIORITY, 0, 0, bytes(5)), F.PROTOCOL_ERROR, id="priority-of-none"),
        pytest.param(
            F.frame(F.HEADERS, 0, 1, bytes(20_000)) + F.frame(F.CONTINUATION, 0, 1, bytes(20_000)),
            F.ENHANCE_YOUR_CALM,
            id="continuation-flood",
        ),
        pytest.param(
            F.frame(F.HEADERS, 0, 1) + F.frame(F.CONTINUATION, 0, 1) * (LIMIT + 1),
            F.ENHANCE_YOUR_CALM,
            id="empty-flood",
        ),
        pytest.param(F.frame(F.PING, 0, 0, bytes(8)) * (LIMIT + 1), F.ENHANCE_YOUR_CALM, id="ping-flood"),
        pytest.param(F.settings({}) * (LIMIT + 1), F.ENHANCE_YOUR_CALM, id="settings-flood"),
        pytest.param(
            HEADERS_1 + F.frame(F.DATA, 0, 1) * (LIMIT + 1), F.ENHANCE_YOUR_CALM, id="empty-data-flood"
        ),
        pytest.param(
            F.frame(F.HEADERS, F.END_HEADERS, 1, Encoder().encode([(b"a", b"b" * 4000)]) + b"\xbe" * 20),
            F.ENHANCE_YOUR_CALM,
            id="hpack-bomb",
        ),
    ],
)
def test_a_broken_protocol_ends_the_connection_and_says_why(data: bytes, code: int) -> None:
    server, link, _ = connected()
    server.received(greeting() + data + F.frame(F.PING, 0, 0, b"too late"))

    assert goaway_code(link.out) == code
    assert link.closed
    assert b"too late" not in link.out


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(
            request(1, b"abc")[:-3] + b"abc" + F.frame(F.DATA, 0, 1, b"x"),
            F.STREAM_CLOSED,
            id="after-its-end",
        ),
        pytest.param(HEADERS_1 + F.more(1, 0), F.PROTOCOL_ERROR, id="no-window"),
        pytest.param(HEADERS_1 + F.more(1, F.LARGEST_WINDOW), F.FLOW_CONTROL_ERROR, id="window-overflow"),
        pytest.param(HEADERS_1 + HEADERS_1, F.PROTOCOL_ERROR, id="trailers-that-end-nothing"),
        pytest.param(HEADERS_1 + F.frame(F.PRIORITY, 0, 1, b""), F.FRAME_SIZE_ERROR, id="priority-size"),
        pytest.param(
            request(1, b"abc", None, [*HEAD, (b"content-length", b"4")]), F.PROTOCOL_ERROR, id="length"
        ),
        pytest.param(request(1, b"", None, HEAD[1:]), F.PROTOCOL_ERROR, id="no-method"),
        pytest.param(request(1, b"", None, [*HEAD, (b":path", PATH)]), F.PROTOCOL_ERROR, id="path-behind"),
        pytest.param(request(1, b"", None, [*HEAD, (b"X-Up", b"")]), F.PROTOCOL_ERROR, id="upper-case"),
        pytest.param(
            request(1, b"", None, [*HEAD, (b"connection", b"close")]), F.PROTOCOL_ERROR, id="connection"
        ),
        pytest.param(request(1, b"", None, [*HEAD, (b"x", b"a\nb")]), F.PROTOCOL_ERROR, id="line-end"),
    ],
)
def test_a_broken_stream_is_reset_and_the_others_go_on(data: bytes, code: int) -> None:
    server, link, _ = connected()
    server.received(greeting() + data + request(3, packed(b"next")))

    assert reset_codes(link.out) == {1: code}
    assert any(kind == F.DATA and number == 3 for kind, _, number, _ in parsed(link.out))


def test_streams_that_are_reset_keep_their_place_while_they_are_worked_on() -> None:
    server, link, taker = connected(Echo(late=True))
    encoder = Encoder()
    server.received(greeting())
    for number in range(1, 2 * MAX_STREAMS, 2):
        server.received(request(number, packed(b""), encoder) + F.reset(number, F.CANCEL))
    link.take()
    late = 2 * MAX_STREAMS + 1
    server.received(request(late, packed(b""), encoder))
    assert reset_codes(link.take()) == {late: F.REFUSED_STREAM}
    taker.kept.pop(0)()
    assert link.take() == b""  # nobody waits for it
    server.received(request(late + 2, packed(b""), encoder))
    assert reset_codes(link.take()) == {}
    assert len(taker.taken) == MAX_STREAMS + 1


def test_resetting_without_end_ends_the_connection_and_working_pays_for_it() -> None:
    server, link, _ = connected()
    encoder, number = Encoder(), 1
    server.received(greeting())
    head = F.frame(F.HEADERS, F.END_HEADERS, 1, encoder.encode(HEAD))
    warm = encoder.encode(HEAD)
    server.received(head + F.reset(1, F.CANCEL))
    for _ in range(2 * LIMIT // 10):
        number += 2
        ask = F.frame(F.HEADERS, F.END_HEADERS, number, warm) + F.frame(F.DATA, 1, number, packed(b""))
        server.received(ask)
        number += 2
        server.received(F.frame(F.HEADERS, F.END_HEADERS, number, warm) + F.reset(number, F.CANCEL))
    assert not link.closed
    while not link.closed:
        number += 2
        server.received(F.frame(F.HEADERS, F.END_HEADERS, number, warm) + F.reset(number, F.CANCEL))
        assert number < 12 * LIMIT
    assert goaway_code(link.out) == F.ENHANCE_YOUR_CALM


def test_what_is_too_large_is_refused_before_it_is_whole() -> None:
    server, link, taker = connected()
    client = Client(server, link)
    client.h2.send_headers(1, HEAD)
    for _ in range(70):
        if client.of(1, h2.events.StreamReset):
            break
        client.h2.send_data(1, bytes(16_384))
        client.talk()
    head = dict(client.of(1, h2.events.ResponseReceived)[0].headers)
    assert (head[b"grpc-status"], head[b"grpc-message"]) == (b"8", b"too large")
    assert [event.error_code for event in client.of(1, h2.events.StreamReset)] == [F.NO_ERROR]
    server.received(F.frame(F.DATA, 0, 1, bytes(100)))  # was on its way
    assert not link.out
    client.ask(3, packed(b"x"))
    assert taker.taken == [packed(b"x")]


def test_draining_answers_what_came_before_the_client_knew() -> None:
    server, link, taker = connected(Echo(late=True))
    encoder = Encoder()
    server.received(greeting() + request(1, packed(b"a"), encoder))
    link.take()
    server.drain()
    (_, _, _, goaway), (_, _, _, ping) = parsed(link.take())
    assert int.from_bytes(goaway[:4], "big") == F.LARGEST_WINDOW
    server.received(request(3, packed(b"b"), encoder) + F.frame(F.PING, F.ACK, 0, ping))
    assert int.from_bytes(parsed(link.take())[-1][3][:4], "big") == 3
    server.received(request(5, packed(b"c"), encoder))
    assert reset_codes(link.take()) == {5: F.REFUSED_STREAM}
    for answer in taker.kept:
        assert not link.closed
        answer()
    assert link.closed
    assert [number for kind, _, number, _ in parsed(link.out) if kind == F.DATA] == [1, 3]


def test_draining_waits_for_the_clients_window() -> None:
    server, link, _ = connected()
    server.received(
        greeting({F.INITIAL_WINDOW_SIZE: 3}) + request(1, packed(b"a")) + request(3, packed(b"b"))
    )
    server.drain()
    server.received(F.frame(F.PING, F.ACK, 0, parsed(link.take())[-1][3]) + F.reset(3, F.CANCEL))
    assert not link.closed
    server.received(F.more(1, 3))
    assert link.closed
    assert kinds(link.out)[-2:] == [F.DATA, F.HEADERS]


def test_a_client_that_never_says_it_heard_is_left_all_the_same() -> None:
    server, link, _ = connected()
    server.received(greeting())
    server.drain()
    for now_s in (100.0, 101.0, 102.0, 103.0):
        server.overdue(now_s)
    assert link.closed


def test_a_client_that_sends_no_more_gets_its_answer() -> None:
    server, link, taker = connected(Echo(late=True))
    server.received(greeting() + request(1, packed(b"a")) + request(3, packed(b"b"))[:-2])
    server.ended()
    assert not link.closed
    taker.kept[0]()
    assert link.closed


def test_a_quiet_client_is_asked_and_then_left_and_one_that_never_greets_sooner() -> None:
    server, link, _ = connected()
    server.received(greeting())
    link.take()
    for now_s in (1000.0, 1601.0, 1602.0):
        server.overdue(now_s)
    assert kinds(link.take()) == [F.PING]
    server.overdue(1621.0)
    assert link.closed
    mute, other, _ = connected()
    mute.overdue(monotonic())
    assert not other.closed
    mute.overdue(monotonic() + 11)
    assert other.closed


def test_a_body_that_stands_still_is_given_up_and_one_that_grows_is_not() -> None:
    server, link, _ = connected()
    server.received(greeting() + _parts(1, packed(bytes(50)), 20)[:-24])
    for _ in range(30):
        server.overdue(monotonic())
    server.received(F.frame(F.DATA, 0, 1, b"more"))
    for _ in range(30):
        server.overdue(monotonic())
    assert reset_codes(link.out) == {}
    server.overdue(monotonic())
    assert reset_codes(link.out) == {1: F.CANCEL}
    assert server.idle_since_s is not None


def test_a_connection_that_asked_just_now_has_not_rested_since_the_last_look() -> None:
    server, _, _ = connected()
    server.received(greeting())
    server.overdue(100.0)
    assert server.idle_since_s == 100.0
    asked_s = monotonic()
    server.received(request(1, packed(b"a")))

    assert (server.idle_since_s or 0.0) >= asked_s


def test_after_the_connection_is_gone_answers_go_nowhere() -> None:
    server, link, taker = connected(Echo(late=True))
    server.received(greeting() + request(1, packed(b"a")))
    server.lost()
    link.take()
    taker.kept[0]()

    assert not link.out


def test_threads_that_answer_while_windows_move_lose_and_mix_nothing() -> None:
    server, link, taker = connected(Echo(late=True))
    choose, encoder = Random(5), Encoder()  # noqa: S311 - as above
    bodies = {number: packed(choose.randbytes(choose.randrange(200))) for number in range(1, 200, 2)}
    server.received(greeting({F.INITIAL_WINDOW_SIZE: 50}))
    for number, body in bodies.items():
        server.received(request(number, body, encoder))
    given_up = set(choose.sample(list(bodies), 10))
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(answer) for answer in choose.sample(taker.kept, len(taker.kept))]
        for number in choose.sample(list(bodies), len(bodies)):
            server.received(F.reset(number, F.CANCEL) if number in given_up else F.more(number, 1000))
        for answer in answers:
            answer.result()
    said, ended = dict.fromkeys(bodies, b""), set[int]()
    for kind, flags, number, payload in parsed(link.out):
        assert number not in ended
        said.update({number: said[number] + payload} if kind == F.DATA else {})
        ended |= {number} if number and flags & F.END_STREAM else set()

    assert {number for number in bodies if said[number] == bodies[number] and number in ended} >= {
        *bodies
    } - given_up
    assert server.idle_since_s is not None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b":status", b"content-type", b"x-revision", b"a"]), st.binary(max_size=300)
        ),
        max_size=5,
    )
)
def test_fields_are_written_so_that_others_read_them(fields: Fields) -> None:
    block = b"".join(field(name, value) for name, value in fields)

    assert [(bytes(name), bytes(value)) for name, value in Decoder().decode(block, raw=True)] == fields


NAMES = st.sampled_from([b"a", b"b", b"grpc-timeout", b"te"])
BLOCKS = st.lists(
    st.lists(st.tuples(NAMES, st.sampled_from([b"", b"1", b"2" * 900])), max_size=4), max_size=25
)


@settings(max_examples=40, deadline=None)
@given(blocks=BLOCKS, sizes=st.lists(st.integers(0, 4096), max_size=5))
def test_what_is_remembered_is_what_would_have_been_decoded(blocks: list[Fields], sizes: list[int]) -> None:
    encoder, decoder, reader = Encoder(), Decoder(), FieldReader(list)
    for at, fields in enumerate(blocks):
        if at % 5 == 4 and sizes:
            encoder.header_table_size = sizes.pop()
        block = encoder.encode(fields)
        assert reader.read(block) == [tuple(pair) for pair in decoder.decode(block, raw=True)] == fields


@settings(max_examples=150, deadline=None)
@given(blocks=st.lists(st.binary(max_size=40), max_size=6))
def test_no_block_is_read_otherwise_than_by_the_library(blocks: list[bytes]) -> None:
    decoder, reader = Decoder(), FieldReader(list)
    for block in blocks:
        try:
            expected = [tuple(pair) for pair in decoder.decode(block, raw=True)]
        except (HPACKError, IndexError):
            with pytest.raises(F.ConnectionFault):
                reader.read(block)
            return
        assert reader.read(block) == expected


def test_the_same_fields_are_understood_once() -> None:
    understood: list[Fields] = []
    reader = FieldReader(understood.append)  # type: ignore[func-returns-value]  # what it keeps does not matter
    reader._understand = lambda fields: understood.append(fields) or fields
    encoder = Encoder()
    for _ in range(10):
        reader.read(encoder.encode(HEAD))

    assert len(understood) == 2  # the first block fills the table, the second is the same ever after


def test_a_client_that_keeps_no_fields_hears_that_there_are_none() -> None:
    server, link, _ = connected()
    client = Client(server, link)
    for number, size in ((1, 0), (3, 100), (5, 4096), (7, 0)):
        client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: size})
        client.talk()
        client.ask(number, packed(b"one"))
        assert client.trailers(number) == {b"grpc-status": b"0"}


def test_a_client_that_keeps_no_fields_hears_it_with_what_goes_out_next() -> None:
    server, link, _ = connected()
    client = Client(server, link)
    client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 4})
    client.ask(1, packed(b"more than four"))
    client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 0})
    client.ask(3, b"", [(name, value) for name, value in HEAD if name != b"te"])  # refused
    while client.body(1) != packed(b"more than four"):
        client.acknowledge(1)

    assert client.trailers(1) == {b"grpc-status": b"0"}


def test_streams_may_end_while_the_loop_looks_at_them() -> None:
    server, *_ = connected()
    server.received(greeting())

    class Ending(Stream):
        __slots__ = ()

        @property
        def ended(self) -> bool:
            """A moment in which another thread answers."""
            server._streams.pop(99, None)
            return True

        @ended.setter
        def ended(self, _ended: bool) -> None: ...

    for look in (partial(server.overdue, monotonic()), server.ended):
        server._streams |= {n: Ending(server, n, RequestHead([]), 0, 0) for n in (97, 99)}
        look()
        assert 99 not in server._streams
