"""The lanes before a model: who is scored with whom, who is not, and that nobody waits in vain."""

import threading
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelway.bundle.policy import Batching
from serving.runtime.batching import Batcher
from serving.runtime.metrics import Metrics
from serving.runtime.parsed import Matrix, Parsed
from serving.runtime.problems import ExpiredError, ModelFailureError, RequestError

WAIT_S = 30.0
POISON = 13.0


class Sums:
    """P = half the row's sum. Fails where a row holds the poison; runs only while its gate is open."""

    def __init__(self) -> None:
        self.gate, self.entered = threading.Event(), threading.Semaphore(0)
        self.gate.set()
        self.runs: list[int] = []

    def one(self, values: Any) -> tuple[np.float32, bytes]:
        row = np.array([values], np.float32)
        return self.many(row)[0], row.tobytes()

    def many(self, matrix: Matrix) -> Matrix:
        self.runs.append(len(matrix))
        self.entered.release()
        assert self.gate.wait(WAIT_S)
        if (matrix == POISON).any():
            raise ModelFailureError("poison")
        return matrix.sum(axis=1) / 2


class Asked(msgspec.Struct):
    """What a lane needs of an exchange, and what came of it."""

    parsed: Parsed
    deadline_ns: int | None = None
    answer: Any = None
    features: Any = None
    error: Exception | None = None
    done: Any = None

    def begin(self) -> None:
        pass

    def finish(self, probabilities: Any, features: Any) -> None:
        self.answer, self.features = probabilities, features
        self.done.set()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.done.set()


def asked(*rows: list[float], deadline_ns: int | None = None) -> Asked:
    values = rows[0] if len(rows) == 1 else np.array(rows, np.float32)
    return Asked(Parsed(len(rows), values), deadline_ns, done=threading.Event())


Make = Callable[..., Batcher]


@pytest.fixture
def model() -> Sums:
    return Sums()


@pytest.fixture
def batcher(model: Sums) -> Iterator[Make]:
    made: list[Batcher] = []

    def make(**wishes: Any) -> Batcher:
        metrics = Metrics(model="m", revision="r", limit_ms=10)
        made.append(Batcher(model, 2, Batching(**wishes), metrics))
        made[-1].start()
        return made[-1]

    yield make
    model.gate.set()
    for each in made:
        each.close()


def occupy(model: Sums, batcher: Batcher) -> Asked:
    """Let one request hold the model."""
    model.gate.clear()
    first = asked([0.0, 0.5])
    batcher.score(first)
    assert model.entered.acquire(timeout=WAIT_S)
    return first


def ended(*requests: Asked) -> None:
    for request in requests:
        assert request.done.wait(WAIT_S)


def sample(batcher: Batcher, name: str) -> float:
    lines = [line for family in batcher.families() for line in family.samples]
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


def test_an_idle_model_scores_at_once_however_long_company_may_be_waited_for(batcher: Make) -> None:
    request = asked([0.25, 0.5])
    batcher(max_delay_ms=1e6).score(request)

    ended(request)
    assert request.answer == np.float32(0.375)
    assert np.frombuffer(request.features, np.float32).tolist() == [0.25, 0.5]


def test_what_comes_while_the_model_is_busy_is_scored_in_one_run(batcher: Make, model: Sums) -> None:
    lanes = batcher(max_delay_ms=1e6)
    first = occupy(model, lanes)
    waiting = [asked([at / 16, 0.0]) for at in range(5)]
    several = asked([0.5, 0.0], [0.25, 0.25], [1.0, 0.0])
    for request in (*waiting, several):
        lanes.score(request)
    assert sample(lanes, "modelway_queue_requests") == 6
    model.gate.set()
    ended(first, *waiting, several)

    assert model.runs == [1, 8]
    assert [float(request.answer) for request in waiting] == [at / 32 for at in range(5)]
    assert several.answer.tolist() == [0.25, 0.25, 0.5]
    assert several.features is several.parsed.values
    assert sample(lanes, "modelway_batches_total") == 2
    assert sample(lanes, "modelway_batch_rows_sum") == 9
    assert sample(lanes, "modelway_queue_wait_seconds_count") == 7


def test_a_full_batch_does_not_wait_for_the_busy_run(batcher: Make, model: Sums) -> None:
    lanes = batcher(max_rows=3, max_delay_ms=1e6)
    occupy(model, lanes)
    for _ in range(4):
        lanes.score(asked([0.0, 0.0]))
    assert model.entered.acquire(timeout=WAIT_S), "the other lane takes what no company can make fuller"

    assert model.runs == [1, 3]


def test_who_has_waited_the_limit_is_scored_beside_the_busy_run(batcher: Make, model: Sums) -> None:
    lanes = batcher(max_rows=64, max_delay_ms=5)
    occupy(model, lanes)
    lanes.score(asked([0.0, 0.0]))
    assert model.entered.acquire(timeout=WAIT_S)

    assert model.runs == [1, 1]


def test_requests_are_taken_in_order_and_never_split(batcher: Make, model: Sums) -> None:
    lanes = batcher(max_rows=4, max_delay_ms=1e6)
    first = occupy(model, lanes)
    pair, triple, huge = [[0.0, 0.0]] * 2, [[0.0, 0.0]] * 3, [[0.0, 0.0]] * 9
    requests = [asked(*rows) for rows in (pair, triple)]
    for request in requests:  # five rows are a full batch of four: the other lane begins with the pair
        lanes.score(request)
    assert model.entered.acquire(timeout=WAIT_S)
    last = asked(*huge)
    lanes.score(last)
    model.gate.set()
    ended(first, *requests, last)

    assert model.runs[:2] == [1, 2]
    assert sorted(model.runs[2:]) == [3, 9]


def test_one_poisonous_request_fails_alone(batcher: Make, model: Sums) -> None:
    lanes = batcher(max_delay_ms=1e6)
    first = occupy(model, lanes)
    good = [asked([0.5, 0.0]), asked([0.25, 0.0], [0.75, 0.0]), asked([1.0, 0.0])]
    bad = asked([POISON, 0.0])
    for request in (good[0], bad, *good[1:]):
        lanes.score(request)
    model.gate.set()
    ended(first, bad, *good)

    assert isinstance(bad.error, ModelFailureError)
    assert [request.error for request in good] == [None] * 3
    assert [np.atleast_1d(request.answer).tolist() for request in good] == [[0.25], [0.125, 0.375], [0.5]]
    assert model.runs == [1, 5, 1, 1, 2, 1]


def test_an_answer_that_cannot_be_written_harms_no_neighbour(batcher: Make, model: Sums) -> None:
    lanes = batcher(max_delay_ms=1e6)
    first = occupy(model, lanes)
    odd, neighbour = asked([0.5, 0.0]), asked([0.25, 0.0])
    odd.done = None  # `finish` raises, and so does `fail`
    for request in (odd, neighbour):
        lanes.score(request)
    after = asked([1.0, 0.0])
    model.gate.set()
    ended(first)
    lanes.score(after)

    ended(after)
    assert after.answer == np.float32(0.5)


def test_who_is_out_of_time_is_not_scored(batcher: Make, model: Sums) -> None:
    lanes = batcher(max_delay_ms=1e6)
    first = occupy(model, lanes)
    late = asked([0.5, 0.0], deadline_ns=perf_counter_ns() - 1)
    timely = asked([0.25, 0.0], deadline_ns=perf_counter_ns() + 10**12)
    for request in (late, timely):
        lanes.score(request)
    model.gate.set()
    ended(first, late, timely)

    assert isinstance(late.error, ExpiredError)
    assert late.error.status == 504
    assert timely.answer == np.float32(0.125)
    assert model.runs == [1, 1]


def test_a_value_beyond_float32_is_refused_before_it_queues(batcher: Make) -> None:
    with pytest.raises(RequestError, match="FP32"):
        batcher().score(asked([1e39, 0.0]))


def test_closing_answers_what_waits(batcher: Make, model: Sums) -> None:
    lanes = batcher(max_delay_ms=1e6)
    first = occupy(model, lanes)
    waiting = [asked([0.5, 0.0]) for _ in range(3)]
    for request in waiting:
        lanes.score(request)
    model.gate.set()
    lanes.close()

    ended(first, *waiting)
    assert all(request.error is None for request in waiting)


def test_who_comes_after_the_lanes_have_ended_is_answered_all_the_same(batcher: Make) -> None:
    lanes, late = batcher(), asked([0.5, 0.0])
    lanes.close()
    lanes.score(late)

    assert late.answer == np.float32(0.25)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 64), min_size=1, max_size=5), min_size=1, max_size=30),
    st.integers(2, 8),
)
def test_whatever_is_asked_each_gets_its_own_answer_in_no_more_runs_than_requests(
    sizes: list[list[int]], max_rows: int
) -> None:
    model = Sums()
    lanes = Batcher(
        model, 2, Batching(max_rows=max_rows, max_delay_ms=0.1), Metrics(model="m", revision="r", limit_ms=1)
    )
    lanes.start()
    requests = [asked(*([value / 64, 0.0] for value in values)) for values in sizes]
    for request in requests:
        lanes.score(request)
    ended(*requests)
    lanes.close()

    for request, values in zip(requests, sizes, strict=True):
        assert np.atleast_1d(request.answer).tolist() == [value / 128 for value in values]
    assert len(model.runs) <= len(requests)
    assert sum(model.runs) == sum(map(len, sizes))
    assert all(run <= max(max_rows, *map(len, sizes)) for run in model.runs)
