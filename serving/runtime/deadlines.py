"""Until when a request is worth scoring: the model's policy, or less if its client says so."""

from time import perf_counter_ns

import msgspec

from serving.runtime.exchange import Exchange, Scorer
from serving.runtime.problems import ExpiredError, RequestError, shown
from serving.runtime.transport import Head

TIMEOUT_HEADER = "x-request-timeout-ms"
"""Milliseconds from the request's head. gRPC's deadline comes as this header too."""


class _Parameters(msgspec.Struct):
    timeout: int | None = None
    """Microseconds, as V2's clients send it."""


class _Request(msgspec.Struct):
    parameters: _Parameters | None = None


_decode = msgspec.json.Decoder(_Request).decode


class Deadlines:
    """Finds a request's limit."""

    def __init__(self, policy_ms: float | None) -> None:
        """None: only what clients ask for."""
        self._policy_ns = None if policy_ms is None else round(policy_ms * 1e6)

    def of(self, head: Head, body: bytes, start_ns: int) -> int | None:
        """Moment of `perf_counter_ns` after which the request is not scored any more; None for never.

        Raises:
            RequestError: The client's own limit is none.
        """
        limits_ns = [self._policy_ns, _header_ns(head.headers.get(TIMEOUT_HEADER)), _parameter_ns(body)]
        given = [limit_ns for limit_ns in limits_ns if limit_ns is not None]
        return start_ns + min(given) if given else None


def in_time(then: Scorer) -> Scorer:
    """Refuse what comes too late; `then` gets the rest."""

    def score(exchange: Exchange) -> None:
        if exchange.deadline_ns is not None and perf_counter_ns() > exchange.deadline_ns:
            raise ExpiredError
        then(exchange)

    return score


def expired(exchange: Exchange) -> bool:
    """Whether its time is over; it is then refused."""
    if exchange.deadline_ns is None or perf_counter_ns() <= exchange.deadline_ns:
        return False
    exchange.fail(ExpiredError())
    return True


def _header_ns(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        limit_ns = round(float(text) * 1e6)
    except (ValueError, OverflowError):
        limit_ns = -1
    if limit_ns < 0:
        raise RequestError(f"header `{TIMEOUT_HEADER}` must be milliseconds, 0 or more, found {shown(text)}")
    return limit_ns


def _parameter_ns(body: bytes) -> int | None:
    """V2's parameter `timeout`. A body that is no such request is for the decoder to complain about."""
    if b'"timeout"' not in body:
        return None
    try:
        parameters = _decode(body[: body.rindex(b"}") + 1]).parameters
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if parameters is None or parameters.timeout is None:
        return None
    if parameters.timeout < 0:
        raise RequestError(f"parameter `timeout` must be microseconds, 0 or more, found {parameters.timeout}")
    return parameters.timeout * 1000
