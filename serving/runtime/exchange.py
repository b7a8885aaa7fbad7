"""One request under way, from its decoded rows to its answer, and the seams it passes.

head + body ──Codec.decode──▶ Parsed ──Scorer──▶ probabilities ──Codec.encode──▶ headers + body

A `Scorer` takes the exchange and sees to it that `finish` or `fail` is called once, now or later, on any
thread. Scorers wrap each other: what a model does not need is not in its chain, and costs nothing.
"""

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from serving.runtime.parsed import Matrix, Parsed
from serving.runtime.transport import Head, Headers, Respond

if TYPE_CHECKING:
    from serving.runtime.served import Served

Answer = tuple[int, Headers, bytes]
"""Status, headers, body."""


class Codec(Protocol):
    """One way to ask and to be answered: V2 or V1, JSON or binary."""

    def decode(self, head: Head, body: bytes) -> Parsed:
        """A request's rows in matrix order.

        Raises:
            RequestError: It is no request for this model; the message says why.
        """

    def encode(self, parsed: Parsed, probabilities: np.float32 | Matrix) -> tuple[Headers, bytes]:
        """The answer: one probability where `parsed.values` is a list, else float32 of shape (rows,)."""

    def refusal(self, status: int, message: str) -> tuple[Headers, bytes]:
        """The answer to a request that is not answered."""


class Exchange(msgspec.Struct, gc=False):
    """One request under way."""

    served: "Served"
    codec: Codec
    parsed: Parsed
    respond: Respond
    start_ns: int
    """`perf_counter_ns` when its head came."""

    def finish(self, probabilities: np.float32 | Matrix, features: bytes | Matrix) -> None:
        """Answer it.

        Args:
            probabilities: Of one row, or of shape (rows,).
            features: What the graph saw, float32, row-major.
        """
        served, parsed = self.served, self.parsed
        headers, body = self.codec.encode(parsed, probabilities)
        if served.log is not None:
            served.remember(parsed, probabilities, features)
        served.metrics.scored(200, (perf_counter_ns() - self.start_ns) / 1e9, parsed.rows)
        self.respond(200, headers, body)

    def fail(self, error: Exception) -> None:
        """Say that it cannot be answered, and count whose fault it is."""
        self.served.fail(error, self.codec, self.respond, self.start_ns)


Scorer = Callable[[Exchange], None]
"""Sees to it that the exchange is finished or failed, once; may raise before either."""


class Model(Protocol):
    """What gives probabilities."""

    def one(self, values: Any) -> tuple[np.float32, bytes]:
        """Score one row: its probability, and the row as float32 bytes."""

    def many(self, matrix: Matrix) -> Matrix:
        """Score float32 rows of shape (n, F): float32 of shape (n,)."""


def direct(model: Model) -> Scorer:
    """The shortest chain: score on the calling thread and answer."""
    one, many = model.one, model.many

    def score(exchange: Exchange) -> None:
        values = exchange.parsed.values
        if type(values) is list:
            exchange.finish(*one(values))
        else:
            exchange.finish(many(values), values)  # type: ignore[arg-type]  # mypy does not narrow by type()

    return score
