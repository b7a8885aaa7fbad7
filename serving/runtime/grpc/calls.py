"""A call's head, as the rest of the server sees it, and what HTTP's statuses are called here."""

from collections.abc import Mapping
from functools import cached_property
from time import perf_counter_ns
from typing import Any, Protocol

from serving.runtime.app import GRPC
from serving.runtime.deadlines import TIMEOUT_HEADER

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = 0, 3, 4, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14
_CODES: Mapping[int, int] = {
    200: OK,
    400: INVALID_ARGUMENT,
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 5,  # NOT_FOUND
    409: 9,  # FAILED_PRECONDITION
    413: RESOURCE_EXHAUSTED,
    415: INVALID_ARGUMENT,
    429: RESOURCE_EXHAUSTED,
    500: INTERNAL,
    503: UNAVAILABLE,
    504: DEADLINE_EXCEEDED,
}


def code_of(status: int) -> int:
    """The gRPC status code for one of ours over HTTP."""
    return _CODES.get(status, INTERNAL)


def infer_path(name: str, version: str) -> str:
    """Where a model's handler for messages lies among the addresses; no HTTP path begins without a slash."""
    return f"{GRPC}{name}:{version}"


class Said(Protocol):
    """What a call's fields said."""

    timeout_ns: int | None

    @property
    def metadata(self) -> Mapping[str, str]:
        """For applications."""


class Caller(Protocol):
    """Whoever sent a message."""

    start_ns: int
    """`perf_counter_ns` when the call's head came."""

    @property
    def head(self) -> Said:
        """What it sent before."""

    @property
    def peer(self) -> str:
        """Address and port."""


class CallHead:
    """Looks like the head of an HTTP request; what is seldom asked for is made when it is."""

    query_string = ""

    def __init__(self, method: str, path: str, caller: Caller, message: Any) -> None:
        """What a message asks for, by the address that stands for it."""
        self.method, self.path, self.message = method, path, message
        self._caller = caller

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The call's metadata, texts only, and its deadline as the header that says the same over HTTP."""
        said = self._caller.head
        if said.timeout_ns is None or TIMEOUT_HEADER in said.metadata:
            return said.metadata
        left_ns = said.timeout_ns - (perf_counter_ns() - self._caller.start_ns)
        return {**said.metadata, TIMEOUT_HEADER: f"{max(left_ns, 0) / 1e6:.3f}"}

    @property
    def client(self) -> str:
        """Address and port of the peer."""
        return self._caller.peer
