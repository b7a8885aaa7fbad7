"""The cases of RFC 9113 and RFC 7541 against a real server: its sockets, its loop, its gRPC."""

import socket
from contextlib import suppress
from typing import Any

import grpc
import http2_cases as rfc
import psutil
import pytest
from hpack import Encoder
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


def resident_bytes(server: Any) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


def next_client_is_served(server: Any) -> bool:
    with connect(server) as client:
        data, over = heard(client, rfc.GREETING + rfc.BARRIER)
    return not over and outcome(Case("", b""), data).answered


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
    assert next_client_is_served(speaking)


def test_a_client_that_reads_nothing_is_not_read_either(speaking: Any) -> None:
    before, encoder = resident_bytes(speaking), Encoder()
    fields = [rfc.METHOD, rfc.SCHEME, (b":path", b"/nothing"), rfc.TYPE, rfc.TE]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", speaking.said[0]["grpc_port"]))
        client.settimeout(1)
        client.sendall(rfc.GREETING + rfc.frame(rfc.HEADERS, rfc.WHOLE, 1, encoder.encode(fields)))
        again = encoder.encode(fields)
        with suppress(TimeoutError):  # each is refused, by fields that no window holds back
            for first in range(3, 2_000_000, 2000):
                numbers = range(first, first + 2000, 2)
                client.sendall(b"".join(rfc.frame(rfc.HEADERS, rfc.WHOLE, n, again) for n in numbers))
            pytest.fail("a client that reads nothing may ask without end")

        assert resident_bytes(speaking) - before < 100 << 20
        assert next_client_is_served(speaking)


@pytest.mark.parametrize("part", [b"\x2a\x00", b"\x32\x00", b"\x3a\x00", b"\x22\x00"])
def test_a_message_of_nothing_but_parts_costs_no_more_than_its_bytes(speaking: Any, part: bytes) -> None:
    before = resident_bytes(speaking)
    with grpc.insecure_channel(f"127.0.0.1:{speaking.said[0]['grpc_port']}") as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            ask(part * (3 << 20), timeout=WAIT_S)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "may have 16384" in caught.value.details()
    assert resident_bytes(speaking) - before < 100 << 20
