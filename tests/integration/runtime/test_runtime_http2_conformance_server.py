"""The cases of RFC 9113 and RFC 7541 against a real server: its sockets, its loop, its gRPC."""

import socket
from contextlib import suppress
from typing import Any

import http2_cases as rfc
import pytest
from http2_cases import CASES, Case, demanded, frames_of, outcome

WAIT_S = 60


def connect(server: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.said[0]["grpc_port"]), WAIT_S)


def heard(client: socket.socket, sent: bytes) -> tuple[bytes, bool]:
    """What comes until the last request and ping are answered, and whether the connection ended."""
    with suppress(ConnectionError):  # it ended before all of a flood was sent; what it said is still there
        client.sendall(sent)
    data = b""
    while not complete(data):
        try:
            more = client.recv(1 << 16)
        except ConnectionResetError:
            more = b""
        if not more:
            return data, True
        data += more
    return data, False


def complete(data: bytes) -> bool:
    """Whether both answers to the barrier are there, whole."""
    frame = rfc.frame(rfc.PING, rfc.ACK, 0, rfc.STILL_THERE)
    if frame not in data:
        return False
    try:
        found = frames_of(data)
    except AssertionError:
        return False  # half a frame
    return any(stream == rfc.LAST and flags & rfc.END_STREAM for _, flags, stream, _ in found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_server_does_what_the_standards_demand(speaking: Any, case: Case) -> None:
    with connect(speaking) as client:
        data, over = heard(client, case.sent)

    assert outcome(case, data) == demanded(case)
    assert over == (case.ends is not None)


def test_who_speaks_no_http2_is_left_and_the_next_client_is_served(speaking: Any) -> None:
    for said in (
        b"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01" * 9,
        rfc.MAGIC[:-1] + b"X",
    ):
        with connect(speaking) as client:
            assert heard(client, said) == (b"", True)
    with connect(speaking) as client:
        data, over = heard(client, rfc.GREETING + rfc.BARRIER)
    case = Case("", b"")

    assert (outcome(case, data), over) == (demanded(case), False)
