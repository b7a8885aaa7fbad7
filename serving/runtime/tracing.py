"""Traces by OpenTelemetry: one span a request, and one for each stage that it passed, sent over OTLP/HTTP.

A request only leaves its marks in a bounded queue. A thread turns them into spans and sends them; when the
collector is slower than the traffic, requests go without a trace and are counted.
"""

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from modelway.errors import ConfigError
from serving.runtime.exposition import Family
from serving.runtime.front import Reply
from serving.runtime.journal import journal
from serving.runtime.marks import Marks

MAX_WAITING = 4096
_POLL_S = 0.25
_SERVER_ERROR = 500
_SENDING_LIMIT_S = 5.0


class _Seen(NamedTuple):
    """What is kept of a request until its spans are made."""

    marks: Marks
    ended_ns: int
    unix_ns: int
    """Of the request's head, nanoseconds since 1970."""
    context: Mapping[str, str]
    """`traceparent` and `tracestate`, as they came."""
    name: str
    attributes: Mapping[str, str | int]
    failed: bool


class Traces:
    """An observer of requests that makes spans of them."""

    def __init__(self, endpoint: str, service: Mapping[str, str], *, max_waiting: int = MAX_WAITING) -> None:
        """Prepare; `start` begins.

        Args:
            endpoint: Where spans are posted, `http://host:4318/v1/traces`.
            service: Attributes of all spans: `service.name` and the like.
            max_waiting: Requests whose spans are not made yet; more go without.

        Raises:
            ConfigError: OpenTelemetry is not installed.
        """
        self._provider, self._propagator = _open_telemetry(endpoint, service)
        self._tracer = self._provider.get_tracer("modelway.serving")
        self._max_waiting = max_waiting
        self._seen: deque[_Seen] = deque()
        self._stop = threading.Event()
        self._made = self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ended(self, reply: Reply) -> None:
        """Keep what its spans need; never waits."""
        if len(self._seen) >= self._max_waiting:
            self._dropped += 1
            return
        head, marks = reply.head, reply.marks
        context = {name: head.headers.get(name) for name in ("traceparent", "tracestate")}
        attributes: dict[str, str | int] = {
            "http.request.method": head.method,
            "url.path": head.path,
            "http.response.status_code": reply.status,
            "http.request.body.size": reply.body_bytes,
            "http.response.body.size": reply.sent_bytes,
            "modelway.revision": next((value for key, value in reply.headers if key == "x-revision"), ""),
            "modelway.rows": marks.rows,
            "modelway.request_id": marks.request_id or "",
        }
        given = {name: value for name, value in context.items() if value is not None}
        name, failed = f"{head.method} {head.path}", reply.status >= _SERVER_ERROR
        self._seen.append(_Seen(marks, reply.ended_ns, reply.unix_ns, given, name, attributes, failed))

    def close(self) -> None:
        """Send what waits and stop."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(2 * _SENDING_LIMIT_S)

    def families(self) -> Iterable[Family]:
        """How many requests got a trace, and how many went without."""
        name = "modelway_traces_total"
        counts = {"made": self._made, "dropped": self._dropped}
        samples = [f'{name}{{result="{result}"}} {count}' for result, count in counts.items()]
        yield Family(name, "counter", "Requests by whether their trace was made.", samples)

    def _run(self) -> None:
        while not self._stop.wait(_POLL_S):
            self._make_all()
        self._make_all()
        self._provider.shutdown()

    def _make_all(self) -> None:
        while self._seen:
            try:
                self._make(self._seen.popleft())
            except Exception as error:  # noqa: BLE001 - no trace is worth the thread that makes the others
                self._dropped += 1
                journal("trace_failed", error=repr(error))
            else:
                self._made += 1

    def _make(self, seen: _Seen) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an optional extra

        offset_ns = seen.unix_ns - seen.marks.head_ns
        root = self._tracer.start_span(
            seen.name,
            context=self._propagator.extract(seen.context),
            kind=trace.SpanKind.SERVER,
            attributes=dict(seen.attributes),
            start_time=seen.unix_ns,
        )
        if seen.failed:
            root.set_status(trace.StatusCode.ERROR)
        inside = trace.set_span_in_context(root)
        for name, start_ns, end_ns in stages(seen.marks, seen.ended_ns):
            span = self._tracer.start_span(name, context=inside, start_time=start_ns + offset_ns)
            span.end(end_ns + offset_ns)
        root.end(seen.ended_ns + offset_ns)


def stages(marks: Marks, ended_ns: int) -> list[tuple[str, int, int]]:
    """Each stage that a request passed: name, begin, end. Who let nobody wait has no queue.

    Args:
        marks: Moments of `perf_counter_ns`, 0 where it never came.
        ended_ns: When its answer was on its way.
    """
    scoring_ns = marks.scoring_ns or marks.decoded_ns
    bounds = [
        ("receive", marks.head_ns, marks.body_ns),
        ("decode", marks.body_ns, marks.decoded_ns),
        ("queue", marks.decoded_ns if marks.scoring_ns else 0, marks.scoring_ns),
        ("score", scoring_ns if marks.scored_ns else 0, marks.scored_ns),
        ("encode", marks.scored_ns, ended_ns),
    ]
    return [(name, start_ns, end_ns) for name, start_ns, end_ns in bounds if start_ns and end_ns >= start_ns]


def _open_telemetry(endpoint: str, service: Mapping[str, str]) -> tuple[Any, Any]:
    """A provider that sends to the endpoint, and the reader of W3C's trace context."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an optional extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - as above
            TraceContextTextMapPropagator,
        )
    except ImportError as error:
        raise ConfigError(
            f"traces cannot be sent: {error}",
            expected="OpenTelemetry's SDK and its OTLP exporter",
            remedy="pip install 'modelway[tracing]', or leave `traces` out of the settings",
        ) from error
    provider = TracerProvider(resource=Resource.create(dict(service)), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_SENDING_LIMIT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    return provider, TraceContextTextMapPropagator()
