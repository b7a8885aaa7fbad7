"""The loop and its connections on real sockets."""

import os
import resource
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import h11
import pytest
from test_runtime_protection import certificates

from serving.runtime.http1.wire import Http1
from serving.runtime.net import loop as loops
from serving.runtime.net.poller import Portable
from serving.runtime.net.room import Room
from serving.runtime.net.server import Server
from serving.runtime.port import listen
from serving.runtime.settings import Tls
from serving.runtime.tls import server_context
from serving.runtime.transport import Head, Headers, Respond

WAIT_S = 60.0
LARGE = b"x" * (8 << 20)


class Application:
    """`/large` is more than the kernel takes at once; `/later` comes from another thread when released."""

    max_body_bytes = 1 << 20

    def __init__(self) -> None:
        self.released = threading.Event()
        self.arrived = threading.Event()

    def at_once(self, head: Head) -> tuple[int, Headers, bytes] | None:
        return None

    def answer(self, head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
        if head.path == "/later":
            threading.Thread(target=self._later, args=(body, respond)).start()
        else:
            respond(200, [], LARGE if head.path == "/large" else body)

    def _later(self, body: bytes, respond: Respond) -> None:
        self.arrived.set()
        self.released.wait(WAIT_S)
        respond(200, [], body)

    def refuse(self, status: int, message: str) -> tuple[int, Headers, bytes]:
        return status, [], message.encode()


Start = Callable[..., tuple[Application, Server, int]]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[Server] = []

    def begin(tls: ssl.SSLContext | None = None, room: Room | None = None) -> tuple[Application, Server, int]:
        application, server, sock = Application(), Server(room), listen("127.0.0.1", 0)
        port: int = sock.getsockname()[1]
        server.listen(sock, partial(Http1, application, None), tls=tls)
        server.start()
        servers.append(server)
        return application, server, port

    yield begin
    for server in servers:
        server.stop(0)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def request(path: str, body: bytes = b"hello") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(body), body)


def answer(client: socket.socket) -> bytes:
    """The body of one answer."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="POST", target="/", headers=[("host", "h"), ("content-length", "0")]))
    reader.send(h11.EndOfMessage())
    parts = []
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            reader.receive_data(client.recv(1 << 16))
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
    return b"".join(parts)


def test_an_answer_larger_than_the_kernel_takes_arrives_whole_and_so_do_those_after_it(start: Start) -> None:
    _, _, port = start()
    with connect(port) as client:
        client.sendall(request("/large") + request("/a", b"one") + request("/a", b"two"))
        assert sizes_come(client, [len(LARGE), 3, 3])


def sizes_come(client: socket.socket, sizes: list[int]) -> bool:
    """Whether answers of these sizes come, one after the other, and nothing besides."""
    data = b""
    for size in sizes:
        while (at := data.find(b"\r\n\r\n")) < 0 or len(data) < at + 4 + size:
            part = client.recv(1 << 20)
            assert part
            data += part
        assert f"content-length: {size}\r\n".encode() in data[: at + 2]
        data = data[at + 4 + size :]
    return data == b""


def test_an_answer_from_another_thread_holds_nobody_else_up(start: Start) -> None:
    application, _, port = start()
    with connect(port) as slow, connect(port) as quick:
        slow.sendall(request("/later", b"at last"))
        assert application.arrived.wait(WAIT_S)
        quick.sendall(request("/a", b"now"))
        assert answer(quick) == b"now"

        application.released.set()
        assert answer(slow) == b"at last"


def test_a_client_that_only_reads_any_more_gets_its_answer(start: Start) -> None:
    application, _, port = start()
    with connect(port) as client:
        client.sendall(request("/later", b"half"))
        client.shutdown(socket.SHUT_WR)
        assert application.arrived.wait(WAIT_S)
        application.released.set()

        assert answer(client) == b"half"
        assert client.recv(1) == b""


def test_stopping_answers_what_is_under_way_and_then_refuses(start: Start) -> None:
    application, server, port = start()
    finished: list[bool] = []
    with connect(port) as client, connect(port) as idle:
        client.sendall(request("/later", b"still answered"))
        assert application.arrived.wait(WAIT_S)
        stopping = threading.Thread(target=lambda: finished.append(server.stop(WAIT_S)))
        stopping.start()
        assert idle.recv(1) == b""

        application.released.set()
        assert answer(client) == b"still answered"
        assert client.recv(1) == b""
    stopping.join(WAIT_S)

    assert finished == [True]
    with pytest.raises(OSError, match="refused"):
        connect(port)


def test_through_tls_large_and_small_answers_come_whole(start: Start, tmp_path: Path) -> None:
    authority, certificate, key = certificates(tmp_path)
    _, _, port = start(server_context(Tls(certificate=certificate, key=key)))
    trusting = ssl.create_default_context(cafile=str(authority))

    with connect(port) as plain, trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client:
        body = b"y" * (1 << 20)
        for path, expected in (("/large", LARGE), ("/a", body), ("/large", LARGE), ("/a", b"z")):
            client.sendall(request(path, expected if path == "/a" else b""))
            assert answer(client) == expected


def test_plain_bytes_to_a_tls_port_end_that_connection_alone(start: Start, tmp_path: Path) -> None:
    authority, certificate, key = certificates(tmp_path)
    _, _, port = start(server_context(Tls(certificate=certificate, key=key)))
    trusting = ssl.create_default_context(cafile=str(authority))

    with connect(port) as wrong, connect(port) as plain:
        wrong.sendall(request("/a"))
        with suppress(ConnectionResetError):
            while wrong.recv(1 << 16):  # an alert, then the end
                pass
        with trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(request("/a", b"fine"))
            assert answer(client) == b"fine"


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Whatever this process has opened before, it opens nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    fillers = [os.dup(0)]
    while fillers[-1] <= highest:  # the gaps that closed files have left
        fillers.append(os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)


def taken_over(port: int) -> socket.socket:
    """A connection that the server is known to have."""
    client = connect(port)
    client.sendall(request("/a", b"here"))
    assert answer(client) == b"here"
    return client


def test_one_that_asks_gets_the_place_of_one_that_idles_when_descriptors_run_out(start: Start) -> None:
    _, _, port = start()
    with taken_over(port) as idle, taken_over(port) as later, socket.socket() as asking:
        asking.settimeout(WAIT_S)
        with no_descriptor_left():
            asking.connect(("127.0.0.1", port))
            asking.sendall(request("/a", b"room"))
            assert answer(asking) == b"room"
        assert idle.recv(1) == b""
        later.sendall(request("/a", b"still there"))
        assert answer(later) == b"still there"


def test_one_that_found_no_room_is_served_once_there_is_some(start: Start) -> None:
    _, _, port = start()
    with taken_over(port) as busy, socket.socket() as late:
        busy.sendall(b"POST /a HTTP/1.1\r\n")
        late.settimeout(WAIT_S)
        with no_descriptor_left():
            late.connect(("127.0.0.1", port))
            late.sendall(request("/a", b"in the end"))
            busy.close()
            assert answer(late) == b"in the end"


def test_beyond_the_limit_one_that_asks_gets_the_place_of_one_that_idles(start: Start) -> None:
    room = Room(2)
    _, _, port = start(room=room)
    with taken_over(port) as idle, taken_over(port) as later, connect(port) as asking:
        asking.sendall(request("/a", b"room"))
        assert answer(asking) == b"room"
        assert idle.recv(1) == b""
        later.sendall(request("/a", b"still there"))
        assert answer(later) == b"still there"

        assert (room.taken, room.closed) == (2, 1)


def test_beyond_the_limit_one_waits_outside_while_all_are_busy(start: Start) -> None:
    room = Room(1)
    application, _, port = start(room=room)
    with connect(port) as busy, connect(port) as late:
        busy.sendall(request("/later", b"slow"))
        assert application.arrived.wait(WAIT_S)
        late.sendall(request("/a", b"in the end"))
        late.settimeout(0.1)
        with pytest.raises(TimeoutError):
            late.recv(1)
        application.released.set()
        assert answer(busy) == b"slow"
        busy.close()
        late.settimeout(WAIT_S)
        assert answer(late) == b"in the end"

    assert room.closed == 0


def test_without_epoll_it_serves_alike(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "poller", Portable)
    _, _, port = start()
    with connect(port) as client:
        client.sendall(request("/large") + request("/a", b"one"))
        assert sizes_come(client, [len(LARGE), 3])
