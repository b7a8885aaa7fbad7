"""Requests that wait for a store on the network wait on threads of their own, not on the loop's."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from serving.runtime.deadlines import expired
from serving.runtime.exchange import Exchange, Scorer
from serving.runtime.exposition import Family
from serving.runtime.metrics import Metrics
from serving.runtime.problems import StoreError

MAX_WAITING = 1024
"""Requests that may wait for the store; more fail at once. A store that is slow must not fill the memory."""


class Remote(Protocol):
    """A store of the network."""

    @property
    def reached(self) -> bool:
        """Whether it answered lately."""

    def close(self) -> None:
        """End its connections."""


class Aside:
    """Scores requests by key on a few threads; the others where they come."""

    def __init__(self, then: Scorer, store: Remote, metrics: Metrics, threads: int) -> None:
        """Prepare.

        Args:
            then: Reads the store, and whatever follows.
            store: What is read; closed with this.
            metrics: Give the figures their labels.
            threads: How many may wait for the store at one time.
        """
        self._then, self._store, self._metrics = then, store, metrics
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="by-key")
        self._lock, self._waiting = threading.Lock(), 0

    def score(self, exchange: Exchange) -> None:
        """Hand it to a thread, if it is by key.

        Raises:
            StoreError: Too many wait.
        """
        if exchange.parsed.by_key is None:
            self._then(exchange)
            return
        if not self._enter():
            raise StoreError(f"{MAX_WAITING} requests wait for the online store already")
        try:
            self._pool.submit(self._work, exchange)
        except RuntimeError:  # closed, and whoever still comes is to be answered
            self._work(exchange)

    def families(self) -> Iterable[Family]:
        """Whether the store answers, and how many wait for it."""
        metrics = self._metrics
        yield metrics.gauge(
            "modelway_online_store_reached", "1 while the online store answers.", int(self._store.reached)
        )
        yield metrics.gauge(
            "modelway_online_store_waiting", "Requests by key that are not answered yet.", self._waiting
        )

    def close(self) -> None:
        """Answer what waits, then let go of the store."""
        self._pool.shutdown(wait=True)
        self._store.close()

    def _work(self, exchange: Exchange) -> None:
        try:
            if not expired(exchange):
                self._then(exchange)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            exchange.fail(error)
        finally:
            self._leave()

    def _enter(self) -> bool:
        with self._lock:
            room = self._waiting < MAX_WAITING
            self._waiting += room
        return room

    def _leave(self) -> None:
        with self._lock:
            self._waiting -= 1
