"""The rule's answer reaches the client, and the failure behind it everyone else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from runtime_asking import INFER, PREDICT, Asked, matrix

from modelway.bundle.policy import Fallback, ServingPolicy
from modelway.contract import Outcome, Slo
from serving.rollout.counters import Reading, add, observed, parse
from serving.rollout.evidence import Evidence, weigh
from serving.rollout.judge import hard_fault, judge
from serving.rollout.plan import Metric, Risk, step_limits
from serving.runtime.app import App
from serving.runtime.fallback import reason_of
from serving.runtime.model import Model
from serving.runtime.prediction_log import PredictionLog
from serving.runtime.prediction_table import parquet_writer
from serving.runtime.problems import ExpiredError, RequestError
from serving.runtime.served import Served

RULE = ServingPolicy(fallback=Fallback(probability=0.125))


@pytest.fixture
def ruled(bundled: Callable[..., Any]) -> Callable[..., App]:
    def make(graph: str, policy: ServingPolicy = RULE, log: Path | None = None) -> App:
        bundle = bundled(graph, policy)
        kept = None if log is None else PredictionLog(log, "r1-1", parquet_writer(bundle, "r1"))
        if kept is not None:
            kept.start()
        served = Served(bundle, "r1", Model(bundle), kept)
        served.compose()
        return App([served])

    return make


def asked(app: App, path: str, document: Any) -> tuple[int, dict[str, str], Any]:
    answers: list[tuple[int, dict[str, str], Any]] = []
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    app.heavy_body_bytes = 1 << 30
    app.answer(
        Asked(path),
        raw,
        lambda status, heads, body: answers.append((status, dict(heads), json.loads(body))),
        0,
    )
    assert len(answers) == 1
    return answers[0]


def counters(app: App) -> dict[str, int]:
    _, _, body = app.at_once(Asked("/metrics", "GET")) or (0, [], b"")
    return parse(body.decode())


@pytest.mark.parametrize(
    ("graph", "row", "reason"), [("fragile", 7.0, "model"), ("echo", 2.0, "invalid_output")]
)
def test_a_model_that_fails_is_answered_for_and_says_so(
    ruled: Callable[..., App], graph: str, row: float, reason: str
) -> None:
    status, headers, document = asked(ruled(graph), INFER, matrix([row, 0, 0], id="a"))

    assert (status, headers["x-fallback"], document["parameters"]) == (200, reason, {"fallback": reason})
    assert document["id"] == "a"
    assert [output["data"] for output in document["outputs"]] == [[0.125], [0]]


def test_many_rows_and_v1_are_answered_for_too(ruled: Callable[..., App]) -> None:
    app = ruled("fragile")

    assert asked(app, INFER, matrix([0, 0, 0], [7, 0, 0]))[2]["outputs"][0]["data"] == [0.125, 0.125]
    status, headers, document = asked(app, PREDICT, {"instances": [[7, 0, None]]})
    assert (status, headers["x-fallback"], document) == (200, "model", {"predictions": [0.125]})


def test_the_model_answers_where_it_can(ruled: Callable[..., App]) -> None:
    status, headers, document = asked(ruled("echo"), INFER, matrix([0.5, 0, 0]))

    assert (status, document["outputs"][0]["data"]) == (200, [0.5])
    assert "x-fallback" not in headers
    assert "parameters" not in document


def test_a_clients_mistake_stays_one(ruled: Callable[..., App]) -> None:
    app = ruled("echo")

    assert asked(app, INFER, b"{")[0] == 400
    assert counters(app) | {"rejected": 1, "softened": 0} == counters(app)


def test_reasons() -> None:
    assert reason_of(ExpiredError()) == "deadline"
    assert reason_of(RequestError("no", status=429)) is None
    assert reason_of(ZeroDivisionError()) == "error"


def test_a_deadline_that_expires_is_answered_by_the_rule(ruled: Callable[..., App]) -> None:
    app = ruled("echo", ServingPolicy(fallback=Fallback(probability=0.125), deadline_ms=1))

    status, headers, document = asked(app, INFER, matrix([0.5, 0, 0]))  # its head came when the clock began

    assert (status, headers["x-fallback"]) == (200, "deadline")
    assert document["outputs"][0]["data"] == [0.125]


def test_without_a_rule_there_is_neither_stage_nor_counter(bundled: Callable[..., Any]) -> None:
    bundle = bundled("fragile")
    served = Served(bundle, "r1", Model(bundle))
    served.compose()
    app = App([served])

    assert asked(app, INFER, matrix([7, 0, 0]))[0] == 500
    assert "softened" not in counters(app)


def test_the_log_says_which_rows_the_rule_answered(ruled: Callable[..., App], tmp_path: Path) -> None:
    app = ruled("fragile", log=tmp_path / "log")
    for row in ([0, 1, 2], [7, 1, None]):
        asked(app, INFER, matrix(row))
    app.close()

    (path,) = (tmp_path / "log").glob("*.parquet")
    rows = pq.read_table(path)
    assert rows["_fallback"].to_pylist() == [None, "model"]
    assert rows["_probability"].to_pylist() == [0.5, 0.125]
    assert rows["amount"].to_pylist() == [0, 7]
    assert np.isnan(rows["colour"].to_pylist()[1])


def test_the_judge_fails_a_revision_whose_rule_answers_for_it(ruled: Callable[..., App]) -> None:
    limits = step_limits(Slo(latency_limit_ms=25, rate_rps=100), 100, Risk(), steps=4)
    stable, canary = ruled("fragile"), ruled("fragile")
    ledger = add(None, readings(stable, canary))
    for at in range(400):
        asked(stable, INFER, matrix([0, 0, 0]))
        status, *_ = asked(canary, INFER, matrix([7 if at % 10 == 0 else 0, 0, 0]))
        assert status == 200  # no client sees a failure, and neither does the gateway
    ledger = add(ledger, readings(stable, canary))
    seen = {name: observed(ledger, name, replicas_known=True, gateway_known=True) for name in ("a", "b")}
    evidence = weigh(Evidence(), seen["a"], seen["b"], limits)

    errors = next(
        reason for reason in judge(evidence, limits).reasons if reason.metric == Metric.ERRORS.value
    )
    assert (seen["b"].requests, seen["b"].server_errors) == (400, 40)
    assert (seen["a"].requests, seen["a"].server_errors) == (400, 0)
    assert errors.outcome is Outcome.FAIL or hard_fault(evidence, None, Risk()) is not None


def readings(stable: App, canary: App) -> tuple[Reading, ...]:
    quiet = {"gateway_failed": 0, "gateway_retried": 0}
    return (
        Reading(revision="a", source="a-1", counters=counters(stable)),
        Reading(revision="b", source="b-1", counters=counters(canary)),
        Reading(revision="a", source="gateway-a", counters=quiet),
        Reading(revision="b", source="gateway-b", counters=quiet),
    )


def test_a_crash_is_not_hidden_behind_softened_failures() -> None:
    gateway = {"gateway_failed": 3, "gateway_retried": 0}
    counted = {
        "served": 90,
        "failed": 10,
        "softened": 10,
        "rejected": 0,
        "slow": 0,
        "timed": 100,
        "invalid": 0,
    }
    zeros = dict.fromkeys(counted, 0)
    before = add(
        None,
        (
            Reading(revision="b", source="p", counters=zeros),
            Reading(revision="b", source="g", counters=dict.fromkeys(gateway, 0)),
        ),
    )
    after = add(
        before,
        (
            Reading(revision="b", source="p", counters=counted),
            Reading(revision="b", source="g", counters=gateway),
        ),
    )

    seen = observed(after, "b", replicas_known=True, gateway_known=True)

    assert (seen.requests, seen.server_errors) == (103, 13)  # 3 that never came back beside 10 softened ones
