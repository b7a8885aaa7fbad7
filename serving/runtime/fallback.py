"""What is answered when the model or the store fails: a fixed probability, announced, counted and logged.

The client gets a 200 that says so. The figures keep what it was: the failure's own status, so that whoever
judges a revision by them sees a model that fails, not one that answers (docs/adr/0059).
"""

import threading
from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from serving.runtime.exchange import Exchange, Scorer, Wrapped
from serving.runtime.exposition import Family
from serving.runtime.metrics import Metrics
from serving.runtime.notes import Notes, announce, outermost_of
from serving.runtime.parsed import Matrix, Parsed
from serving.runtime.problems import InvalidOutputError, ModelFailureError, RequestError, StoreError
from serving.runtime.transport import Headers, Respond

_DEADLINE = 504
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (StoreError, "store"),
    (InvalidOutputError, "invalid_output"),
    (ModelFailureError, "model"),
)
DATA_REASONS = frozenset({"missing", "stale"})
"""Reasons that lie in the data of a key: no failure of the revision that answers."""


class FallbackRule:
    """One model's rule and how often it answered."""

    def __init__(self, probability: float, width: int, metrics: Metrics) -> None:
        """Prepare.

        Args:
            probability: What is answered.
            width: Columns of the model.
            metrics: Give the counters their labels.
        """
        self.probability, self._width, self._metrics = np.float32(probability), width, metrics
        self._counts = dict.fromkeys(("store", "invalid_output", "model", "deadline", "error"), 0)
        self._counts |= dict.fromkeys(sorted(DATA_REASONS), 0)
        self._lock = threading.Lock()

    @property
    def counts(self) -> Mapping[str, int]:
        """Requests in which it answered a row or more, by reason."""
        return self._counts

    def families(self) -> Iterable[Family]:
        """How often it answered."""
        text = "Requests that the fallback rule answered, in part or whole."
        yield self._metrics.counters("modelway_fallback_total", text, "reason", self._counts)

    def close(self) -> None:
        """It has no thread to end."""

    def count(self, reason: str) -> None:
        """One more request."""
        with self._lock:
            self._counts[reason] = self._counts.get(reason, 0) + 1

    def answer(self, parsed: Parsed) -> np.float32 | Matrix:
        """The probability for every row, in the form that a model would give it."""
        if parsed.rows == 1:
            return self.probability
        return np.full(parsed.rows, self.probability, np.float32)

    def seen(self, parsed: Parsed) -> bytes | Matrix:
        """What is logged as features: those that were there, else missing values."""
        if isinstance(parsed.values, np.ndarray):
            return parsed.values
        if parsed.values:
            return np.array(parsed.values, np.float32).tobytes()
        return np.full((parsed.rows, self._width), np.nan, np.float32)

    def replaced(
        self, probabilities: np.float32 | Matrix, fallbacks: Mapping[int, str]
    ) -> np.float32 | Matrix:
        """The answers with the rule's in the rows that it answers."""
        if not isinstance(probabilities, np.ndarray):
            return self.probability
        own = probabilities.copy()
        own[list(fallbacks)] = self.probability
        return own


def with_fallback(rule: FallbackRule, inner: Scorer) -> Scorer:
    """Let the rule answer where the rest of the chain fails, and rows that the store could not fill."""

    def score(exchange: Exchange) -> None:
        guarded = _Guarded.around(exchange, rule=rule)
        try:
            inner(guarded)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            guarded.fail(error)

    return score


class _Guarded(Wrapped, gc=False):
    """An exchange whose failure is answered by the rule."""

    rule: FallbackRule = None  # type: ignore[assignment]  # as `outer`; `with_fallback` sets it

    def finish(self, probabilities: np.float32 | Matrix, features: bytes | Matrix) -> None:
        """Answer, the rule's rows by the rule."""
        fallbacks = self.parsed.fallbacks
        if fallbacks:
            probabilities = self.rule.replaced(probabilities, fallbacks)
            for reason in set(fallbacks.values()):
                self.rule.count(reason)
            announce(self, _notes(self.parsed, fallbacks))
        self.outer.finish(probabilities, features)

    def fail(self, error: Exception) -> None:
        """Count and log the failure as what it is, and send the rule's answer in its place."""
        reason = reason_of(error)
        if reason is not None:
            self._substitute(reason)
        self.outer.fail(error)

    def _substitute(self, reason: str) -> None:
        parsed, route, rule = self.parsed, self.route, self.rule
        parsed.fallbacks = dict.fromkeys(range(parsed.rows), reason)
        rule.count(reason)
        answer = rule.answer(parsed)
        headers, body = route.encode(parsed, answer)
        if route.remember is not None:
            route.remember(parsed, answer, rule.seen(parsed))
        announce(self, {"fallback": reason})
        outermost = outermost_of(self)
        outermost.respond = partial(_instead, outermost.respond, headers, body)


def _instead(
    respond: Respond, headers: Headers, body: bytes, _status: int, _headers: Headers, _body: bytes
) -> None:
    respond(200, headers, body)


def reason_of(error: Exception) -> str | None:
    """Why the rule answers; None for a client's error, which stays one."""
    if isinstance(error, RequestError):
        return "deadline" if error.status == _DEADLINE else None
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "error")


def _notes(parsed: Parsed, fallbacks: Mapping[int, str]) -> Notes:
    """Why, and which rows where not all of them."""
    notes: dict[str, str | float] = {"fallback": ",".join(sorted(set(fallbacks.values())))}
    if len(fallbacks) < parsed.rows:
        notes["fallback_rows"] = ",".join(map(str, sorted(fallbacks)))
    return notes
