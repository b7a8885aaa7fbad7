"""Reads the online store in Redis or Valkey that `modelway features materialise` fills, without Feast.

It is over the network: whoever reads waits, and it may be away. Threads of their own wait
(serving/runtime/aside.py), and a watch asks each second whether it answers: while it does not, reads fail at
once instead of each after its time.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

from modelway.bundle.online import OnlineView
from serving.runtime.feast_hash import Layout, row_of
from serving.runtime.journal import journal
from serving.runtime.online_store import StoredRow
from serving.runtime.problems import StoreError
from serving.runtime.redis_server import RedisServer, redis_client

READERS = 8
"""Reads at one time; each waits for the network and costs little else."""
_LOOK_EVERY_S = 1.0
_MISSES = 2
"""Looks in a row without an answer, after which it counts as away. One may be a connection that ended."""


class RedisOnlineStore:
    """One server, read by up to `READERS` threads, and watched."""

    def __init__(self, server: RedisServer) -> None:
        """Look once; a server that is away is no error here.

        Raises:
            ConfigError: The address cannot be used.
        """
        from redis import RedisError  # noqa: PLC0415 - only where asked for; `redis_client` says if it is not there

        self._client, self._error = redis_client(server, READERS + 1), RedisError
        self._layouts: dict[str, Layout] = {}
        self._watch = Watch(self._look)

    @property
    def reached(self) -> bool:
        """Whether it answered lately."""
        return self._watch.reached

    def watch(self) -> None:
        """Go on looking."""
        self._watch.start()

    def read(self, view: OnlineView, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """What one view holds of some entities, in one round trip; those it does not know are left out.

        Raises:
            StoreError: It does not answer, or holds something else than rows of ours.
        """
        if not self._watch.reached:
            raise StoreError(f"view {view.name} cannot be read: the online store does not answer")
        layout = self._layouts.get(view.table) or self._layouts.setdefault(view.table, Layout.of(view))
        try:
            found = self._fetched([layout.key(entity) for entity in entities], layout.fields)
        except self._error as error:
            raise StoreError(f"view {view.name} cannot be read: {error}") from error
        rows = ((entity, row_of(view, values)) for entity, values in zip(entities, found, strict=True))
        return {entity: row for entity, row in rows if row is not None}

    def _fetched(self, keys: Sequence[bytes], fields: Sequence[bytes]) -> Sequence[Sequence[bytes | None]]:
        if len(keys) == 1:
            return [self._client.hmget(keys[0], fields)]  # type: ignore[list-item]  # redis types both its clients as one
        if not keys:
            return []
        reads = self._client.pipeline(transaction=False)
        for key in keys:
            reads.hmget(key, fields)
        return reads.execute()

    def _look(self) -> str | None:
        """What is wrong with it, if anything."""
        try:
            self._client.ping()
        except (self._error, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return None

    def close(self) -> None:
        """Look no more, and end the connections."""
        self._watch.close()
        self._client.connection_pool.disconnect()


class Watch:
    """A thread that asks again and again whether something answers, and says so when that changes."""

    def __init__(
        self, look: Callable[[], str | None], every_s: float = _LOOK_EVERY_S, name: str = "online_store"
    ) -> None:
        """Look once here, so that who starts knows; `start` goes on.

        Args:
            look: What is wrong, or None.
            every_s: Seconds between looks.
            name: Of its lines in the log.
        """
        self._look, self._every_s, self._name = look, every_s, name
        self.reached = look() is None
        self._misses = 0 if self.reached else _MISSES
        self._told = True  # a server that is away from the start is worth a line, one that is there is not
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-watch", daemon=True)

    def start(self) -> None:
        """Look on, once the server has said its first line; again is no harm."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.see(self._look())

    def see(self, wrong: str | None) -> None:
        """Take what a look has found."""
        self._misses = 0 if wrong is None else self._misses + 1
        self.reached = self._misses == 0 or (self.reached and self._misses < _MISSES)
        if self.reached != self._told:
            self._told = self.reached
            journal(self._name, reached=self.reached, **({} if wrong is None else {"error": wrong}))
