"""One request under way, from its decoded rows to its answer, and the seams it passes.

head + body ──Codec.decode──▶ Parsed ──Scorer──▶ probabilities ──Codec.encode──▶ headers + body

A `Scorer` takes the exchange and sees to it that `finish` or `fail` is called once, now or later, on any
thread. Scorers wrap each other: what a model does not need is not in its chain, and costs nothing. One that
wants to see the answer hands a `Wrapped` exchange on.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec
import numpy as np

from serving.runtime.parsed import Matrix, Parsed
from serving.runtime.transport import Head, Headers, Respond

if TYPE_CHECKING:
    from serving.runtime.marks import Marks
    from serving.runtime.metrics import Meter
    from serving.runtime.served import Served

Answer = tuple[int, Headers, bytes]
"""Status, headers, body."""


class Codec(Protocol):
    """One way to ask and to be answered: V2 or V1, JSON or binary."""

    protocol: str
    """Its name in the metrics: `v2`, `v1`, `grpc`."""

    def decode(self, head: Head, body: bytes) -> Parsed:
        """A request's rows in matrix order.

        Raises:
            RequestError: It is no request for this model; the message says why.
        """

    def encode(self, parsed: Parsed, probabilities: np.float32 | Matrix) -> tuple[Headers, bytes]:
        """The answer: one probability where `parsed.values` is a list, else float32 of shape (rows,)."""

    def refusal(self, status: int, message: str) -> tuple[Headers, bytes]:
        """The answer to a request that is not answered."""

    def noted(self, headers: Headers, body: bytes, notes: Mapping[str, str | float]) -> tuple[Headers, bytes]:
        """An answer with notes beside its numbers; unchanged where the protocol has no place for them."""


class Route:
    """One protocol's way to one model: what its requests share, looked up once."""

    __slots__ = ("codec", "encode", "meter", "remember", "scored", "served")

    def __init__(self, served: "Served", codec: Codec, purpose: str | None = None) -> None:
        """Prepare what never changes; `purpose` stands in the log beside each answer."""
        self.served, self.codec, self.encode = served, codec, codec.encode
        remember = served.remember if purpose is None else partial(served.remember, purpose=purpose)
        self.remember = None if served.log is None else remember
        self.meter = served.metrics.meter(codec.protocol)
        self.scored = self.meter.scored


class Exchange(msgspec.Struct, gc=False):
    """One request under way."""

    route: Route
    parsed: Parsed
    respond: Respond
    start_ns: int
    """`perf_counter_ns` when its head came."""
    deadline_ns: int | None = None
    """`perf_counter_ns` after which it is not scored any more."""
    marks: "Marks | None" = None
    """When it passed which stage; kept only for traces."""

    @property
    def served(self) -> "Served":
        """The model that it is for."""
        return self.route.served

    @property
    def codec(self) -> Codec:
        """How it was asked and is answered."""
        return self.route.codec

    def announce(self, name: str, value: str) -> None:
        """Give its answer one more header."""
        self.respond = partial(_with_header, self.respond, (name, value))

    def begin(self) -> None:
        """Say that it waits no longer: it is scored now. Called by whoever let it wait."""
        if self.marks is not None:
            self.marks.scoring()

    def finish(self, probabilities: np.float32 | Matrix, features: bytes | Matrix) -> None:
        """Answer it.

        Args:
            probabilities: Of one row, or of shape (rows,).
            features: What the graph saw, float32, row-major.
        """
        route, parsed = self.route, self.parsed
        if (marks := self.marks) is not None:
            marks.scored()
        headers, body = route.encode(parsed, probabilities)
        if marks is not None:  # after `encode`, which would send an id back that the client did not send
            parsed.request_id = parsed.request_id or marks.request_id
        if route.remember is not None:
            route.remember(parsed, probabilities, features)
        route.scored(200, perf_counter_ns() - self.start_ns, parsed.rows)
        self.respond(200, headers, body)

    def fail(self, error: Exception) -> None:
        """Say that it cannot be answered, and count whose fault it is."""
        self.route.served.fail(error, self.route, self.respond, self.start_ns)


class Wrapped(Exchange, gc=False):
    """An exchange whose answer someone on the way wants to see; overrides `finish`, `fail` or both."""

    outer: Exchange = None  # type: ignore[assignment]  # fields after defaults need one; `around` always sets it

    @classmethod
    def around(cls, outer: Exchange, **own: Any) -> Self:
        """Wrap an exchange; `own` are the fields of the class that wraps."""
        marks, deadline_ns = outer.marks, outer.deadline_ns
        return cls(
            outer.route, outer.parsed, outer.respond, outer.start_ns, deadline_ns, marks, outer=outer, **own
        )

    def announce(self, name: str, value: str) -> None:
        """Hand it outwards."""
        self.outer.announce(name, value)

    def begin(self) -> None:
        """Hand it outwards."""
        self.outer.begin()

    def finish(self, probabilities: np.float32 | Matrix, features: bytes | Matrix) -> None:
        """Hand it outwards."""
        self.outer.finish(probabilities, features)

    def fail(self, error: Exception) -> None:
        """Hand it outwards."""
        self.outer.fail(error)


def _with_header(
    respond: Respond, header: tuple[str, str], status: int, headers: Headers, body: bytes
) -> None:
    respond(status, [*headers, header], body)


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


def answered(exchange: Exchange, probabilities: np.float32 | Matrix, features: bytes | Matrix) -> None:
    """Answer one of several; what goes wrong with it is told to its client and harms no other."""
    try:
        exchange.finish(probabilities, features)
    except Exception as error:  # noqa: BLE001 - the others are to be answered too
        exchange.fail(error)


def answer_rows(
    exchanges: Sequence[Exchange], packed: Sequence[bytes], probabilities: Sequence[np.float32]
) -> None:
    """Answer single rows that were scored together, in the order in which they came.

    Those of whom nobody wants to see more than the answer pass no methods of their own, and are counted by
    protocol at one moment: after all of them, and before anything is sent.

    Args:
        exchanges: Of one row each, on the loop's thread.
        packed: What the graph saw of each.
        probabilities: Of each.
    """
    starts_ns: dict[Meter, list[int]] = {}
    for exchange, row, probability in zip(exchanges, packed, probabilities, strict=True):
        if type(exchange) is not Exchange or exchange.marks is not None:
            answered(exchange, probability, row)
            continue
        route, parsed = exchange.route, exchange.parsed
        try:
            headers, body = route.encode(parsed, probability)
            if route.remember is not None:
                route.remember(parsed, probability, row)
            exchange.respond(200, headers, body)
        except Exception as error:  # noqa: BLE001 - the others are to be answered too
            exchange.fail(error)
        else:
            starts_ns.setdefault(route.meter, []).append(exchange.start_ns)
    for meter, starts in starts_ns.items():
        meter.answered(starts, perf_counter_ns())
