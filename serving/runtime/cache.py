"""Answers that are given again: bounded, least recently used goes first, none older than its time to live.

The key is what the graph sees, the float32 bytes of the rows: not the body, in which an id or a time stamp
makes every request another one. So one answer serves both protocols, and each asker gets its own id and the
outputs it asked for. A cache belongs to one revision; nothing of an older one can come out.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from struct import Struct
from time import monotonic
from typing import Any

import msgspec
import numpy as np

from modelway.bundle.policy import Cache
from serving.runtime.exchange import Exchange, Scorer, Wrapped
from serving.runtime.exposition import Family
from serving.runtime.metrics import Metrics
from serving.runtime.parsed import Matrix, infinite

HIT = ("x-cache", "hit")
"""Header of an answer that no graph was run for."""


class _Kept(msgspec.Struct, gc=False):
    answer: Any
    rows: int
    until_s: float


class AnswerCache:
    """Bounded by rows, so that large requests do not cost more memory than small ones."""

    def __init__(self, max_rows: int, ttl_s: float, now_s: Callable[[], float] = monotonic) -> None:
        """Empty.

        Args:
            max_rows: Rows kept, all answers together.
            ttl_s: How long an answer is given again, seconds.
            now_s: A clock that never runs backwards.
        """
        self._max_rows, self._ttl_s, self._now_s = max_rows, ttl_s, now_s
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self.rows = 0

    def get(self, key: bytes) -> Any | None:
        """The answer, or None when there is none or it is too old."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if self._now_s() >= kept.until_s:
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return kept.answer

    def put(self, key: bytes, answer: Any, rows: int) -> None:
        """Keep an answer to `rows` rows; one that is larger than the whole cache is not kept."""
        if rows > self._max_rows:
            return
        with self._lock:
            if key in self._kept:
                self._drop(key)
            while self.rows + rows > self._max_rows:
                self._drop(next(iter(self._kept)))
            self._kept[key] = _Kept(answer, rows, self._now_s() + self._ttl_s)
            self.rows += rows

    def _drop(self, key: bytes) -> None:
        self.rows -= self._kept.pop(key).rows


class CacheStage:
    """The cache in a model's chain."""

    def __init__(self, wishes: Cache, width: int, metrics: Metrics, then: Scorer) -> None:
        """Put an empty cache before `then`."""
        self._cache, self._then, self._metrics = AnswerCache(wishes.entries, wishes.ttl_s), then, metrics
        self._pack = Struct(f"={width}f").pack
        self._counts = {"hit": 0, "miss": 0}
        self._lock = threading.Lock()

    def score(self, exchange: Exchange) -> None:
        """Answer from the cache, or let the answer pass through it.

        Raises:
            RequestError: A value is beyond the range of float32.
        """
        if exchange.parsed.by_key is not None:  # its age in the store is part of the answer
            self._then(exchange)
            return
        features = self._features(exchange)
        key = b"1" + features if isinstance(features, bytes) else b"n" + features.tobytes()
        answer = self._cache.get(key)
        with self._lock:
            self._counts["miss" if answer is None else "hit"] += 1
        if answer is None:
            self._then(_Passing.around(exchange, cache=self._cache, key=key))
            return
        exchange.announce(*HIT)
        exchange.begin()
        exchange.finish(answer, features)

    def families(self) -> Iterable[Family]:
        """Hits, misses, and how full it is."""
        with self._lock:
            counts = dict(self._counts)
        text = "Requests by whether the cache had the answer."
        yield self._metrics.counters("modelway_cache_requests_total", text, "result", counts)
        yield self._metrics.gauge("modelway_cache_rows", "Rows kept.", self._cache.rows)

    def close(self) -> None:
        """Nothing to end."""

    def _features(self, exchange: Exchange) -> bytes | Matrix:
        values = exchange.parsed.values
        if isinstance(values, np.ndarray):
            return values
        try:
            return self._pack(*values)
        except OverflowError as error:
            raise infinite() from error


class _Passing(Wrapped, gc=False):
    """An answer on its way out, kept as it passes. Errors are not kept."""

    cache: AnswerCache | None = None
    key: bytes = b""

    def finish(self, probabilities: np.float32 | Matrix, features: bytes | Matrix) -> None:
        if self.cache is not None:
            own = probabilities.copy()  # a part of a batch would keep the whole of it alive
            self.cache.put(self.key, own, self.parsed.rows)
        self.outer.finish(probabilities, features)
