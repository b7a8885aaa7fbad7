"""What stands between the transport and the application where requests are counted, turned away or looked at.

A server without keys, limits, access log and traces has no front: its transport calls the application.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns, time_ns
from typing import Protocol
from uuid import uuid4

from serving.runtime.admission import Admission, Client, Denial
from serving.runtime.exposition import Source
from serving.runtime.journal import journal
from serving.runtime.marks import Marks
from serving.runtime.net.turn import Turn
from serving.runtime.settings import AccessLog, Settings
from serving.runtime.transport import INTERNAL_ERROR, READS, Application, Head, Headers, Respond

REQUEST_ID = "x-request-id"
_MAX_ID_CHARS = 128
Document = Callable[[], tuple[int, Headers, bytes]]
"""Status, headers and body of a document; may take its time."""
_SERVER_ERROR = 500


class Observer(Protocol):
    """Sees every request once its answer is on its way."""

    def ended(self, reply: "Reply") -> None:
        """Must neither wait nor raise."""

    def close(self) -> None:
        """Finish what it has; nothing comes any more."""


class Reply:
    """How one request is answered; what is known of it by then."""

    __slots__ = (
        "_front",
        "_respond",
        "body_bytes",
        "client",
        "ended_ns",
        "entered",
        "head",
        "headers",
        "marks",
        "sent_bytes",
        "status",
        "unix_ns",
    )

    def __init__(self, front: "Front", head: Head, respond: Respond, request_id: str | None) -> None:
        """Its head has come."""
        self._front, self._respond, self.head = front, respond, head
        self.marks = Marks(request_id, perf_counter_ns())
        self.unix_ns = time_ns() if request_id is not None else 0
        self.client = ""
        self.headers: Headers = []
        self.entered = False
        self.status = self.body_bytes = self.sent_bytes = self.ended_ns = 0

    def __call__(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer it."""
        if self.entered:
            self.entered = False
            self._front.leave()
        if self.marks.request_id is None:
            self._respond(status, headers, body)
            return
        self._respond(status, [*headers, (REQUEST_ID, self.marks.request_id)], body)
        self.status, self.headers = status, headers
        self.sent_bytes = 0 if self.head.method == "HEAD" else len(body)  # RFC 9110, 9.3.2
        self.ended_ns = perf_counter_ns()
        self._front.ended(self)


class Front:
    """An application with a door."""

    def __init__(
        self,
        inner: Application,
        admission: Admission | None,
        observers: Sequence[Observer],
        documents: Mapping[str, Document],
    ) -> None:
        """Put a door before `inner`; `documents` are answered here, on a thread that may wait."""
        self._inner, self._admission, self._observers = inner, admission, observers
        self._documents, self._aside = documents, ThreadPoolExecutor(1, thread_name_prefix="front")
        self.max_body_bytes = inner.max_body_bytes

    def open(self, head: Head, respond: Respond) -> Respond | None:
        """How to answer a request whose body is wanted; None when it was answered without."""
        reply = Reply(self, head, respond, _request_id(head) if self._observers else None)
        denial = self._identified(reply)
        if denial is None and head.path in self._documents and head.method in READS:
            self._aside.submit(_say, self._documents[head.path], reply)
            return None
        answer = self._denied(denial) if denial is not None else self._inner.at_once(head)
        if answer is None and self._admission is not None:
            denial = self._admission.enter(Client(reply.client))
            reply.entered = denial is None
            answer = None if denial is None else self._denied(denial)
        if answer is None:
            return reply
        reply(*answer)
        return None

    def at_once(self, head: Head) -> tuple[int, Headers, bytes] | None:
        """As the application does."""
        return self._inner.at_once(head)

    def answer(self, head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
        """As the application does."""
        if isinstance(respond, Reply):
            respond.marks.body_ns, respond.body_bytes = perf_counter_ns(), len(body)
        self._inner.answer(head, body, respond, start_ns)

    def refuse(self, status: int, message: str) -> tuple[int, Headers, bytes]:
        """As the application does."""
        return self._inner.refuse(status, message)

    def leave(self) -> None:
        """One that was let in is answered."""
        if self._admission is not None:
            self._admission.leave()

    def ended(self, reply: Reply) -> None:
        """Tell whoever looks."""
        for observer in self._observers:
            observer.ended(reply)

    def close(self) -> None:
        """Let whoever looks finish; nothing comes any more."""
        self._aside.shutdown(wait=True)
        for observer in self._observers:
            observer.close()

    def _identified(self, reply: Reply) -> Denial | None:
        if self._admission is None:
            reply.client = reply.head.client.rpartition(":")[0]
            return None
        who = self._admission.identify(reply.head)
        if isinstance(who, Denial):
            return who
        reply.client = who.name
        return None

    def _denied(self, denial: Denial) -> tuple[int, Headers, bytes]:
        status, headers, body = self._inner.refuse(denial.status, denial.message)
        return status, [*headers, *denial.headers], body


class AccessLines:
    """The access log: one line of the server's own log a request."""

    def __init__(self, wishes: AccessLog) -> None:
        """Write a share of the requests, and all that failed."""
        self._share = wishes.share

    def ended(self, reply: Reply) -> None:
        """Write its line."""
        if reply.status < _SERVER_ERROR and self._share < 1 and random.random() >= self._share:  # noqa: S311 - a sample
            return
        marks, head = reply.marks, reply.head
        journal(
            "request",
            request_id=marks.request_id,
            client=reply.client,
            method=head.method,
            path=head.path,
            status=reply.status,
            rows=marks.rows,
            bytes_in=reply.body_bytes,
            bytes_out=reply.sent_bytes,
            took_us=(reply.ended_ns - marks.head_ns) // 1000,
        )

    def close(self) -> None:
        """Nothing waits."""


def _say(document: Document, reply: Respond) -> None:
    try:
        answer = document()
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
        journal("request_failed", error=repr(error))
        answer = INTERNAL_ERROR
    reply(*answer)


def front_of(
    app: Application,
    settings: Settings,
    sources: list[Source],
    documents: Mapping[str, Document] | None = None,
    turn: Turn | None = None,
) -> Front | None:
    """The front that the settings ask for; None where they ask for nothing of it.

    Args:
        app: What stands behind it.
        settings: Keys, limits, access log.
        sources: Gets what the front counts.
        documents: Addresses that are not answered by this process alone.
        turn: Of the loop that brings the requests.

    Raises:
        ConfigError: The keys file cannot be used, or OpenTelemetry is not installed.
    """
    if not (settings.guarded or settings.observed or documents):
        return None
    admission = Admission(settings, turn) if settings.guarded else None
    sources += [] if admission is None else [admission]
    observers: list[Observer] = [] if settings.access_log is None else [AccessLines(settings.access_log)]
    if settings.traces is not None:
        from serving.runtime.tracing import Traces  # noqa: PLC0415 - OpenTelemetry is only loaded where asked for

        traces = Traces(settings.traces, {"service.name": "modelway"})
        traces.start()
        observers.append(traces)
        sources.append(traces)
    return Front(app, admission, observers, documents or {})


def _request_id(head: Head) -> str:
    """The one that the client sent, if it can be shown to anybody; else a new one."""
    sent: str | None = head.headers.get(REQUEST_ID)
    usable = sent is not None and 0 < len(sent) <= _MAX_ID_CHARS and sent.isascii() and sent.isprintable()
    return sent if usable and sent is not None else uuid4().hex
