import time

import numpy as np
import pytest
from measuring.calls import Call
from measuring.load import _counted, wrk
from measuring.paced import Pace, paced
from measuring.paced_client import whole

CALL = Call("/", b"{}", lambda _body, _headers: 0.0)


def test_a_stall_is_felt_by_every_request_that_was_due_during_it(misbehaving):
    url = misbehaving(lambda number: time.sleep(0.5) or 200 if number == 10 else 200)

    found = paced(url, CALL, Pace(rate_rps=200, seconds=1, core=None, connections=1))

    # a client that waits would have sent one slow request of 200, and its p99 would hide it
    assert found.p99_ms > 400
    assert (found.requests, found.errors) == (200, 0)


def test_other_statuses_than_200_are_errors(misbehaving):
    url = misbehaving(lambda number: 500 if number % 4 == 0 else 200)

    found = paced(url, CALL, Pace(rate_rps=200, seconds=0.5, core=None, connections=2))

    assert (found.requests, found.errors) == (100, 25)


def test_a_request_whose_connection_was_closed_is_an_error_and_the_next_gets_a_new_one(misbehaving):
    url = misbehaving(lambda number: None if number % 10 == 0 else 200)

    found = paced(url, CALL, Pace(rate_rps=200, seconds=0.5, core=None, connections=2))

    assert (found.requests, found.errors) == (100, 10)


@pytest.mark.parametrize(
    ("answer", "complete"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True, id="all-there"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", False, id="body-cut"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-le", False, id="head-cut"),
    ],
)
def test_an_answer_is_whole_when_as_many_bytes_came_as_it_announced(answer, complete):
    assert whole(answer) is complete


def test_an_answer_of_unknown_length_ends_the_measurement():
    with pytest.raises(SystemExit, match="content-length"):
        whole(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")


def test_a_grpc_round_counts_from_the_first_request_to_the_last_answer():
    log = np.array([[1_000_000, 200, 1_000], [1_001_000, 200, 3_000], [1_002_000, 200, 2_000]])

    found = _counted("traffic: 1KB (900) total, 1B (90) headers, 60B (60) data", log, "url")

    # the last answer came at 1.004 s: 3 requests in 4 ms
    assert found == (3, pytest.approx(750), 2.0, pytest.approx(2.98))


@pytest.mark.parametrize(
    ("status", "data_bytes"),
    [
        pytest.param(503, 60, id="an-http-error"),
        pytest.param(200, 40, id="one-answer-without-its-message"),
        pytest.param(200, 0, id="no-answer-with-a-message"),
    ],
)
def test_a_grpc_round_with_a_failed_call_gives_no_figures(status, data_bytes):
    log = np.array([[1_000_000, 200, 1_000], [1_001_000, 200, 3_000], [1_002_000, status, 2_000]])

    with pytest.raises(SystemExit, match="not every gRPC answer"):
        _counted(f"traffic: 1KB (900) total, ({data_bytes}) data", log, "url")


@pytest.mark.apt("wrk")
def test_a_round_of_wrk_with_failed_requests_gives_no_figures(misbehaving):
    url = misbehaving(lambda number: 500 if number % 2 else 200)

    with pytest.raises(SystemExit, match="requests failed"):
        wrk(url, CALL, seconds=1, connections=2, core=None)
