"""One bundle in service: its graph, its figures, its log, and the chain that scores a request."""

import threading
import time
import weakref
from collections.abc import Callable, Iterable
from time import perf_counter_ns

import numpy as np

from modelway.bundle.bundle import Bundle
from serving.runtime.chain import Stage, chain
from serving.runtime.codecs import V1Json, V2Json
from serving.runtime.columns import Columns
from serving.runtime.deadlines import Deadlines
from serving.runtime.exchange import Codec, Exchange, Route, Scorer, direct
from serving.runtime.exposition import Family
from serving.runtime.journal import journal
from serving.runtime.keyed import key_reader
from serving.runtime.marks import marks_of
from serving.runtime.metrics import Metrics
from serving.runtime.model import Model
from serving.runtime.net.turn import Turn
from serving.runtime.parsed import Matrix, Parsed
from serving.runtime.prediction_log import Entry, PredictionLog
from serving.runtime.problems import ExpiredError, InvalidOutputError, ModelFailureError, RequestError
from serving.runtime.settings import Settings
from serving.runtime.transport import Head, Respond
from serving.runtime.turns import Company

SLOW_ROW_US = 1000.0
"""A graph that takes longer for one row is always batched, which takes it off the thread of the probes."""

Handler = Callable[[Head, bytes, Respond, int], None]
"""Head, body, how to answer, `perf_counter_ns` of the head."""


class Served:
    """What every protocol calls. Ready once it was warmed up."""

    def __init__(  # noqa: PLR0913 - what a process gives its models, each with its default
        self,
        bundle: Bundle,
        revision: str,
        model: Model,
        log: PredictionLog | None = None,
        *,
        settings: Settings | None = None,
        turn: Turn | None = None,
    ) -> None:
        """Join the parts; not ready until `ready` is set.

        Args:
            bundle: What is served.
            revision: Its name in answers, metrics and log.
            model: The bundle's graph.
            log: Of its predictions; None keeps none.
            settings: Limits and the like.
            turn: Of the loop that brings the requests; without it each is scored by itself.

        Raises:
            ConfigError: The settings name an online store that is none.
        """
        signature = bundle.signature
        self.bundle, self.revision, self.model, self.log = bundle, revision, model, log
        self.name, self._open, self.slow = signature.model_name, False, False
        self.columns = Columns(signature)
        self.metrics = Metrics(model=self.name, revision=revision, limit_ms=bundle.slo.latency_limit_ms)
        self.v2, self.v1 = V2Json(signature, revision, self.columns), V1Json(revision, self.columns)
        self.settings = settings or Settings()
        policy_ms = bundle.policy.deadline_ms
        limited = policy_ms is not None or self.settings.limits.client_deadlines
        self.deadlines = Deadlines(policy_ms) if limited else None
        self.reader = key_reader(bundle, self.columns, self.settings.online_store)
        self._stages: list[Stage] = []
        self._turn = turn
        self.direct: Scorer = direct(model)
        self.scorer = self.direct
        self._started_s = time.time()

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: it was said so, and the store answers, or a rule does for it."""
        reader = self.reader
        return self._open and (
            reader is None or reader.store.reached or self.bundle.policy.fallback is not None
        )

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._open = ready
        if ready and self.reader is not None:
            self.reader.store.watch()

    def warm_up(self) -> None:
        """Pay first-run costs before the first client does, find out how heavy the graph is; `compose`."""
        found = self.model.warm_up()
        self.slow = found.one_row_us > SLOW_ROW_US
        if found.alike and self._turn is not None:
            self.direct = Company(self.model, self._turn).score
        self.compose()

    def compose(self) -> None:
        """Put the chain together, before `handler` is asked for one."""
        self.scorer, self._stages = chain(self)

    def handler(self, codec: Codec, purpose: str | None = None) -> Handler:
        """What answers the requests of one protocol, of users or of one purpose."""
        route = Route(self, codec, purpose)
        watched = self.deadlines is not None or self.settings.observed
        return self._watched(route, self.deadlines) if watched else self._plain(route)

    def _plain(self, route: Route) -> Handler:
        decode, score, fail = route.codec.decode, self.scorer, self.fail

        def handle(head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
            try:
                score(Exchange(route, decode(head, body), respond, start_ns))
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
                fail(error, route, respond, start_ns)

        return handle

    def _watched(self, route: Route, deadlines: Deadlines | None) -> Handler:
        """The same for requests that have a deadline or are looked at on their way."""
        decode, score, fail = route.codec.decode, self.scorer, self.fail

        def handle(head: Head, body: bytes, respond: Respond, start_ns: int) -> None:
            marks = marks_of(respond)
            try:
                deadline_ns = None if deadlines is None else deadlines.of(head, body, start_ns)
                parsed = decode(head, body)
                marks.decoded(parsed.rows)
                score(Exchange(route, parsed, respond, start_ns, deadline_ns, marks))
            except Exception as error:  # noqa: BLE001 - as above
                fail(error, route, respond, start_ns)

        return handle

    def fail(self, error: Exception, route: Route, respond: Respond, start_ns: int) -> None:
        """Answer a request that could not be scored: 4xx is the client's fault, 500 ours."""
        refusal = route.codec.refusal
        if isinstance(error, RequestError):
            route.meter.refused(error.status)
            if isinstance(error, ExpiredError):
                self.metrics.expired()
            respond(error.status, *refusal(error.status, str(error)))
            return
        journal("prediction_failed", error=str(error), kind=type(error).__name__)
        route.meter.scored(500, perf_counter_ns() - start_ns, 0)
        if isinstance(error, InvalidOutputError):
            self.metrics.answered_invalidly()
        message = str(error) if isinstance(error, ModelFailureError) else "internal error"
        respond(500, *refusal(500, message))

    def remember(
        self,
        parsed: Parsed,
        probabilities: np.float32 | Matrix,
        features: bytes | Matrix,
        purpose: str | None = None,
    ) -> None:
        """Append an answer to the prediction log."""
        if self.log is not None:
            received_us = time.time_ns() // 1000
            self.log.append(Entry(parsed, received_us, probabilities, features, purpose=purpose))

    def close(self) -> None:
        """Finish what waits in the chain, then write what the log still holds."""
        for stage in self._stages:
            stage.close()
        if self.log is not None:
            self.log.close()

    def retire(self) -> None:
        """End the chain's threads once the last request under way has let go of this model."""
        weakref.finalize(self, _close_beside, tuple(self._stages))

    def families(self) -> Iterable[Family]:
        """Everything that is counted of this model."""
        metrics, log = self.metrics, self.log
        written, dropped = (0, 0) if log is None else (log.written_rows, log.dropped_rows)
        yield from metrics.families()
        for stage in self._stages:
            yield from stage.families()
        yield metrics.counters(
            "modelway_unknown_category_total",
            "Values outside a category's vocabulary, scored as missing.",
            "column",
            self.columns.unknown_counts,
        )
        yield metrics.counter(
            "modelway_prediction_log_dropped_total", "Rows the log could not keep.", dropped
        )
        yield metrics.counter("modelway_prediction_log_written_total", "Rows on the disk.", written)
        digest = {"bundle": self.bundle.digest}
        yield metrics.gauge("modelway_bundle_info", "The bundle that answers.", 1, digest)
        backend = {"platform": self.model.platform}
        yield metrics.gauge("modelway_backend_info", "What computes the answers.", 1, backend)
        yield metrics.gauge("modelway_ready", "1 when requests are welcome.", int(self.ready))
        yield metrics.gauge(
            "modelway_start_time_seconds", "When the process began, Unix time.", self._started_s
        )


def _close_beside(stages: Iterable[Stage]) -> None:
    """On a thread of its own: who lets go last may be one of those that are ended."""

    def close_all() -> None:
        for stage in stages:
            stage.close()

    threading.Thread(target=close_all, name="retire", daemon=True).start()
