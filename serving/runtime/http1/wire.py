"""HTTP/1.1 on one connection: one request after the other, each answered before the next is begun.

An answer may come at once or later, from any thread; it is sent on the thread it comes from.
"""

from collections.abc import Callable
from time import perf_counter_ns

from serving.runtime.http1.answers import special, usual
from serving.runtime.http1.bodies import Body, Chunks, Counted, too_large
from serving.runtime.http1.head import MAX_HEAD_BYTES, RequestHead, parse_head
from serving.runtime.journal import journal
from serving.runtime.net.connection import Connection
from serving.runtime.problems import RequestError
from serving.runtime.transport import (
    INTERNAL_ERROR,
    Application,
    Door,
    Headers,
    Respond,
    header_lines,
)

_IDLE_S = 2 * 3600.0
"""Longer than gateways keep a connection (Envoy: an hour), so that it is they who close it."""
_SLOW_S = 30.0
"""How long a head may take, and how long a body may stand still."""
_MAX_AHEAD_BYTES = 256 * 1024
"""What a client may send before it has the answer to what it sent first."""
_END = b"\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Http1:
    """The wire of one client.

    `_take` is what the next bytes are given to: a head, a body, or a body that nobody wants. It returns what
    it did not need, or keeps it in `_rest` until more comes.
    """

    def __init__(self, application: Application, door: Door | None, connection: Connection) -> None:
        """Nothing has come yet."""
        application = application if door is None else door
        self._application, self._door, self._connection = application, door, connection
        self._answer, self._at_once = application.answer, application.at_once
        self._max_bytes = application.max_body_bytes
        self._loop, self._send, self._reply = connection.loop, connection.send, self.respond
        self._respond: Respond = self._reply
        self._take: Callable[[bytes], bytes] = self._take_head
        self._head: RequestHead | None = None
        self._head_bytes = b"\0"  # begins no request
        self._rest = b""
        self._body: Body | None = None
        self._wanted = self._start_ns = 0
        self._open = self._unread = self._paused = self._draining = self._ending = False
        self._since_s = connection.loop.now_s

    @property
    def idle_since_s(self) -> float | None:
        """Loop time since when it waits for a request; None while one is under way."""
        waits = self._take == self._take_head and not self._rest and not self._open
        return self._since_s if waits else None

    def received(self, data: bytes) -> None:
        """Answer as far as it goes."""
        if self._held_up():
            self._keep(data)
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        else:
            self._since_s = self._loop.now_s
        while data and not self._held_up():
            data = self._take(data)
            if data and self._open:  # who sends ahead waits for nobody's company
                self._loop.settle()
            if data and not self._open and self._last and self._body is None:
                data = b""  # nothing is read behind a last request (RFC 9112, 9.6)
        if data:
            self._keep(data)

    def _held_up(self) -> bool:
        """Whether an answer, or the client's reading it, is waited for."""
        return self._open or self._connection.sending

    def sent(self) -> None:
        """Go on with what came meanwhile."""
        self._resume()

    def ended(self) -> None:
        """Answer what is under way, then close."""
        self._ending = True
        if self._body is not None:
            self._cut_off(400, "the body did not come whole")
        else:
            self._resume()

    def lost(self) -> None:
        """Keep nothing; who was let in must be seen going out."""
        if self._body is not None:
            self._cut_off(400, "the client went away")
        self._rest = b""

    def drain(self) -> None:
        """Answer what is under way, then close."""
        self._draining = True
        if self.idle_since_s is not None:
            self._connection.close()

    def overdue(self, now_s: float) -> None:
        """Close what nobody uses; refuse what does not come."""
        if self._open:
            return
        if self.idle_since_s is None:
            if now_s > self._since_s + _SLOW_S:
                refuse = self._refuse if self._body is None else self._cut_off
                refuse(408, "the request did not come whole in time")
        elif now_s > self._since_s + _IDLE_S:
            self._connection.close()

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the answer to the request under way; from any thread, once."""
        head = self._head
        if status == 200 and head is not None and head.simple and not (self._unread or self._draining):  # noqa: PLR2004 - OK
            self._send(usual(headers, self._loop.date, body))
            last = False
        else:
            last = self._last
            self._send(special(status, header_lines(headers) + self._loop.date, body, head, last=last))
        self._open, self._since_s = False, self._loop.now_s
        if self._rest or self._ending or last or self._draining:
            self._loop.soon(self._resume)

    @property
    def _last(self) -> bool:
        """Whether nothing is read from this client any more."""
        return self._unread or self._draining or (self._head is not None and not self._head.keep_alive)

    def _keep(self, data: bytes) -> None:
        """Let it wait for the answer to what came before it."""
        self._rest += data
        if len(self._rest) > _MAX_AHEAD_BYTES and not self._paused:
            self._paused = True
            self._connection.mute()
        if not self._open:
            self._loop.soon(self._resume)

    def _resume(self) -> None:
        """Go on where an answer, or a client that did not read, had held it up."""
        if self._open or not self._connection.alive or self._connection.sending:
            return
        if self._last and self._body is None:
            self._leave()
            return
        if self._paused:
            self._paused = False
            self._connection.open()
        data, self._rest = self._rest, b""
        self.received(data)
        if self._ending and not self._open:
            self._connection.close()

    def _leave(self) -> None:
        """Close it: at once, unless the client may still be sending."""
        self._rest, self._take = b"", self._drop
        if self._unread or self._wanted:
            self._connection.linger()
        else:
            self._connection.close()

    def _drop(self, _data: bytes) -> bytes:
        return b""

    def _take_head(self, data: bytes) -> bytes:
        head = self._head
        if head is not None and data.startswith(self._head_bytes):  # as clients of a kept connection do
            end = len(self._head_bytes)
        else:
            data = data.lstrip(b"\r\n") if data[:1] in b"\r\n" else data  # RFC 9112, 2.2
            end = data.find(_END) + len(_END)
            if end < len(_END) or end > MAX_HEAD_BYTES:
                return self._incomplete(data)
            head = self._parsed(data[:end])
            if head is None:
                return b""
        self._open, self._unread, self._start_ns = True, head.large, perf_counter_ns()
        if not self._welcome(head):
            return self._skip(head, data[end:])
        if not head.chunked and len(data) - end == head.length <= self._max_bytes:
            self._unread = False
            self._begin(data[end:])
            return b""
        return self._await_body(head, data[end:])

    def _incomplete(self, data: bytes) -> bytes:
        if len(data) > MAX_HEAD_BYTES:
            status = 431 if b"\r\n" in data[:MAX_HEAD_BYTES] else 414  # RFC 9112, 3: it is the target
            self._refuse(status, f"the head of a request may have {MAX_HEAD_BYTES} bytes")
        else:
            self._rest = data
        return b""

    def _parsed(self, head: bytes) -> RequestHead | None:
        """Read a head; None when it was refused."""
        try:
            self._head = parse_head(head, self._connection.peer)
        except RequestError as error:
            self._refuse(error.status, str(error))
            return None
        self._head_bytes = head
        return self._head

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no request, and read no more."""
        self._head, self._head_bytes, self._respond = None, b"\0", self._reply
        self._cut_off(status, message)

    def _cut_off(self, status: int, message: str) -> None:
        """Answer a request that is not read to its end; its client is not heard any further."""
        self._open = self._unread = True
        self._take, self._body = self._drop, None
        self._respond(*self._application.refuse(status, message))

    def _welcome(self, head: RequestHead) -> bool:
        """Whether the body is wanted; else it was answered, or will be."""
        try:
            if self._door is None:
                answer = self._at_once(head)
                if answer is None:
                    return True
                self._reply(*answer)
                return False
            respond = self._door.open(head, self._reply)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            self._failed(error, self._reply)
            return False
        if respond is not None:
            self._respond = respond
        return respond is not None

    def _skip(self, head: RequestHead, data: bytes) -> bytes:
        """Drop the body of a request that was answered without; where it is large, the connection ends."""
        if self._unread:
            self._take = self._drop
            return b""
        self._wanted = head.length
        self._take = self._take_unwanted
        return self._take_unwanted(data)

    def _take_unwanted(self, data: bytes) -> bytes:
        found = len(data)
        data = data[self._wanted :]
        self._wanted -= found - len(data)
        if not self._wanted:
            self._take = self._take_head
        return data

    def _await_body(self, head: RequestHead, data: bytes) -> bytes:
        """Begin to gather a body that is not there yet, or not by itself."""
        self._open = False
        if head.length > self._max_bytes:
            self._cut_off(413, too_large(self._max_bytes))
            return b""
        if head.waits and not data:
            self._send(_CONTINUE)
        self._body = Chunks(self._max_bytes) if head.chunked else Counted(head.length)
        self._take = self._take_body
        return self._take_body(data)

    def _take_body(self, data: bytes) -> bytes:
        body = self._body
        if body is None:
            return data
        try:
            body.feed(data)
        except RequestError as error:
            self._cut_off(error.status, str(error))
            return b""
        if body.rest is None:
            return b""
        self._take, self._body = self._take_head, None
        self._open, self._unread = True, False
        self._begin(body.whole())
        return body.rest

    def _begin(self, body: bytes) -> None:
        """Have the request answered, now or later."""
        try:
            self._answer(self._head, body, self._respond, self._start_ns)  # type: ignore[arg-type]  # a body has a head
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            self._failed(error, self._respond)

    def _failed(self, error: Exception, respond: Respond) -> None:
        journal("request_failed", error=repr(error))
        if self._open:
            respond(*INTERNAL_ERROR)
