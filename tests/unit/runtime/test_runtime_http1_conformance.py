"""What RFC 9112 has a server refuse, with nothing read behind it, and what it may not stumble over."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_runtime_http1 import Client

SMUGGLED = b"POST /smuggled HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"


def posted(fields: bytes) -> bytes:
    return b"POST /a HTTP/1.1\r\nhost: h\r\n" + fields + b"\r\n\r\n"


def asked(line: bytes, host: bytes = b"h") -> bytes:
    return line + b"\r\nhost: " + host + b"\r\ncontent-length: 0\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return CHUNKED + body


REFUSED = {
    "2.2 bare LF behind a field": posted(b"x: a\ny: b"),
    "2.2 bare LF behind the request line": asked(b"GET /a HTTP/1.1\nx: y"),
    "2.2 bare CR in a value": posted(b"x: a\rtransfer-encoding: chunked"),
    "2.2 bare CR behind the request line": asked(b"GET /a HTTP/1.1\rx: y"),
    "2.2 space before the first field": posted(b" x: a"),
    "2.3 HTTP/0.9 without a version": b"GET /a\r\n\r\n",
    "2.3 HTTP/0.9": asked(b"GET /a HTTP/0.9"),
    "2.3 HTTP/1.2": asked(b"GET /a HTTP/1.2"),
    "2.3 HTTP/2.0": asked(b"GET /a HTTP/2.0"),
    "2.3 HTTP/3.0": asked(b"GET /a HTTP/3.0"),
    "2.3 a version in small letters": asked(b"GET /a http/1.1"),
    "2.3 RTSP": asked(b"OPTIONS /a RTSP/1.0"),
    "2.3 ICE": asked(b"SOURCE /a ICE/1.0"),
    "3 two spaces": asked(b"GET  /a HTTP/1.1"),
    "3 a tab": asked(b"GET\t/a HTTP/1.1"),
    "3 a space at the end": asked(b"GET /a HTTP/1.1 "),
    "3 a space in front": asked(b" GET /a HTTP/1.1"),
    "3 a space in the target": asked(b"GET /a b HTTP/1.1"),
    "3.1 a method in small letters": asked(b"get /a HTTP/1.1"),
    "3.1 no method": asked(b"FOO /a HTTP/1.1"),
    "3.2 no target": asked(b"GET  HTTP/1.1"),
    "3.2 a target without a slash": asked(b"GET a HTTP/1.1"),
    "3.2 NUL in the target": asked(b"GET /a\0 HTTP/1.1"),
    "3.2 no ASCII in the target": asked(b"GET /\xff HTTP/1.1"),
    "3.2 a space in the host": asked(b"GET /a HTTP/1.1", b"a b"),
    "3.2 a user in the host": asked(b"GET /a HTTP/1.1", b"u@h"),
    "3.2 a path in the host": asked(b"GET /a HTTP/1.1", b"h/a"),
    "3.2 two hosts in one": asked(b"GET /a HTTP/1.1", b"a, b"),
    "3.2 no number for a port": asked(b"GET /a HTTP/1.1", b"h:80x"),
    "3.2.2 an address without a host": asked(b"GET http:// HTTP/1.1"),
    "3.2.3 an authority": asked(b"CONNECT h:443 HTTP/1.1"),
    "5.1 space before the colon": posted(b"transfer-encoding : chunked"),
    "5.1 space before the colon of a length": posted(b"content-length : 0"),
    "5.1 a name with a space": posted(b"x y: a"),
    "5.1 no name": posted(b": a"),
    "5.1 NUL in a name": posted(b"x\0: a"),
    "5.5 NUL in a value": posted(b"x: a\0"),
    "5.5 control characters in a value": posted(b"x: \x01"),
    "5.2 obs-fold": posted(b"x: a\r\n b"),
    "5.2 obs-fold by a tab": posted(b"x: a\r\n\tb"),
    "6.1 a length beside chunks": posted(b"content-length: 0\r\ntransfer-encoding: chunked"),
    "6.1 chunks beside a length": posted(b"transfer-encoding: chunked\r\ncontent-length: 0"),
    "6.1 chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
    "6.1 chunked twice": posted(b"transfer-encoding: chunked, chunked"),
    "6.1 chunked in two fields": posted(b"transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
    "6.1 chunked behind nothing": posted(b"transfer-encoding: , chunked"),
    "6.1 chunked behind a vertical tab": posted(b"transfer-encoding: \x0bchunked"),
    "6.1 chunked with a parameter": posted(b"transfer-encoding: chunked;q=1"),
    "6.1 quoted": posted(b'transfer-encoding: "chunked"'),
    "6.1 identity": posted(b"transfer-encoding: identity"),
    "6.1 another coding": posted(b"transfer-encoding: gzip, chunked"),
    "6.1 no coding": posted(b"transfer-encoding:"),
    "6.2 a list of lengths": posted(b"content-length: 0, 0"),
    "6.2 two lengths": posted(b"content-length: 0\r\ncontent-length: 0"),
    "6.2 a length below nothing": posted(b"content-length: -1"),
    "6.2 a length with a sign": posted(b"content-length: +0"),
    "6.2 a length in hexadecimal": posted(b"content-length: 0x0"),
    "6.2 a length in two parts": posted(b"content-length: 0 0"),
    "6.2 an empty length": posted(b"content-length:"),
    "6.2 a length beyond 64 bits": posted(b"content-length: 18446744073709551616"),
    "7.1 no size": chunked(b"\r\nabc\r\n0\r\n\r\n"),
    "7.1 a size with 0x": chunked(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "7.1 a size with a sign": chunked(b"+3\r\nabc\r\n0\r\n\r\n"),
    "7.1 a size with an underscore": chunked(b"0_3\r\nabc\r\n0\r\n\r\n"),
    "7.1 a size behind a space": chunked(b" 3\r\nabc\r\n0\r\n\r\n"),
    "7.1 a size before a space": chunked(b"3 \r\nabc\r\n0\r\n\r\n"),
    "7.1 a size beyond 64 bits": chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    "7.1 a size of nearly 64 bits": chunked(b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    "7.1 bare LF behind a size": chunked(b"3\nabc\n0\n\n"),
    "7.1 data longer than its size": chunked(b"3\r\nabcd\r\n0\r\n\r\n"),
    "7.1 data shorter than its size": chunked(b"4\r\nabc\r\n0\r\n\r\n"),
    "7.1 bare CR behind data": chunked(b"3\r\nabc\r0\r\n\r\n"),
    "7.1.1 bare LF in an extension": chunked(b"3;a\nabc\r\n0\r\n\r\n"),
    "7.1.1 bare CR in an extension": chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "7.1.1 NUL in an extension": chunked(b"3;\0\r\nabc\r\n0\r\n\r\n"),
    "7.1.1 an extension without end": chunked(b"3;" + b"a" * 5000 + b"\r\nabc\r\n0\r\n\r\n"),
    "7.1.2 a trailer without a colon": chunked(b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
    "7.1.2 a trailer with space before its colon": chunked(b"0\r\nx : y\r\n\r\n"),
    "7.1.2 a trailer that is folded": chunked(b"0\r\nx: y\r\n z\r\n\r\n"),
    "7.1.2 bare LF behind a trailer": chunked(b"0\r\nx: y\n\r\n"),
    "7.1.2 NUL in a trailer": chunked(b"0\r\nx: \0\r\n\r\n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_standard_has_refused_is_refused_and_nothing_behind_it_is_read(name: str) -> None:
    client = Client()
    client.sends(REFUSED[name] + SMUGGLED)
    ((status, _),) = client.answers([b"POST"])

    assert 400 <= status < 500
    assert b"POST /smuggled" not in client.line.out
    assert client.line.lingers


TAKEN = {
    "2.2 empty lines before a request": b"\r\n\r\n" + asked(b"GET /a HTTP/1.1"),
    "3.2 an empty host": asked(b"GET /a HTTP/1.1", b""),
    "3.2 a host with a port": asked(b"GET /a HTTP/1.1", b"h.example:8080"),
    "3.2 an IPv6 host": asked(b"GET /a HTTP/1.1", b"[::1]:80"),
    "3.2 escapes": asked(b"GET /%00%0d%0a HTTP/1.1"),
    "3.2.2 a whole address": asked(b"GET http://other:80/a?b HTTP/1.1"),
    "3.2.4 everything": asked(b"OPTIONS * HTTP/1.1"),
    "5 a field without a value": posted(b"x:"),
    "5.5 obs-text": posted(b"x: \xc3\xa9"),
    "6.2 a length with zeros": posted(b"content-length: 000"),
    "7.1 several last zeros": chunked(b"3\r\nabc\r\n000\r\n\r\n"),
    "7.1.1 extensions": chunked(b'3;a=b;c="d;e"\r\nabc\r\n0 ;f\r\n\r\n'),
    "7.1.2 trailers": chunked(b"0\r\nx: y\r\ncontent-length: 99\r\nz:\r\n\r\n"),
    "7.8 an offer of HTTP/2": posted(b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 0"),
    "10.1.1 of RFC 9110: another expectation": posted(b"expect: patience\r\ncontent-length: 0"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_unusual_and_allowed_is_answered_and_so_is_what_comes_behind_it(name: str) -> None:
    client = Client()
    client.sends(TAKEN[name] + SMUGGLED)

    assert [status for status, _ in client.answers([b"POST"] * 2)] == [200, 200]


@pytest.mark.parametrize(
    ("line", "status"), [(b"GET /" + b"a" * 40_000, 414), (b"GET /a HTTP/1.1\r\nx: " + b"a" * 40_000, 431)]
)
def test_what_is_too_long_is_called_by_its_name(line: bytes, status: int) -> None:
    client = Client()
    client.sends(line)

    assert client.answers([b"GET"])[0][0] == status


@pytest.mark.parametrize(
    "last",
    [
        posted(b"connection: close\r\ncontent-length: 0"),
        posted(b"connection: close\r\ncontent-length: 3") + b"abc",
        posted(b"connection: close\r\ntransfer-encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nhost: h\r\nconnection: x, Close\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
        b"GET /a HTTP/1.0\r\n\r\n",
    ],
)
def test_nothing_is_read_behind_a_last_request(last: bytes) -> None:
    client = Client()
    client.sends(last + SMUGGLED)

    assert len(client.answers([b"POST"])) == 1
    assert b"connection: close\r\n" in client.line.out
    assert client.line.closed


def test_a_request_of_http_1_0_may_ask_to_stay() -> None:
    client = Client()
    client.sends(b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" * 2)

    assert client.line.out.count(b"connection: keep-alive\r\n") == len(client.answers([b"GET"] * 2)) == 2
    assert not client.line.closed


PIECES = st.sampled_from([*REFUSED.values(), *TAKEN.values(), SMUGGLED])


@settings(max_examples=40, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=4), st.integers(0, 1 << 32), st.integers(0, 4))
def test_no_bytes_are_an_error_of_ours(pieces: list[bytes], seed: int, damaged: int) -> None:
    choose, data = Random(seed), bytearray(b"".join(pieces))  # noqa: S311 - bytes to try, no secret
    for _ in range(damaged):
        data[choose.randrange(len(data))] = choose.choice(b"\0\t\n\r :;0a\xff")
    client = Client()
    client.sends(bytes(data))
    client.wire.ended()
    client.line.loop.turn()

    assert b"HTTP/1.1 5" not in client.line.out
    assert client.line.closed or client.line.lingers
