"""Single rows that come in one turn of the loop are scored in one run of the graph.

Where many clients are ready at once, the loop reads all of them before it answers any. What they ask is read
and decoded one by one, scored together, and answered one by one in the order in which it came. Nobody waits
for company: a turn ends when all who were there have been read, and one that brought one row scores it alone.
"""

from collections.abc import Sequence
from threading import get_ident
from typing import Protocol

import numpy as np

from serving.runtime.deadlines import expired
from serving.runtime.engine import ROWS_AT_ONCE
from serving.runtime.exchange import Exchange, Model, answer_rows
from serving.runtime.net.turn import Turn


class RowModel(Model, Protocol):
    """A model whose answer to a row is the same whatever rows lie beside it."""

    def pack(self, values: Sequence[float]) -> bytes:
        """One row as float32 bytes; RequestError where a value is beyond them."""

    def row(self, packed: bytes) -> np.float32:
        """Probability of a packed row."""

    def rows(self, packed: Sequence[bytes]) -> Sequence[np.float32]:
        """Probabilities of a few packed rows, in one run."""


class Company:
    """The single rows for one model that the present turn has brought."""

    def __init__(self, model: RowModel, turn: Turn) -> None:
        """None yet; `turn` says when they are all there."""
        self._model, self._turn = model, turn
        self._waiting: list[Exchange] = []
        self._packed: list[bytes] = []
        """The row of each."""
        self._watched = False
        """Whether one of them has a deadline or is looked at on its way."""

    def score(self, exchange: Exchange) -> None:
        """Score at the end of the turn; at once where it is many rows, or another thread than the loop's.

        Raises:
            RequestError: A value is beyond the range of float32.
            ModelFailureError: The graph failed or gave no probability.
        """
        parsed, waiting = exchange.parsed, self._waiting
        values = parsed.values
        if type(values) is not list:
            exchange.finish(self._model.many(values), values)  # type: ignore[arg-type]  # mypy does not narrow by type()
            return
        packed = parsed.packed or self._model.pack(values)
        if get_ident() != self._turn.ident:
            exchange.finish(self._model.row(packed), packed)
            return
        if not waiting:
            self._turn.leave(self.settle)
        waiting.append(exchange)
        self._packed.append(packed)
        if exchange.deadline_ns is not None or exchange.marks is not None:
            self._watched = True
        if len(waiting) == ROWS_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Score and answer what waits."""
        waiting, self._waiting = self._waiting, []
        packed, self._packed = self._packed, []
        if self._watched:
            self._watched = False
            waiting, packed = _begun(waiting, packed)
        if len(waiting) == 1:
            self._alone(waiting[0], packed[0])
        elif waiting:
            self._together(waiting, packed)

    def _together(self, living: Sequence[Exchange], packed: Sequence[bytes]) -> None:
        try:
            probabilities = self._model.rows(packed)
        except Exception:  # noqa: BLE001 - one row may be to blame: each is asked alone and says its own
            for exchange, row in zip(living, packed, strict=True):
                self._alone(exchange, row)
            return
        answer_rows(living, packed, probabilities)

    def _alone(self, exchange: Exchange, packed: bytes) -> None:
        try:
            exchange.finish(self._model.row(packed), packed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            exchange.fail(error)


def _begun(waiting: Sequence[Exchange], packed: Sequence[bytes]) -> tuple[list[Exchange], list[bytes]]:
    """Those that are still in time; who watches them is told that they wait no longer."""
    living: list[Exchange] = []
    rows: list[bytes] = []
    for exchange, row in zip(waiting, packed, strict=True):
        if exchange.deadline_ns is None or not expired(exchange):
            exchange.begin()
            living.append(exchange)
            rows.append(row)
    return living, rows
