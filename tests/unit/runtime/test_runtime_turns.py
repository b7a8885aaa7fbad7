"""Rows of one turn of the loop share a run: who does, who does not, and that each gets its own answer."""

import json
import socket
import threading
from collections.abc import Sequence
from threading import get_ident
from time import perf_counter_ns
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_asking import INFER, PREDICT, Asked, matrix

from modelway.bundle.policy import Cache, Fallback, ServingPolicy
from serving.runtime.admission import Admission, Client
from serving.runtime.app import App
from serving.runtime.engine import ROWS_AT_ONCE
from serving.runtime.http1.wire import Http1
from serving.runtime.model import Model
from serving.runtime.net.connection import Connection
from serving.runtime.net.loop import Loop
from serving.runtime.net.turn import Turn
from serving.runtime.parsed import Matrix
from serving.runtime.problems import ModelFailureError, RequestError
from serving.runtime.served import Served
from serving.runtime.settings import Limits, Settings

POISON = 13.0
SCALED = """
<ir_version: 8, opset_import: ["" : 17]>
scaled (float[N, 3] features) => (float[N] probability)
<float zero = {0}, float one = {1}> {
    missing = IsNaN(features)
    filled = Where(missing, zero, features)
    size = Abs(filled)
    above = Add(size, one)
    logs = Log(above)
    score = ReduceMean<axes = [1], keepdims = 0>(logs)
    probability = Sigmoid(score)
}
"""
"""Logarithms, as networks scale money: several numbers at one time, the last ones of an array one by one."""


def trees(count: int = 120) -> str:
    """Stumps, more than ONNX Runtime shares among threads, whose leaves cannot be added without rounding."""
    ids = range(count)
    draw = np.random.default_rng(3)
    cuts, leaves = draw.normal(size=count), draw.normal(size=2 * count) / 7
    nodes = {
        "nodes_treeids": [at for at in ids for _ in range(3)],
        "nodes_nodeids": [0, 1, 2] * count,
        "nodes_featureids": [at % 3 if node == 0 else 0 for at in ids for node in range(3)],
        "nodes_values": [float(cuts[at]) if node == 0 else 0.0 for at in ids for node in range(3)],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * count,
        "nodes_truenodeids": [1, 0, 0] * count,
        "nodes_falsenodeids": [2, 0, 0] * count,
        "target_treeids": [at for at in ids for _ in range(2)],
        "target_nodeids": [1, 2] * count,
        "target_ids": [0] * 2 * count,
        "target_weights": leaves.tolist(),
    }
    said = ", ".join(f"{name} = {json.dumps(values)}" for name, values in nodes.items())
    return f"""
<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
trees (float[N, 3] features) => (float[N] probability)
<int64[1] flat = {{-1}}> {{
    sums = ai.onnx.ml.TreeEnsembleRegressor<n_targets = 1, {said}>(features)
    score = Reshape(sums, flat)
    probability = Sigmoid(score)
}}
"""


def here() -> Turn:
    turn = Turn()
    turn.ident = get_ident()
    return turn


class Counted:
    """A model that notes how many rows each run had."""

    def __init__(self, model: Model) -> None:
        self.model, self.runs = model, list[int]()
        self.platform, self.why, self.width = model.platform, model.why, model.width
        self.pack, self.one, self.warm_up = model.pack, model.one, model.warm_up

    def row(self, packed: bytes) -> np.float32:
        self.runs.append(1)
        return self.model.row(packed)

    def rows(self, packed: Sequence[bytes]) -> Sequence[np.float32]:
        self.runs.append(len(packed))
        return self.model.rows(packed)

    def many(self, rows: Matrix) -> Matrix:
        self.runs.append(-len(rows))
        return self.model.many(rows)


class Stage:
    """A server whose turns end when the test says so."""

    def __init__(self, bundle: Any, limits: Limits | None = None) -> None:
        self.turn, self.model = here(), Counted(Model(bundle))
        chosen = Settings() if limits is None else Settings(limits=limits)
        self.served = Served(bundle, "r1", self.model, settings=chosen, turn=self.turn)  # type: ignore[arg-type]  # counts
        self.served.warm_up()
        self.model.runs.clear()
        self.app = App([self.served], chosen)
        self.app.ready = True
        self.answers: dict[str, tuple[int, Any]] = {}

    def ask(self, name: str, body: Any, path: str = INFER, **headers: str) -> None:
        def respond(status: int, _headers: Any, reply: bytes) -> None:
            assert name not in self.answers
            self.answers[name] = status, json.loads(reply)

        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.app.answer(Asked(path, headers=headers), raw, respond, perf_counter_ns())

    def probability(self, name: str) -> float:
        status, reply = self.answers[name]
        assert status == 200, reply
        return float(reply["outputs"][0]["data"][0])


@pytest.fixture
def stage(bundled: Any) -> Stage:
    return Stage(bundled("logistic"))


def expected(row: Sequence[Any]) -> float:
    """P = sigmoid(0.5 amount - 0.25 months + colour), by hand."""
    return float(1 / (1 + np.exp(-(0.5 * row[0] - 0.25 * row[1] + row[2]))))


def test_single_rows_of_one_turn_share_a_run_and_each_gets_its_own_answer(stage: Stage) -> None:
    rows: dict[str, list[float | None]] = {str(at): [at / 4, at / 2, at % 3] for at in range(7)}
    for name, row in rows.items():
        stage.ask(name, matrix(row, id=name))
    assert stage.answers == {}
    stage.turn.settle()

    assert stage.model.runs == [7]
    assert list(stage.answers) == list(rows), "in the order in which they came"
    for name, row in rows.items():
        assert stage.probability(name) == pytest.approx(expected(row), rel=1e-6)
        assert stage.answers[name][1]["id"] == name


def test_one_row_in_a_turn_is_scored_alone_and_nobody_waits_for_more(stage: Stage) -> None:
    stage.ask("only", matrix([1.0, 2.0, 0.0]))
    stage.turn.settle()
    stage.turn.settle()

    assert stage.model.runs == [1]
    assert stage.probability("only") == pytest.approx(expected([1.0, 2.0, 0.0]))


def test_a_full_run_goes_before_the_turn_ends(stage: Stage) -> None:
    for at in range(ROWS_AT_ONCE + 1):
        stage.ask(str(at), matrix([at / 8, 0.0, 0.0]))

    assert len(stage.answers) == ROWS_AT_ONCE
    stage.turn.settle()
    assert stage.model.runs == [ROWS_AT_ONCE, 1]
    assert len(stage.answers) == ROWS_AT_ONCE + 1


def test_many_rows_and_other_threads_wait_for_no_turn(stage: Stage) -> None:
    stage.ask("many", matrix([0.0, 0.0, 0.0], [1.0, 0.0, 0.0]))
    assert stage.model.runs == [-2]
    thread = threading.Thread(target=stage.ask, args=("beside", matrix([1.0, 0.0, 0.0])))
    thread.start()
    thread.join()

    assert stage.model.runs == [-2, 1]
    assert set(stage.answers) == {"many", "beside"}


def test_who_cannot_be_decoded_or_is_beyond_float32_is_refused_alone(stage: Stage) -> None:
    stage.ask("good", matrix([1.0, 0.0, 0.0]))
    stage.ask("text", b"{")
    stage.ask("infinite", matrix([1e39, 0.0, 0.0]))
    stage.ask("unknown", matrix([None, 0.0, 0.0]))
    assert {name: status for name, (status, _) in stage.answers.items()} == {"text": 400, "infinite": 400}
    stage.turn.settle()

    assert stage.model.runs == [2]
    assert stage.probability("good") == pytest.approx(expected([1.0, 0.0, 0.0]))
    assert stage.probability("unknown") == pytest.approx(0.5)


def test_one_row_that_gets_no_probability_fails_alone(bundled: Any) -> None:
    stage = Stage(bundled("echo"))
    for name, value in {"low": 0.25, "none": POISON, "high": 0.75}.items():
        stage.ask(name, matrix([value, 0.0, 0.0]))
    stage.turn.settle()

    assert stage.model.runs == [3, 1, 1, 1]
    assert stage.answers["none"][0] == 500
    assert (stage.probability("low"), stage.probability("high")) == (0.25, 0.75)
    counted = "\n".join(line for family in stage.served.families() for line in family.samples)
    assert 'protocol="v2",status="200"} 2' in counted
    assert 'protocol="v2",status="500"} 1' in counted


def test_a_graph_that_cannot_be_probed_is_never_shared(bundled: Any) -> None:
    stage = Stage(bundled("fragile"))  # raises on any row but those that begin with 0
    stage.ask("a", matrix([0.0, 0.0, 0.0]))
    stage.ask("b", matrix([1.0, 0.0, 0.0]))

    assert stage.model.runs == []
    assert (stage.answers["a"][0], stage.answers["b"][0]) == (200, 500)


def test_every_protocol_and_purpose_shares_the_models_run(stage: Stage) -> None:
    stage.ask("v2", matrix([1.0, 0.0, 0.0]))
    stage.ask("v1", {"instances": [[1.0, 0.0, "red"]]}, PREDICT)
    stage.turn.settle()

    assert stage.model.runs == [2]
    assert stage.answers["v1"][1]["predictions"] == [stage.probability("v2")]


def test_who_is_out_of_time_at_the_end_of_the_turn_is_not_scored(bundled: Any) -> None:
    stage = Stage(bundled("logistic"), Limits(client_deadlines=True))
    stage.ask("hurried", matrix([0.0, 0.0, 0.0]), **{"x-request-timeout-ms": "0.5"})
    stage.ask("patient", matrix([0.0, 0.0, 0.0]), **{"x-request-timeout-ms": "1000000"})
    hurried = perf_counter_ns() + 500_000
    while "hurried" not in stage.answers and perf_counter_ns() < hurried:
        pass
    stage.turn.settle()

    assert stage.answers["hurried"][0] == 504
    assert stage.probability("patient") == 0.5


def test_the_cache_and_the_rule_of_the_policy_see_each_answer_of_a_shared_run(bundled: Any) -> None:
    policy = ServingPolicy(cache=Cache(entries=10, ttl_s=1000), fallback=Fallback(probability=0.125))
    stage = Stage(bundled("echo", policy))
    for name, value in {"low": 0.25, "none": POISON, "high": 0.75}.items():
        stage.ask(name, matrix([value, 0.0, 0.0]))
    stage.turn.settle()
    stage.ask("again", matrix([0.75, 0.0, 0.0]))

    assert stage.model.runs == [3, 1, 1, 1]
    found = {name: stage.probability(name) for name in stage.answers}
    assert found == {"low": 0.25, "none": 0.125, "high": 0.75, "again": 0.75}


def test_who_waits_for_the_turn_makes_room_before_anybody_is_turned_away(stage: Stage) -> None:
    admission = Admission(Settings(limits=Limits(max_in_flight=1)), stage.turn)
    assert admission.enter(Client("a")) is None
    stage.turn.leave(admission.leave)
    assert admission.enter(Client("b")) is None
    assert admission.enter(Client("c")) is not None, "nobody's answer is due at the end of this turn"


def test_what_fails_at_the_end_of_a_turn_leaves_nobody_else_without_it() -> None:
    turn, done = here(), list[str]()
    turn.leave(lambda: done.append("first"))
    turn.leave(lambda: 1 / 0)  # type: ignore[arg-type]  # it never returns
    turn.leave(lambda: done.append("last"))
    turn.settle()

    assert done == ["first", "last"]


def test_what_fails_at_the_end_of_a_turn_is_asked_again_one_by_one(stage: Stage) -> None:
    real, broken = stage.model.rows, [True]

    def once(packed: Sequence[bytes]) -> Sequence[np.float32]:
        if len(packed) > 1 and broken.pop():
            raise ModelFailureError("not now")
        return real(packed)

    stage.model.rows = once  # type: ignore[method-assign]  # the first run that is shared fails
    for name in "abc":
        stage.ask(name, matrix([1.0, 0.0, 0.0]))
    stage.turn.settle()

    assert [stage.probability(name) for name in "abc"] == pytest.approx([expected([1.0, 0.0, 0.0])] * 3)


@pytest.mark.parametrize(("graph", "alike"), [("logistic", True), (trees(), True), (SCALED, False)])
def test_a_run_is_shared_only_where_a_row_alone_gets_the_same_bits(
    bundled: Any, graph: str, alike: bool
) -> None:
    stage = Stage(bundled(graph))
    draw = np.random.default_rng(5)
    rows = draw.normal(size=(13, 3)).astype(np.float32).tolist()
    for name in ("first", "second"):
        for at, row in enumerate(rows):
            stage.ask(f"{name} {at}", matrix(row))
            if name == "first":
                stage.turn.settle()
    stage.turn.settle()

    assert stage.served.model.warm_up().alike is alike
    assert stage.model.runs == ([1] * 13 + [13] if alike else [])
    first, second = ([stage.probability(f"{name} {at}") for at in range(13)] for name in ("first", "second"))
    assert first == second
    assert len(set(first)) > 5


def test_a_rows_answer_does_not_depend_on_its_neighbours(bundled: Any) -> None:
    model = Model(bundled(trees()))
    number = st.floats(-50, 50, width=32) | st.just(float("nan"))

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.lists(number, min_size=3, max_size=3), min_size=1, max_size=ROWS_AT_ONCE))
    def hold(rows: list[list[float]]) -> None:
        together = [one.tobytes() for one in model.rows([model.pack(row) for row in rows])]
        assert together == [model.one(row)[0].tobytes() for row in rows]
        assert together == [one.tobytes() for one in model.many(np.array(rows, np.float32))]

    hold()


def wired(loop: Loop, app: App) -> tuple[socket.socket, Connection]:
    """A client's end, and ours on a loop that is turned by hand."""
    client, ours = socket.socketpair()
    for end in (client, ours):
        end.setblocking(False)
    connection = Connection(loop, ours, "p:1", lambda it: Http1(app, None, it))
    connection.open()
    return client, connection


def test_clients_that_are_ready_together_are_answered_in_the_turn_that_read_them(bundled: Any) -> None:
    loop, stage = Loop("turned by hand"), Stage(bundled("logistic"))
    loop.ident = loop.turn.ident = get_ident()
    stage.served._turn = loop.turn
    stage.served.warm_up()
    app = App([stage.served])
    app.ready = True
    body = json.dumps(matrix([2.0, 0.0, 0.0])).encode()
    asked = f"POST {INFER} HTTP/1.1\r\nhost: h\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    pairs = [wired(loop, app) for _ in range(3)]
    for (client, _), times in zip(pairs, (1, 3, 1), strict=True):
        client.send(asked * times)
    stage.model.runs.clear()
    loop._turn(loop.poller.ready(0))
    loop.settle()
    loop._send()

    said = [client.recv(1 << 16).count(b"200 OK") for client, _ in pairs]
    assert said == [1, 3, 1], "one that sends ahead waits for no turn"
    assert sum(stage.model.runs) == 5
    assert max(stage.model.runs) > 1
    for client, connection in pairs:
        connection._gone()
        client.close()
    loop.poller.close()


def test_rows_beyond_float32_are_no_rows(bundled: Any) -> None:
    with pytest.raises(RequestError, match="FP32"):
        Model(bundled("logistic")).pack([1e39, 0.0, 0.0])
