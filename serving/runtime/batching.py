"""Requests that come while the model is busy are scored together: one run of the graph for many of them.

An idle model scores at once. While it is busy requests queue in order of arrival; whoever becomes free takes
as many as fit. One that has waited its limit, or a full batch, is scored beside the busy run: lanes are two.
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from struct import Struct
from time import perf_counter_ns

import msgspec
import numpy as np

from modelway.bundle.policy import Batching
from serving.runtime.deadlines import expired
from serving.runtime.exchange import Exchange, Model, answered
from serving.runtime.exposition import Family, Histogram
from serving.runtime.journal import journal
from serving.runtime.metrics import Metrics
from serving.runtime.parsed import Matrix, infinite

LANES = 2
"""Runs of the graph at one time. More would only share the process's core."""
_ROW_EDGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_WAIT_EDGES_US = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000)


class _Waiting(msgspec.Struct, gc=False):
    exchange: Exchange
    features: bytes | Matrix
    """One row's bytes, or the matrix as it came."""
    rows: int
    since_ns: int


class Batcher:
    """The queue before one model, and the lanes that empty it."""

    def __init__(self, model: Model, width: int, wishes: Batching, metrics: Metrics) -> None:
        """Prepare; `start` begins.

        Args:
            model: Its `many` must not mix its rows.
            width: Columns of a row.
            wishes: Rows of a batch and how long to wait for company.
            metrics: Whose labels the figures carry.
        """
        self._model, self._pack, self._width = model, Struct(f"={width}f").pack, width
        self._max_rows, self._max_delay_ns = wishes.max_rows, round(wishes.max_delay_ms * 1e6)
        self._metrics = metrics
        self._queue: deque[_Waiting] = deque()
        self._queued_rows = self._running = self._runs = 0
        self._closed = False
        self._changed = threading.Condition(threading.Lock())
        self._batch_rows = Histogram(_ROW_EDGES)
        self._waited_ns = Histogram([edge * 1000 for edge in _WAIT_EDGES_US])
        self._lanes = [
            threading.Thread(target=self._lane, name=f"lane-{n}", daemon=True) for n in range(LANES)
        ]

    def start(self) -> None:
        """Start the lanes."""
        for lane in self._lanes:
            lane.start()

    def score(self, exchange: Exchange) -> None:
        """Queue a request; a lane answers it.

        Raises:
            RequestError: A value is beyond the range of float32.
        """
        waiting = self._waiting(exchange)
        with self._changed:
            closed = self._closed
            if not closed:
                self._enqueue(waiting)
        if closed:  # the lanes may be gone, and whoever still comes is to be answered
            self._run([waiting])

    def close(self) -> None:
        """Score what waits and end the lanes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for lane in self._lanes:
            if lane.ident is not None:
                lane.join()

    def families(self) -> Iterable[Family]:
        """Batch sizes, waiting times, what waits now."""
        with self._changed:
            queued, runs = len(self._queue), self._runs
            return [
                self._metrics.counter("modelway_batches_total", "Runs of the graph by the lanes.", runs),
                self._metrics.histogram("modelway_batch_rows", "Rows of one run.", self._batch_rows),
                self._metrics.histogram(
                    "modelway_queue_wait_seconds", "Time before a lane took it.", self._waited_ns, 1e-9
                ),
                self._metrics.gauge("modelway_queue_requests", "Requests that wait for a lane.", queued),
            ]

    def _enqueue(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._queued_rows += waiting.rows
        # a lane that already waits for its moment need not hear of each further request
        if not self._running or len(self._queue) == 1 or self._queued_rows >= self._max_rows:
            self._changed.notify()

    def _waiting(self, exchange: Exchange) -> _Waiting:
        values, since_ns = exchange.parsed.values, perf_counter_ns()
        if isinstance(values, np.ndarray):
            return _Waiting(exchange, values, len(values), since_ns)
        try:
            return _Waiting(exchange, self._pack(*values), 1, since_ns)
        except OverflowError as error:
            raise infinite() from error

    def _lane(self) -> None:
        while (batch := self._take()) is not None:
            try:
                self._run(batch)
            except Exception as error:  # noqa: BLE001 - a lane that ended would leave every later client waiting
                journal("batch_failed", error=repr(error))
            finally:
                with self._changed:
                    self._running -= 1

    def _take(self) -> list[_Waiting] | None:
        """What is to be scored next, once there is; None when nothing will come any more."""
        with self._changed:
            while not self._due():
                if self._closed and not self._queue:
                    return None
                self._changed.wait(self._patience_s())
            self._running += 1
            return self._taken()

    def _due(self) -> bool:
        if not self._queue:
            return False
        full = self._queued_rows >= self._max_rows
        return full or not self._running or self._closed or not self._patience_s()

    def _patience_s(self) -> float | None:
        """How long the first in the queue may still wait; None when nobody waits."""
        if not self._queue:
            return None
        return max(0, self._queue[0].since_ns + self._max_delay_ns - perf_counter_ns()) / 1e9

    def _taken(self) -> list[_Waiting]:
        queue, now_ns = self._queue, perf_counter_ns()
        batch, rows = list[_Waiting](), 0
        while queue and (not batch or rows + queue[0].rows <= self._max_rows):
            waiting = queue.popleft()
            rows += waiting.rows
            self._waited_ns.add(now_ns - waiting.since_ns)
            batch.append(waiting)
        self._queued_rows -= rows
        return batch

    def _run(self, batch: Sequence[_Waiting]) -> None:
        living = [waiting for waiting in batch if not expired(waiting.exchange)]
        for waiting in living:
            waiting.exchange.begin()
        if len(living) > 1:
            self._together(living)
        elif living:
            self._alone(living[0])

    def _together(self, batch: Sequence[_Waiting]) -> None:
        parts = [w.features if isinstance(w.features, bytes) else w.features.tobytes() for w in batch]
        matrix = np.frombuffer(b"".join(parts), np.float32)
        try:
            probabilities = self._scored(matrix.reshape(-1, self._width))
        except Exception:  # noqa: BLE001 - one request's rows may be to blame: each is asked alone and says its own
            for waiting in batch:
                self._alone(waiting)
            return
        start = 0
        for waiting in batch:
            end = start + waiting.rows
            own = probabilities[start] if type(waiting.features) is bytes else probabilities[start:end]
            answered(waiting.exchange, own, waiting.features)
            start = end

    def _alone(self, waiting: _Waiting) -> None:
        features, parsed = waiting.features, waiting.exchange.parsed
        try:
            if isinstance(features, np.ndarray):
                own: np.float32 | Matrix = self._scored(features)
            else:
                self._count(1)
                own, _ = self._model.one(parsed.values)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            waiting.exchange.fail(error)
            return
        answered(waiting.exchange, own, features)

    def _scored(self, matrix: Matrix) -> Matrix:
        self._count(len(matrix))
        return self._model.many(matrix)

    def _count(self, rows: int) -> None:
        with self._changed:
            self._runs += 1
            self._batch_rows.add(rows)
