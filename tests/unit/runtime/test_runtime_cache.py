"""The cache of answers: bounded, forgetful, and never wrong."""

import json
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from runtime_asking import INFER, PREDICT, Asked, ask, matrix

from modelway.bundle.bundle import Bundle
from modelway.bundle.policy import Cache, ServingPolicy
from serving.runtime.app import App
from serving.runtime.cache import AnswerCache
from serving.runtime.model import Model
from serving.runtime.served import Served

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
BOUND, TTL_S = 6, 10.0


class AgainstAModel(RuleBasedStateMachine):
    """The cache beside a plain list of what was put, when, and used when."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.cache = AnswerCache(BOUND, TTL_S, lambda: self.now_s)
        self.kept: list[tuple[bytes, int, int, float]] = []
        """Key, answer, rows, end; least recently used first."""
        self.serial = 0

    @rule(key=KEYS, rows=st.integers(1, BOUND + 2))
    def put(self, key: bytes, rows: int) -> None:
        self.serial += 1
        self.cache.put(key, self.serial, rows)
        if rows > BOUND:
            return
        self.kept = [entry for entry in self.kept if entry[0] != key]
        while sum(entry[2] for entry in self.kept) + rows > BOUND:
            self.kept.pop(0)
        self.kept.append((key, self.serial, rows, self.now_s + TTL_S))

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        found = next((entry for entry in self.kept if entry[0] == key), None)
        if found is not None:
            self.kept.remove(found)
            if self.now_s < found[3]:
                self.kept.append(found)
            else:
                found = None
        assert self.cache.get(key) == (None if found is None else found[1])

    @rule(seconds=st.floats(0, 12))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @invariant()
    def bounded(self) -> None:
        assert self.cache.rows == sum(entry[2] for entry in self.kept) <= BOUND


AgainstAModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAgainstAModel = AgainstAModel.TestCase


class Counting(Model):
    """The real model, which counts its runs."""

    __slots__ = ("runs",)

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.runs = 0

    def one(self, values):
        self.runs += 1
        return super().one(values)

    def many(self, matrix):
        self.runs += 1
        return super().many(matrix)


@pytest.fixture
def cached(bundled: Callable[..., Bundle]) -> Callable[[str], tuple[App, Counting]]:
    def make(graph: str) -> tuple[App, Counting]:
        bundle = bundled(graph, policy=ServingPolicy(cache=Cache(entries=4)))
        model = Counting(bundle)
        served = Served(bundle, "r1", model)
        served.compose()
        return App([served]), model

    return make


def headers_of(app: App, body: bytes) -> list[tuple[str, str]]:
    answers = []
    app.answer(Asked(INFER), body, lambda _status, headers, _body: answers.append(headers), 0)
    return answers[0]


def test_the_same_rows_are_scored_once_whoever_asks_in_whatever_protocol(cached) -> None:
    app, model = cached("logistic")
    first = ask(app, INFER, matrix([1.0, 2.0, 0.0], id="a"))
    second = ask(app, INFER, matrix([1.0, 2.0, 0.0], id="b"))
    third = ask(app, PREDICT, {"instances": [[1, 2, "red"]]})

    assert model.runs == 1
    assert first[1]["outputs"] == second[1]["outputs"]
    assert (first[1]["id"], second[1]["id"]) == ("a", "b")
    assert third[1]["predictions"] == first[1]["outputs"][0]["data"]


def test_a_batch_is_kept_whole_and_its_single_rows_are_other_requests(cached) -> None:
    app, model = cached("logistic")
    for _ in range(2):
        ask(app, INFER, matrix([0.0, 0.0, 0.0], [1.0, 0.0, 0.0]))
    ask(app, INFER, matrix([0.0, 0.0, 0.0]))

    assert model.runs == 2


def test_only_the_answer_that_was_kept_says_so(cached) -> None:
    app, _ = cached("logistic")
    body = json.dumps(matrix([1.0, 2.0, 0.0])).encode()

    assert ("x-cache", "hit") not in headers_of(app, body)
    assert ("x-cache", "hit") in headers_of(app, body)
    assert ("x-cache", "hit") not in headers_of(app, body.replace(b"1.0", b"7.0"))


def test_errors_are_not_kept(cached) -> None:
    app, model = cached("fragile")
    for _ in range(2):
        assert ask(app, INFER, matrix([7.0, 0.0, 0.0]))[0] == 500

    assert model.runs == 2


def test_more_rows_than_the_whole_cache_holds_are_scored_each_time(cached) -> None:
    app, model = cached("logistic")
    for _ in range(2):
        ask(app, INFER, matrix(*[[0.0, 0.0, 0.0]] * 5))

    assert model.runs == 2


def test_hits_are_requests_like_any_other_and_counted_apart(cached) -> None:
    app, _ = cached("logistic")
    for _ in range(3):
        ask(app, INFER, matrix([1.0, 2.0, 0.0]))
    page = app.at_once(Asked("/metrics", "GET"))[2].decode()

    assert 'modelway_requests_total{model="paint",revision="r1",protocol="v2",status="200"} 3' in page
    assert 'modelway_cache_requests_total{model="paint",revision="r1",result="hit"} 2' in page
    assert 'modelway_cache_requests_total{model="paint",revision="r1",result="miss"} 1' in page
    assert 'modelway_cache_rows{model="paint",revision="r1"} 1' in page
