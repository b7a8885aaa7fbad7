"""The cases of RFC 9113 and RFC 7541 against the protocol, without a socket."""

from random import Random

import http2_cases as rfc
import pytest
from http2_cases import CASES, FLOODS, Case, demanded, frames_of, outcome
from http2_talking import connected
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_standards_demand_is_done(case: Case) -> None:
    server, link, _ = connected()
    server.received(case.sent)

    assert outcome(case, link.out) == demanded(case)
    assert link.closed == (case.ends is not None)


def test_the_limits_of_the_cases_are_those_that_are_announced() -> None:
    server, link, _ = connected()
    server.received(rfc.GREETING)
    kind, _, _, payload = frames_of(link.out)[0]
    said = {
        int.from_bytes(payload[at : at + 2]): int.from_bytes(payload[at + 2 : at + 6])
        for at in range(0, 24, 6)
    }

    assert kind == rfc.SETTINGS
    assert said[rfc.MAX_FRAME_SIZE] == rfc.MAX_FRAME_BYTES
    assert said[rfc.MAX_CONCURRENT_STREAMS] == rfc.MOST_STREAMS


@pytest.mark.parametrize("taken", [0, 3])
def test_an_answer_that_its_client_does_not_take_is_given_up(taken: int) -> None:
    server, link, _ = connected()
    server.received(rfc.GREETING + rfc.HELD + rfc.call())
    for _ in range(60):
        server.overdue(100.0)
    server.received(rfc.window(1, taken) if taken else b"")
    server.overdue(100.0)

    resets = {stream for kind, _, stream, _ in frames_of(link.out) if kind == rfc.RST_STREAM}
    assert resets == (set() if taken else {1})


PIECES = st.sampled_from([case.data for case in CASES if case not in FLOODS])


@settings(max_examples=40, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=6), st.integers(0, 1 << 32), st.integers(0, 3))
def test_no_bytes_are_an_error_of_ours(pieces: list[bytes], seed: int, damaged: int) -> None:
    choose, data = Random(seed), bytearray(b"".join(pieces) + rfc.BARRIER)  # noqa: S311 - bytes to try, no secret
    for _ in range(damaged):
        data[choose.randrange(len(data))] = choose.randrange(256)
    server, link, _ = connected()
    server.received(rfc.GREETING + data)
    ends = [int.from_bytes(payload[4:8]) for kind, _, _, payload in frames_of(link.out) if kind == rfc.GOAWAY]

    assert link.closed == bool(ends)
    assert rfc.INTERNAL_ERROR not in ends
    server.lost()
    assert not server._held
