"""A call's head, as the rest of the server sees it, and what HTTP's statuses are called here."""

import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from math import isinf
from typing import Any

from serving.runtime.app import GRPC
from serving.runtime.deadlines import TIMEOUT_HEADER

OK, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL = 0, 4, 12, 13
_CODES: Mapping[int, int] = {
    200: OK,
    400: 3,  # INVALID_ARGUMENT
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 5,  # NOT_FOUND
    409: 9,  # FAILED_PRECONDITION
    413: 8,  # RESOURCE_EXHAUSTED
    415: 3,  # INVALID_ARGUMENT
    429: 8,  # RESOURCE_EXHAUSTED
    500: INTERNAL,
    503: 14,  # UNAVAILABLE
    504: DEADLINE_EXCEEDED,
}


def code_of(status: int) -> int:
    """The gRPC status code for one of ours over HTTP."""
    return _CODES.get(status, INTERNAL)


def infer_path(name: str, version: str) -> str:
    """Where a model's handler for messages lies among the addresses; no HTTP path begins without a slash."""
    return f"{GRPC}{name}:{version}"


class CallHead:
    """Looks like the head of an HTTP request; what is seldom asked for is made when it is."""

    query_string = ""

    def __init__(self, method: str, path: str, call: Any, event: Any, message: Any) -> None:
        """`event` is the core's: the call's metadata and deadline."""
        self.method, self.path, self.message = method, path, message
        self._call, self._event = call, event

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The call's metadata, texts only, and its deadline as the header that says the same over HTTP."""
        pairs: Iterable[tuple[str, Any]] = self._event.invocation_metadata
        headers = {key: value for key, value in pairs if isinstance(value, str)}
        left_s = self._left_s()
        if left_s is not None and TIMEOUT_HEADER not in headers:
            headers[TIMEOUT_HEADER] = f"{max(left_s, 0.0) * 1000:.3f}"
        return headers

    @cached_property
    def client(self) -> str:
        """Address and port of the peer."""
        peer: str = self._call.peer().decode()
        kind, _, address = peer.partition(":")
        return address if kind.startswith("ipv") else kind

    def _left_s(self) -> float | None:
        at_s = self._event.call_details.deadline
        return None if at_s is None or isinf(at_s) else at_s - time.time()
