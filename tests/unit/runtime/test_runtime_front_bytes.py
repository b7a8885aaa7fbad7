"""What an observer is told of how much went out."""

from collections.abc import Callable

import pytest
from runtime_asking import Asked

from serving.runtime.app import App
from serving.runtime.front import Front, Reply


class Told:
    def __init__(self) -> None:
        self.sent_bytes: list[int] = []

    def ended(self, reply: Reply) -> None:
        self.sent_bytes.append(reply.sent_bytes)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("path", ["/v2", "/v2/nowhere"])
def test_the_body_that_head_leaves_out_is_not_counted_as_sent(served: Callable[..., App], path: str) -> None:
    told, bodies = Told(), list[bytes]()
    front = Front(served("logistic"), None, [told], {})
    for method in ("GET", "HEAD"):
        front.open(Asked(path, method), lambda _status, _headers, body: bodies.append(body))
    front.close()

    assert bodies[0] == bodies[1], "the transport needs its length"
    assert told.sent_bytes == [len(bodies[0]), 0]
