"""Every server must give what ONNX Runtime gives, or its figures mean nothing."""

import math

from measuring.calls import Call, message_of
from measuring.servers import Server

_CLOSE = 1e-6


def check(server: Server, call: Call, expected: float) -> None:
    """Ask once over HTTP.

    Raises:
        SystemExit: It says something else.
    """
    status, body, headers = server.ask(call)
    if status != 200:
        raise SystemExit(f"{server.name} answers {status}: {body[:300]!r}")
    _compare(server.name, call.probability(body, headers), expected)


def check_grpc(name: str, port: int, call: Call, expected: float) -> None:
    """Ask once over gRPC, with gRPC's own client.

    Raises:
        SystemExit: It says something else.
    """
    import grpc  # noqa: PLC0415 - only here

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = channel.unary_unary(call.path)(message_of(call), timeout=30, wait_for_ready=True)
    _compare(name, call.probability(answer, {}), expected)


def _compare(name: str, found: float, expected: float) -> None:
    if not math.isclose(found, expected, abs_tol=_CLOSE):
        raise SystemExit(f"{name} gives {found}, ONNX Runtime {expected}")
