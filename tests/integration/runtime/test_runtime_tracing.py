"""A collector of our own gets the spans of a real server over OTLP/HTTP, in protobuf."""

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra `tracing`")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

INFER = "/v2/models/echo/infer"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NAMES = {"receive", "decode", "score", "encode"}


class Collector(ThreadingHTTPServer):
    """Takes spans, decodes them, remembers them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.lock = threading.Lock()

    def wait_for(self, count: int) -> list[Any]:
        deadline = time.monotonic() + 30
        while len(self.spans) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return list(self.spans)


class _Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        with self.server.lock:
            for group in request.resource_spans:
                self.server.resources.append(
                    {each.key: each.value.string_value for each in group.resource.attributes}
                )
                self.server.spans += [span for scope in group.scope_spans for span in scope.spans]
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def traced(start: Any, collector: Collector, tmp_path: Path) -> Any:
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"traces": f"http://127.0.0.1:{collector.server_port}/v1/traces"}))
    return start("--settings", str(file), "--drain-s", "0")


def row(score: float, work: int = 0) -> dict[str, Any]:
    columns = {"score": ("FP32", score), "work": ("INT64", work), "colour": ("BYTES", "red")}
    return {
        "inputs": [{"name": n, "shape": [1], "datatype": k, "data": [v]} for n, (k, v) in columns.items()]
    }


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_a_request_is_one_span_of_its_clients_trace_with_a_span_a_stage(
    traced: Any, collector: Collector
) -> None:
    began_ns = time.time_ns()
    answer = httpx.post(
        traced.url + INFER,
        json=row(0.5, work=900),
        headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"},
        timeout=30,
    )
    spans = collector.wait_for(5)
    ended_ns = time.time_ns()

    by_name = {span.name: span for span in spans}
    root = by_name.pop(f"POST {INFER}")
    assert answer.headers["x-request-id"] == "mine"
    assert by_name.keys() == NAMES
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert root.parent_span_id.hex() == PARENT
    assert {span.parent_span_id for span in by_name.values()} == {root.span_id}
    assert began_ns <= root.start_time_unix_nano < root.end_time_unix_nano <= ended_ns
    order = [by_name[name] for name in ("receive", "decode", "score", "encode")]
    moments = [moment for span in order for moment in (span.start_time_unix_nano, span.end_time_unix_nano)]
    assert moments == sorted(moments)
    assert (moments[0], moments[-1]) == (root.start_time_unix_nano, root.end_time_unix_nano)
    longest = max(order, key=lambda span: span.end_time_unix_nano - span.start_time_unix_nano)
    assert longest.name == "score", "two 900 x 900 matrices are multiplied there"
    told = attributes(root)
    assert (told["http.response.status_code"], told["modelway.rows"]) == (200, 1)
    assert (told["modelway.request_id"], told["modelway.revision"]) == ("mine", "r1")
    assert collector.resources[0]["service.name"] == "modelway"


def test_failures_are_marked_and_refusals_have_no_score(traced: Any, collector: Collector) -> None:
    assert httpx.post(traced.url + INFER, json=row(0.5, work=-1), timeout=30).status_code == 500
    assert httpx.post(traced.url + INFER, content=b"{", timeout=30).status_code == 400
    spans = collector.wait_for(5)
    roots = sorted(
        (span for span in spans if not span.parent_span_id), key=lambda span: span.start_time_unix_nano
    )

    assert [attributes(root)["http.response.status_code"] for root in roots] == [500, 400]
    assert [root.status.code for root in roots] == [2, 0]
    assert len({root.trace_id for root in roots}) == 2
    assert not [span for span in spans if span.name in ("score", "encode")]


def test_a_client_that_does_not_want_a_trace_gets_none(traced: Any, collector: Collector) -> None:
    unwanted = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    assert httpx.post(traced.url + INFER, json=row(0.5), headers=unwanted, timeout=30).status_code == 200
    assert httpx.post(traced.url + INFER, json=row(0.5), timeout=30).status_code == 200
    traced.stop()

    assert all(span.trace_id.hex() != TRACE for span in collector.spans)
    assert len(collector.spans) == 5


def test_a_collector_that_is_gone_costs_no_answer(traced: Any, collector: Collector) -> None:
    collector.shutdown()
    collector.server_close()
    with httpx.Client(base_url=traced.url, timeout=30) as client:
        assert {client.post(INFER, json=row(0.5)).status_code for _ in range(50)} == {200}
    assert traced.metric("modelway_requests_total", status="200") == 50
