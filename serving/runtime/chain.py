"""What a request passes on its way to the model. A stage that a model does not ask for is not there."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from modelway.bundle.policy import Batching
from serving.runtime.aside import Aside
from serving.runtime.batching import Batcher
from serving.runtime.cache import CacheStage
from serving.runtime.deadlines import in_time
from serving.runtime.exchange import Exchange, Scorer
from serving.runtime.exposition import Family
from serving.runtime.fallback import FallbackRule, with_fallback
from serving.runtime.keyed import KeyReader, by_key
from serving.runtime.online_redis import READERS, RedisOnlineStore
from serving.runtime.problems import RequestError

if TYPE_CHECKING:
    from serving.runtime.served import Served


class Stage(Protocol):
    """A part of the chain that counts something or has threads."""

    def families(self) -> Iterable[Family]:
        """What it counts."""

    def close(self) -> None:
        """Finish what it has and end its threads."""


def at_most(max_rows: int, then: Scorer) -> Scorer:
    """Refuse requests of more rows; `then` gets the rest."""

    def score(exchange: Exchange) -> None:
        if exchange.parsed.rows > max_rows:
            message = f"{exchange.parsed.rows} rows in one request, at most {max_rows}; send them in parts"
            raise RequestError(message, status=413)
        then(exchange)

    return score


def _with_store(served: "Served", reader: KeyReader, then: Scorer) -> tuple[Scorer, Sequence[Stage]]:
    """Ask the store first: here where it is a file, on threads of its own where it is across the network."""
    scorer, store = by_key(reader, then), reader.store
    if not isinstance(store, RedisOnlineStore):
        return scorer, []
    aside = Aside(scorer, store, served.metrics, READERS)
    return aside.score, [aside]


def chain(served: "Served") -> tuple[Scorer, list[Stage]]:
    """Fallback rule → deadline → online store → cache → batching → model, as far as the policy names them.

    A graph that is slow for a single row is always batched: it would hold up the thread that answers probes.
    """
    policy, stages = served.bundle.policy, list[Stage]()
    width = len(served.columns.names)
    scorer = served.direct
    batching = policy.batching or (Batching() if served.slow else None)
    if batching is not None:
        batcher = Batcher(served.model, width, batching, served.metrics)
        batcher.start()
        scorer, stages = batcher.score, [batcher]
    if policy.cache is not None:
        cache = CacheStage(policy.cache, width, served.metrics, scorer)
        scorer, stages = cache.score, [cache, *stages]
    if served.reader is not None:
        scorer, waiting = _with_store(served, served.reader, scorer)
        stages = [*waiting, *stages]
    if served.deadlines is not None:
        scorer = in_time(scorer)
    if served.settings.limits.max_rows is not None:
        scorer = at_most(served.settings.limits.max_rows, scorer)
    if policy.fallback is not None:
        rule = FallbackRule(policy.fallback.probability, width, served.metrics)
        scorer, stages = with_fallback(rule, scorer), [rule, *stages]
    return scorer, stages
