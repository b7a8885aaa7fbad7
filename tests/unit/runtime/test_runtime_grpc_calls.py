"""A call's fields and its message: what is understood, what is refused, and how an answer is written."""

import gzip
import zlib
from collections.abc import Callable
from time import perf_counter_ns
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from hpack import Encoder
from http2_talking import HEAD, Client, Link, decoded, greeting, parsed, request
from hypothesis import given
from hypothesis import strategies as st

from modelway.bundle.bundle import Bundle
from serving.runtime.app import App
from serving.runtime.front import front_of
from serving.runtime.grpc import answers, frames
from serving.runtime.grpc.calls import CallHead, code_of
from serving.runtime.grpc.fields import Fields
from serving.runtime.grpc.heads import MAX_LIST_BYTES, RequestHead
from serving.runtime.grpc.http2 import Http2
from serving.runtime.grpc.messages import message
from serving.runtime.grpc.packing import MessageFault, packed, unpacked
from serving.runtime.grpc.server import wiring
from serving.runtime.grpc.service import Service
from serving.runtime.model import Model
from serving.runtime.served import Served
from serving.runtime.settings import Limits, Settings

LIMIT = 1000
LIVE = b"/inference.GRPCInferenceService/ServerLive"


def without(name: bytes, *more: tuple[bytes, bytes]) -> Fields:
    return [*(pair for pair in HEAD if pair[0] != name), *more]


@given(st.binary(max_size=LIMIT))
def test_a_message_comes_out_as_it_went_in(body: bytes) -> None:
    compressed = [(b"gzip", gzip.compress(body)), (b"deflate", zlib.compress(body))]

    assert unpacked(packed(body), b"identity", LIMIT) == body
    for encoding, data in compressed:
        assert unpacked(b"\1" + packed(data)[1:], encoding, LIMIT) == body


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        pytest.param(b"", b"identity", 3, id="none"),
        pytest.param(packed(b"abc")[:-1], b"identity", 3, id="cut"),
        pytest.param(packed(b"abc") + packed(b""), b"identity", 3, id="two"),
        pytest.param(b"\2" + packed(b"")[1:], b"identity", 3, id="flag"),
        pytest.param(b"\1" + packed(b"")[1:], b"identity", 3, id="compressed-by-nothing"),
        pytest.param(b"\1" + packed(b"")[1:], b"snappy", 12, id="compressed-by-something-else"),
        pytest.param(b"\1" + packed(b"abc")[1:], b"gzip", 3, id="no-gzip"),
        pytest.param(b"\1" + packed(gzip.compress(bytes(99))[:-9])[1:], b"gzip", 3, id="half-a-gzip"),
        pytest.param(b"\1" + packed(gzip.compress(bytes(LIMIT + 1)))[1:], b"gzip", 8, id="bomb"),
    ],
)
def test_what_is_not_one_message_has_a_status(body: bytes, encoding: bytes, code: int) -> None:
    with pytest.raises(MessageFault) as caught:
        unpacked(body, encoding, LIMIT)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "timeout_ns"),
    [
        (b"2H", 7_200 * 10**9),
        (b"3M", 180 * 10**9),
        (b"1S", 10**9),
        (b"99999999m", 99_999_999 * 10**6),
        (b"5u", 5000),
        (b"0n", 0),
    ],
)
def test_deadlines_have_six_units(text: bytes, timeout_ns: int) -> None:
    assert RequestHead([*HEAD, (b"grpc-timeout", text)]).timeout_ns == timeout_ns


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        pytest.param(without(b":method", (b":method", b"GET")), b"405", None, id="get"),
        pytest.param(without(b"content-type"), b"415", None, id="no-type"),
        pytest.param(
            without(b"content-type", (b"content-type", b"application/grpc2")), b"415", None, id="other-type"
        ),
        pytest.param(without(b"te"), b"400", b"3", id="no-te"),
        pytest.param([*HEAD, (b"x", b"y" * MAX_LIST_BYTES)], b"200", b"8", id="too-much"),
        pytest.param([*HEAD, (b"grpc-timeout", b"1")], b"200", b"3", id="no-unit"),
        pytest.param([*HEAD, (b"grpc-timeout", b"123456789S")], b"200", b"3", id="nine-digits"),
        pytest.param([*HEAD, (b"grpc-timeout", b"-1S")], b"200", b"3", id="negative"),
    ],
)
def test_what_is_not_grpc_is_refused_by_its_fields(fields: Fields, status: bytes, code: bytes | None) -> None:
    refusal = RequestHead(fields).refusal
    assert refusal is not None
    said = decoded(refusal)

    assert (said[b":status"], said.get(b"grpc-status")) == (status, code)


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc;x=y"])
def test_the_types_of_grpc_are_welcome(kind: bytes) -> None:
    head = RequestHead(without(b"content-type", (b"content-type", kind)))

    assert (head.valid, head.refusal) == (True, None)


def test_applications_see_texts_and_the_deadline() -> None:
    more = [
        (b"authorization", b"Bearer x"),
        (b"trace-bin", b"AA=="),
        (b"grpc-timeout", b"5S"),
        (b"user-agent", b"me"),
    ]
    caller = SimpleNamespace(head=RequestHead([*HEAD, *more]), start_ns=perf_counter_ns(), peer="[::1]:5")
    head = CallHead("POST", "grpc:m:", caller, None)
    left_ms = float(dict(head.headers)["x-request-timeout-ms"])

    assert {name for name in head.headers if name != "x-request-timeout-ms"} == {
        "authorization",
        "user-agent",
    }
    assert 0 <= left_ms <= 5000
    assert head.client == "[::1]:5"
    caller.head = RequestHead([*HEAD, *more, (b"x-request-timeout-ms", b"7")])
    assert CallHead("POST", "grpc:m:", caller, None).headers["x-request-timeout-ms"] == "7"


@given(st.text())
def test_texts_survive_as_percent_and_hex(text: str) -> None:
    written = answers.percent(text)

    assert all(0x20 <= byte < 0x7F for byte in written)
    assert unquote(written.decode()) == text.encode(errors="replace").decode()


def test_only_some_headers_go_back_and_none_begins_another_line() -> None:
    said = decoded(answers.begun([("x-revision", "a\r\nb"), ("content-type", "text"), ("retry-after", "1")]))

    assert (said[b"x-revision"], said[b"retry-after"]) == (b"a  b", b"1")
    assert said[b"content-type"] == b"application/grpc"


def test_every_status_has_a_code() -> None:
    assert [code_of(status) for status in (200, 400, 404, 413, 503, 504, 418)] == [0, 3, 5, 8, 14, 4, 13]


@pytest.fixture
def server(bundled: Callable[[str], Bundle]) -> tuple[Http2, Link]:
    bundle = bundled("logistic")
    app = App([Served(bundle, "r1", Model(bundle))], Settings(grpc_port=0))
    app.ready = True
    link = Link()
    made = wiring(Service(app))(link)  # type: ignore[arg-type]  # a connection without a socket
    assert isinstance(made, Http2)
    return made, link


def fields_of(path: bytes, *more: tuple[bytes, bytes]) -> Fields:
    return [*((name, path if name == b":path" else value) for name, value in HEAD), *more]


def test_a_call_whose_deadline_has_passed_is_not_done(server: tuple[Http2, Link]) -> None:
    http2, link = server
    http2.received(greeting() + request(1, packed(b""), None, fields_of(LIVE, (b"grpc-timeout", b"0n"))))
    (block,) = [
        payload for kind, _, number, payload in parsed(link.out) if (kind, number) == (frames.HEADERS, 1)
    ]

    assert decoded(block)[b"grpc-status"] == b"4"


def test_a_method_is_found_by_its_path(server: tuple[Http2, Link]) -> None:
    client = Client(*server)
    client.ask(1, packed(b""), fields_of(LIVE))
    client.h2.send_headers(3, fields_of(b"/inference.GRPCInferenceService/Other"))  # its message never comes
    client.talk()

    assert message("ServerLiveResponse").FromString(client.body(1)[5:]).live
    assert client.trailers(1)[b"grpc-status"] == b"0"
    assert any(
        b"Other" in value for event in client.events for _, value in getattr(event, "headers", None) or ()
    )


@pytest.mark.parametrize(
    "fields",
    [
        fields_of(b"/" + b"%" * 4000),
        fields_of(LIVE, (b"grpc-timeout", b"%" * 4000)),
        fields_of(LIVE, (b"grpc-encoding", b"%" * 4000)),
    ],
)
def test_a_refusal_is_not_much_longer_than_what_it_refuses(
    server: tuple[Http2, Link], fields: Fields
) -> None:
    http2, link = server
    encoder = Encoder()
    http2.received(greeting() + request(1, b"\1" + packed(b"")[1:], encoder, fields))
    link.take()
    http2.received(
        request(3, b"\1" + packed(b"")[1:], encoder, fields)
    )  # a few bytes now: all is in the table

    assert 0 < len(link.take()) < 500


def test_a_call_that_the_application_failed_gives_its_place_back(
    bundled: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundled("logistic")
    settings = Settings(grpc_port=0, limits=Limits(max_in_flight=1))
    app = App([Served(bundle, "r1", Model(bundle))], settings)
    app.ready = True
    front = front_of(app, settings, app.sources)

    def fails(*_: object) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setattr(app, "answer", fails)
    link = Link()
    client = Client(wiring(Service(app, front))(link), link)  # type: ignore[arg-type]  # as above
    infer = fields_of(b"/inference.GRPCInferenceService/ModelInfer")
    asked = message("ModelInferRequest")(model_name=bundle.signature.model_name).SerializeToString()
    for number in (1, 3):
        client.ask(number, packed(asked), infer)

    said = [dict(getattr(event, "headers", None) or ()) for event in client.events]
    codes = [fields[b"grpc-status"] for fields in said if b"grpc-status" in fields]
    assert codes == [b"13", b"13"]  # INTERNAL, and not UNAVAILABLE for want of room
