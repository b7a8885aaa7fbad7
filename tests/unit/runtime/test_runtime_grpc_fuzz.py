"""Whatever a client sends over gRPC: its call is no fault of ours, and the next call is answered."""

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import http2_cases as rfc
import numpy as np
import pytest
from hpack import Decoder
from http2_cases import frames_of
from http2_talking import Link
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from serving.runtime.app import App
from serving.runtime.front import front_of
from serving.runtime.grpc.http2 import Http2
from serving.runtime.grpc.messages import message
from serving.runtime.grpc.server import Calls
from serving.runtime.grpc.service import Service
from serving.runtime.model import Model
from serving.runtime.served import Served
from serving.runtime.settings import Settings

SERVICE = b"/inference.GRPCInferenceService/"
METHODS = (
    b"ServerLive ServerReady ModelReady ServerMetadata ModelMetadata ModelInfer RepositoryIndex "
    b"RepositoryModelLoad RepositoryModelUnload"
).split()
HEALTH = (b"/grpc.health.v1.Health/Check", b"/grpc.health.v1.Health/Watch")
CLIENTS_FAULT = {0, 3, 4, 5, 7, 8, 9, 12}
"""OK, and the codes that are about the request: neither UNKNOWN, INTERNAL nor UNAVAILABLE."""
CONTENTS = {
    "bool_contents": st.booleans(),
    "int_contents": st.integers(-(2**31), 2**31 - 1),
    "int64_contents": st.integers(-(2**63), 2**63 - 1),
    "uint_contents": st.integers(0, 2**32 - 1),
    "uint64_contents": st.integers(0, 2**64 - 1),
    "fp32_contents": st.floats(width=32),
    "fp64_contents": st.floats(),
    "bytes_contents": st.binary(max_size=6) | st.sampled_from([b"red", b"{}", b'{"amount": 1}', b"\xff"]),
}
TYPES = ("FP32", "FP64", "FP16", "BF16", "INT64", "INT32", "UINT8", "BOOL", "BYTES")
NAMES = ("features", "amount", "months", "colour", "paint_id", "event_time", "records", "")
NUMBERS = st.integers(-2, 4) | st.sampled_from([2**31, 2**62, 2**63 - 1, -(2**63)])
RAW = (
    st.binary(max_size=30)
    | st.lists(st.floats(width=32), min_size=3, max_size=3).map(lambda row: _packed("<f4", row))
    | st.sampled_from([bytes(12), b"\3\0\0\0red", b"\xff\xff\xff\xffred", b"\4\0\0\0red", b"\0" * 24])
)


def _packed(dtype: str, values: Sequence[float]) -> bytes:
    return np.array(values, dtype).tobytes()


@st.composite
def requests(draw: Any) -> bytes:
    """A ModelInferRequest that is nearly one for the model of these tests."""
    request = message("ModelInferRequest")(
        model_name=draw(st.sampled_from(["paint"] * 8 + ["", "other", "a:b", "paint:r1", "../x"])),
        model_version=draw(st.sampled_from([""] * 6 + ["r1", "2", ":", "?"])),
        id=draw(st.sampled_from(["", "a", "b" * 300, "é\n"])),
    )
    for _ in range(draw(st.integers(0, 4))):
        tensor = request.inputs.add(
            name=draw(st.sampled_from(NAMES) | st.text(max_size=3)),
            datatype=draw(st.sampled_from(TYPES) | st.text(max_size=3)),
            shape=draw(st.sampled_from([[1, 3], [1], [2], []]) | st.lists(NUMBERS, max_size=3)),
        )
        for field in draw(st.lists(st.sampled_from(sorted(CONTENTS)), max_size=2, unique=True)):
            getattr(tensor.contents, field).extend(draw(st.lists(CONTENTS[field], max_size=4)))
        _say(draw, tensor)
    request.raw_input_contents.extend(draw(st.lists(RAW, max_size=4)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        asked = draw(st.sampled_from(["probability", "decision", "", "other"]))
        _say(draw, request.outputs.add(name=asked))
    _say(draw, request)
    return bytes(request.SerializeToString())


def _say(draw: Any, part: Any) -> None:
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1]))):
        key = draw(st.sampled_from(["timeout", "binary_data_output", "classification", ""]))
        part.parameters.add(key=key).value.int64_param = draw(NUMBERS)


def rows() -> st.SearchStrategy[bytes]:
    """Whole requests that hold up until the values are looked at."""

    def made(values: list[float], kind: str) -> bytes:
        request = message("ModelInferRequest")(model_name="paint")
        request.inputs.add(name="features", datatype=kind, shape=[1, 3])
        request.raw_input_contents.append(_packed({"FP32": "<f4", "FP64": "<f8"}[kind], values))
        return bytes(request.SerializeToString())

    return st.builds(
        made, st.lists(st.floats(width=32), min_size=3, max_size=3), st.sampled_from(["FP32", "FP64"])
    )


@st.composite
def spoilt(draw: Any, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of a message, damaged now and then: cut, grown, doubled, a byte changed."""
    body = draw(whole)
    at = draw(st.integers(0, len(body)))
    match draw(st.sampled_from(["whole"] * 4 + ["cut", "grown", "doubled", "changed", "noise"])):
        case "cut":
            return body[:at]
        case "grown":
            return body[:at] + draw(st.binary(min_size=1, max_size=8)) + body[at:]
        case "doubled":
            return body + draw(whole)
        case "changed":
            return body[:at] + draw(st.binary(min_size=1, max_size=1)) + body[at + 1 :]
        case "noise":
            return draw(st.binary(max_size=60))
    return body


@st.composite
def bodies(draw: Any, messages: st.SearchStrategy[bytes]) -> tuple[bytes, bytes]:
    """A message in its envelope, which may lie, and what `grpc-encoding` says."""
    body = draw(messages)
    encoding = draw(st.sampled_from([b"identity"] * 6 + [b"gzip", b"deflate", b"snappy", b"", b"\xff"]))
    flag = draw(st.sampled_from([0] * 8 + [1, 1, 2, 255]))
    if flag == 1 and draw(st.booleans()):
        body = {b"gzip": gzip.compress, b"deflate": zlib.compress}.get(encoding, bytes)(body)
    said = max(0, len(body) + draw(st.sampled_from([0] * 12 + [-1, 1, 5, 2**31])))
    return bytes((flag,)) + said.to_bytes(4, "big") + body, encoding


HEADS = st.lists(
    st.sampled_from(
        [
            *[
                (b"grpc-timeout", text)
                for text in (b"1S", b"99999999H", b"0n", b"1", b"-1S", b"1.5S", b"\xd9\xa3S")
            ],
            (b"content-length", b"7"),
            (b"content-type", b"application/json"),
            (b"content-type", b"application/grpc+json"),
            (b"authorization", b"Bearer \xff"),
            (b"x-request-id", b"\xe9" * 300),
            (b"x-request-timeout-ms", b"nan"),
            (b"x-request-timeout-ms", b"1e400"),
            (b"trace-bin", b"!"),
            (b"traceparent", b"00-0-0-0"),
            (b"te", b"gzip"),
            (b"x" * 100, b"y" * 100),
        ]
    ),
    max_size=2,
)


def asked(path: bytes, more: Sequence[tuple[bytes, bytes]], body: bytes, cuts: Sequence[int]) -> bytes:
    """A call as frames, its body cut anywhere."""
    fields = (rfc.METHOD, rfc.SCHEME, (b":path", path), rfc.AUTHORITY, rfc.TYPE, rfc.TE)
    block = b"".join(_literal(name, value) for name, value in (*fields, *more))
    edges = [0, *sorted({cut for cut in cuts if cut < len(body)}), len(body)]
    pieces = [body[begin:end] for begin, end in pairwise(edges)]
    data = [rfc.data(1, piece, rfc.END_STREAM * (at == len(pieces))) for at, piece in enumerate(pieces, 1)]
    return rfc.frame(rfc.HEADERS, rfc.END_HEADERS, 1, block) + b"".join(data)


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + _text(name) + _text(value)


def _text(said: bytes) -> bytes:
    """With its length (RFC 7541, 5.1), which takes three bytes here at most."""
    more = len(said) - 127
    size = bytes((len(said),)) if more < 0 else bytes((127, more & 0x7F | 0x80, more >> 7))
    return size + said


Ask = Callable[[bytes], Link]
GUARDED = {"access_log": {}, "limits": {"max_in_flight": 5, "rate_rps": 1e9, "client_deadlines": True}}


@pytest.fixture(params=[{}, GUARDED], ids=["bare", "guarded"])
def ask(request: Any, bundled: Callable[[str], Any]) -> Iterator[Ask]:
    """Gives bytes behind the greeting to a new connection of one server, with a good call behind them."""
    wishes, bundle = Settings(grpc_port=0, **request.param), bundled("logistic")
    app = App([Served(bundle, "r1", Model(bundle), settings=wishes)], wishes)
    app.ready, app.heavy_body_bytes = True, 1 << 30  # everything here and now
    front = front_of(app, wishes, [])
    calls = Calls(Service(app, front))

    def heard(data: bytes) -> Link:
        link = Link()
        Http2(link, calls).received(rfc.GREETING + data + rfc.call(rfc.LAST))
        return link

    yield heard
    if front is not None:
        front.close()


def status_of(link: Link, stream: int) -> int | None:
    """The code that a call ended with: gRPC's, or HTTP's if that is no 200; None where it was reset."""
    decoder, said = Decoder(), dict[bytes, bytes]()
    for kind, _, number, payload in frames_of(link.out):
        if kind == rfc.HEADERS:
            fields = decoder.decode(payload, raw=True)
            said.update(dict(fields) if number == stream else {})
        elif (kind, number) == (rfc.RST_STREAM, stream):
            return None
    return int(said[b"grpc-status"]) if said[b":status"] == b"200" else int(said[b":status"])


def check(link: Link) -> None:
    """The call was not answered by an error of ours, and the one behind it was answered."""
    code = status_of(link, 1)
    event(f"code {code}")

    assert code is None or code in CLIENTS_FAULT or 400 <= code < 500
    assert not link.closed
    assert status_of(link, rfc.LAST) == 0


CUTS = st.lists(st.integers(0, 80), max_size=4)
UNHURRIED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@settings(UNHURRIED, max_examples=30)
@given(body=bodies(spoilt(requests() | rows())), more=HEADS | st.just([]), cuts=CUTS)
def test_no_message_is_our_error(
    ask: Ask, body: tuple[bytes, bytes], more: list[Any], cuts: list[int]
) -> None:
    check(ask(asked(SERVICE + b"ModelInfer", [*more, (b"grpc-encoding", body[1])], body[0], cuts)))


PATHS = st.sampled_from([SERVICE + method for method in METHODS] + [*HEALTH]) | st.binary(
    min_size=1, max_size=20
)
NAMED = st.builds(
    lambda name, version: message("ModelReadyRequest")(name=name, version=version).SerializeToString(),
    st.sampled_from(["paint", "other", "", "a/b", "é"]),
    st.sampled_from(["", "r1", "9", "../.."]),
)


@settings(UNHURRIED, max_examples=25)
@given(path=PATHS, body=bodies(spoilt(NAMED | requests())), cuts=CUTS)
def test_no_method_is_our_error(ask: Ask, path: bytes, body: tuple[bytes, bytes], cuts: list[int]) -> None:
    link = ask(asked(path, [(b"grpc-encoding", body[1])], body[0], cuts))
    if not path.endswith(b"Watch"):  # which goes on
        check(link)
