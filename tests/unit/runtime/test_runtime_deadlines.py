"""How long a request may take: the policy, the header, the parameter; the least of them."""

import json
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import pytest
from runtime_asking import INFER, Asked, ask, matrix

from modelway.bundle.policy import ServingPolicy
from serving.runtime.app import App
from serving.runtime.deadlines import Deadlines
from serving.runtime.model import Model
from serving.runtime.problems import RequestError
from serving.runtime.served import Served
from serving.runtime.settings import Limits, Settings

MS = 1_000_000


def limit_ms(policy_ms: float | None, header: str | None, timeout_us: Any = None) -> float | None:
    parameters = {} if timeout_us is None else {"parameters": {"timeout": timeout_us}}
    headers = {} if header is None else {"x-request-timeout-ms": header}
    body = json.dumps({**matrix([0.0, 0.0, 0.0]), **parameters}).encode()
    found = Deadlines(policy_ms).of(Asked(INFER, headers=headers), body, 5)
    return None if found is None else (found - 5) / MS


@pytest.mark.parametrize(
    ("policy_ms", "header", "timeout_us", "expected_ms"),
    [
        (None, None, None, None),
        (20.0, None, None, 20.0),
        (20.0, "5.5", None, 5.5),
        (20.0, "50", None, 20.0),
        (None, "50", 3000, 3.0),
        (20.0, "50", 30_000, 20.0),
        (None, "0", None, 0.0),
    ],
)
def test_the_smallest_limit_wins(
    policy_ms: float | None, header: str | None, timeout_us: int | None, expected_ms: float | None
) -> None:
    assert limit_ms(policy_ms, header, timeout_us) == expected_ms


@pytest.mark.parametrize("header", ["soon", "-1", "nan", "inf", ""])
def test_a_limit_that_is_none_is_the_clients_error(header: str) -> None:
    with pytest.raises(RequestError, match="x-request-timeout-ms"):
        limit_ms(None, header)
    with pytest.raises(RequestError, match="timeout"):
        limit_ms(None, None, -1)


@pytest.mark.parametrize("timeout_us", ["soon", [1], {"a": 1}])
def test_a_parameter_of_another_meaning_is_left_to_the_decoder(timeout_us: Any) -> None:
    assert limit_ms(None, None, timeout_us) is None


def asked(app: App, start_ns: int, **headers: str) -> int:
    statuses: list[int] = []
    head = Asked(INFER, headers={name.replace("_", "-"): value for name, value in headers.items()})
    body = json.dumps(matrix([0.0, 0.0, 0.0])).encode()
    app.answer(head, body, lambda status, *_: statuses.append(status), start_ns)
    return statuses[0]


@pytest.fixture
def with_deadline(bundled: Callable[..., Any]) -> Callable[..., App]:
    def make(deadline_ms: float | None, *, client_deadlines: bool = False) -> App:
        bundle = bundled("logistic", policy=ServingPolicy(deadline_ms=deadline_ms))
        settings = Settings(limits=Limits(client_deadlines=client_deadlines))
        served = Served(bundle, "r1", Model(bundle), settings=settings)
        served.compose()
        return App([served], settings)

    return make


def test_what_is_out_of_time_is_answered_504_and_counted_apart(with_deadline: Callable[..., App]) -> None:
    app = with_deadline(50.0)
    now_ns = perf_counter_ns()

    assert asked(app, now_ns + 10**10) == 200
    assert asked(app, now_ns - 51 * MS) == 504
    page = app.at_once(Asked("/metrics", "GET"))[2].decode()
    assert 'modelway_expired_total{model="paint",revision="r1"} 1' in page
    assert 'status="504"} 1' in page
    assert 'modelway_latency_seconds_count{model="paint",revision="r1",protocol="v2"} 1' in page


def test_clients_may_ask_for_less_where_that_is_honoured(with_deadline: Callable[..., App]) -> None:
    for app, expected in (
        (with_deadline(1e6), 504),
        (with_deadline(None, client_deadlines=True), 504),
        (with_deadline(None), 200),
    ):
        assert asked(app, perf_counter_ns() - MS, x_request_timeout_ms="0.5") == expected


@pytest.mark.parametrize(("rows", "status"), [(1, 200), (2, 200), (3, 413)])
def test_more_rows_than_allowed_are_refused(bundled: Callable[..., Any], rows: int, status: int) -> None:
    bundle, settings = bundled("logistic"), Settings(limits=Limits(max_rows=2))
    served = Served(bundle, "r1", Model(bundle), settings=settings)
    served.compose()

    assert ask(App([served], settings), INFER, matrix(*[[0.0, 0.0, 0.0]] * rows))[0] == status
