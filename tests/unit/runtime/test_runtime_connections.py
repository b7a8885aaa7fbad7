"""Connections on real sockets, the loop turned by hand: what is read, what waits, when both stop."""

import resource
import socket
import ssl
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread, get_ident

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modelway.errors import ConfigError
from serving.runtime.__main__ import parse
from serving.runtime.http1.wire import Http1
from serving.runtime.net.connection import Connection
from serving.runtime.net.listener import Listener
from serving.runtime.net.loop import Loop
from serving.runtime.net.room import KEPT_DESCRIPTORS, MOST_UNASKED, Room, room_for
from serving.runtime.port import listen
from serving.runtime.settings import Tls
from serving.runtime.tls import server_context
from serving.runtime.transport import Head, Headers, Respond

PAGE = b"p" * 50_000
GET = b"GET /page HTTP/1.1\r\nhost: h\r\n\r\n"
AHEAD = 9
"""Requests of 30 kB: more than is read ahead, and all of it read."""


class Pages:
    """Every answer is a page; `/wait` comes when the test says so."""

    max_body_bytes = 1000

    def __init__(self) -> None:
        self.waiting: list[Respond] = []
        self.answered = 0

    def at_once(self, head: Head) -> tuple[int, Headers, bytes] | None:
        if head.path == "/wait":
            return None
        self.answered += 1
        return 200, [], PAGE

    def answer(self, _head: Head, _body: bytes, respond: Respond, _start_ns: int) -> None:
        self.waiting.append(respond)

    def refuse(self, status: int, message: str) -> tuple[int, Headers, bytes]:
        return status, [], message.encode()


class Pair:
    """A client's end and ours."""

    def __init__(self) -> None:
        self.loop, self.app = Loop("turned by hand"), Pages()
        self.loop.ident = get_ident()
        self.client, ours = socket.socketpair()
        for end in (self.client, ours):
            end.setblocking(False)
        self.connection = Connection(self.loop, ours, "p:1", lambda it: Http1(self.app, None, it))
        self.connection.open()

    def turn(self, times: int = 1) -> None:
        """What the loop does, for what is ready now."""
        for _ in range(times):
            self.loop._turn(self.loop.poller.ready(0))
            self.loop._send()

    def give(self, data: bytes) -> None:
        """Send all of it; ours reads meanwhile."""
        while data:
            data = data[self.client.send(data) :]
            self.turn()

    def take(self) -> bytes:
        """All that comes, until nothing moves any more."""
        came, still = bytearray(), 0
        while still < 5:
            self.turn()
            try:
                part = self.client.recv(1 << 20)
            except BlockingIOError:
                part = b""
            came += part
            still = 0 if part else still + 1
        return bytes(came)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.connection._gone()
    made.client.close()
    made.loop.poller.close()
    made.loop._woken.close()
    made.loop._waker.close()


def from_a_thread(call: object, *said: object) -> None:
    thread = Thread(target=call, args=said)  # type: ignore[arg-type]  # whatever can be called
    thread.start()
    thread.join()


def test_who_sends_much_ahead_and_reads_late_gets_every_answer(pair: Pair) -> None:
    pair.give(b"GET /wait HTTP/1.1\r\nhost: h\r\n\r\n")
    ahead = (GET.replace(b"\r\n\r\n", b"\r\nx: " + b"y" * 30_000 + b"\r\n\r\n")) * AHEAD
    pair.client.setblocking(True)
    sender = Thread(target=pair.client.sendall, args=(ahead,))
    sender.start()
    while len(pair.connection.wire._rest) <= 256 * 1024:  # type: ignore[attr-defined]  # what it keeps
        pair.turn()
    from_a_thread(pair.app.waiting[0], 200, [], b"w" * 2_000_000)  # more than the kernel takes
    pair.client.setblocking(False)
    came = pair.take()
    sender.join()
    came += pair.take()

    assert came.count(b"HTTP/1.1 200 OK") == 1 + AHEAD


def test_answers_to_what_is_sent_ahead_do_not_pile_up_unread(pair: Pair) -> None:
    pair.give(GET * 1000)
    pair.turn(5)

    assert pair.app.answered < 200
    assert pair.take().count(b"HTTP/1.1 200 OK") == 1000


def test_a_slow_reader_that_sends_no_more_gets_the_rest_while_the_server_ends(pair: Pair) -> None:
    pair.give(b"GET /wait HTTP/1.1\r\nhost: h\r\n\r\n")
    pair.app.waiting[0](200, [], b"w" * 2_000_000)
    pair.turn()
    assert pair.connection.sending
    pair.client.shutdown(socket.SHUT_WR)
    pair.connection.read_now()
    pair.connection.wire.drain()

    assert len(pair.take()) > 2_000_000
    assert not pair.connection.alive


def waiting_room(tls: ssl.SSLContext | None = None) -> tuple[Loop, Listener, Room, int]:
    """A port whose loop is turned by hand."""
    loop, room, sock = Loop("turned by hand"), Room(1), listen("127.0.0.1", 0)
    loop.ident = get_ident()
    listener = Listener(loop, sock, lambda it: Http1(Pages(), None, it), tls, room, shared=False)
    listener.begin()
    return loop, listener, room, sock.getsockname()[1]


def test_one_that_was_gone_before_its_handshake_keeps_no_port_from_closing() -> None:
    loop, listener, room, port = waiting_room(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    for _ in range(2):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"no handshake")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()  # by a reset, before anybody has taken it
    listener.shut()

    assert (listener.connections, room.taken) == ({}, 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    loop.poller.close()


def test_a_port_that_closes_takes_who_is_there_whatever_the_limit() -> None:
    loop, listener, room, port = waiting_room()
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    listener.shut()

    assert room.taken == len(listener.connections) == 3
    for connection in list(listener.connections):
        connection._gone()
    assert room.taken == 0
    for client in clients:
        client.close()
    loop.poller.close()


def taken(loop: Loop, listener: Listener, port: int) -> tuple[socket.socket, Connection]:
    """A client that was taken in, and our end."""
    client = socket.create_connection(("127.0.0.1", port))
    listener._accept()
    loop._turn(loop.poller.ready(0))
    return client, list(listener.connections)[-1]


def nothing_taken(_data: object, _flags: int = 0, /) -> int:
    """As a socket whose client reads nothing."""
    return 0


def test_one_port_makes_room_for_another() -> None:
    loop, listener, room, port = waiting_room()
    sock = listen("127.0.0.1", 0)
    other = Listener(loop, sock, lambda it: Http1(Pages(), None, it), None, room, shared=False)
    idle, connection = taken(loop, listener, port)
    late = socket.create_connection(("127.0.0.1", sock.getsockname()[1]))
    loop.now_s += 2
    other._accept()
    other._accept()

    assert not connection.alive
    assert (len(listener.connections), len(other.connections), room.taken, room.closed) == (0, 1, 1, 1)
    for one in list(other.connections):
        one._gone()
    for end in (idle, late, sock):
        end.close()
    listener.shut()
    loop.poller.close()


def test_one_that_has_not_taken_its_answer_is_not_asked_to_go_again_and_again() -> None:
    loop, listener, room, port = waiting_room()
    slow, connection = taken(loop, listener, port)
    connection._send = nothing_taken
    connection.send(b"an answer")
    connection._flush()
    late = socket.create_connection(("127.0.0.1", port))
    loop.now_s += 2
    listener._accept()
    listener._accept()

    assert connection.alive
    assert room.closed == 0
    assert listener._deaf, "it would be told of who waits without end"
    connection._gone()
    for end in (slow, late):
        end.close()
    listener.shut()
    for one in list(listener.connections):
        one._gone()
    loop.poller.close()


def test_the_time_of_a_long_answer_is_no_rest(pair: Pair) -> None:
    pair.give(b"POST /wait HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n")
    pair.loop.now_s += 3
    pair.app.waiting[0](200, [], b"at last")

    assert pair.connection.wire.idle_since_s == pair.loop.now_s


def test_the_limit_is_said_and_what_is_there_counted() -> None:
    room = Room(7)
    room.taken, room.closed = 3, 2

    lines = [line for family in room.families() for line in family.samples]
    assert lines == ['modelway_connections{limit="7"} 3', "modelway_connections_closed_for_room_total 2"]


@pytest.mark.parametrize(
    ("descriptors", "unasked", "asked", "too_many"),
    [
        (1024, 1024 - KEPT_DESCRIPTORS, 1024 - KEPT_DESCRIPTORS, 1025 - KEPT_DESCRIPTORS),
        (1 << 20, MOST_UNASKED, 100_000, 1 << 20),
        (10, 1, 1, 2),
        (resource.RLIM_INFINITY, MOST_UNASKED, 1 << 30, None),
    ],
)
def test_there_is_room_for_what_the_process_may_open(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, unasked: int, asked: int, too_many: int | None
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (descriptors, descriptors))

    assert room_for(None).limit == unasked
    assert room_for(asked).limit == asked
    if too_many is not None:
        with pytest.raises(ConfigError, match="max_connections"):
            room_for(too_many)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    certificate, locked = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match="PEM"):
        server_context(Tls(certificate=certificate, key=locked))


@pytest.mark.parametrize("given", ["-1", "nan", "inf"])
def test_a_drain_that_cannot_be_waited_for_is_refused_before_there_is_anything_to_lose(given: str) -> None:
    options = f"--bundle b --revision r --verify-key k --port 0 --drain-s {given}"

    with pytest.raises(ConfigError, match="drain-s"):
        parse(options.split())
