"""Single rows that come in one turn of the loop are scored in one run of the graph.

Where many clients are ready at once, the loop reads all of them before it answers any. What they ask is read
and decoded one by one, scored together, and answered one by one in the order in which it came. Nobody waits
for company: a turn ends when all who were there have been read, and one that brought one row scores it alone.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from serving.runtime.deadlines import expired
from serving.runtime.engine import ROWS_AT_ONCE
from serving.runtime.exchange import Exchange, Model, answered
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
        self._waiting: list[tuple[Exchange, bytes]] = []

    def score(self, exchange: Exchange) -> None:
        """Score at the end of the turn; at once where it is many rows, or another thread than the loop's.

        Raises:
            RequestError: A value is beyond the range of float32.
            ModelFailureError: The graph failed or gave no probability.
        """
        values = exchange.parsed.values
        if type(values) is not list:
            exchange.finish(self._model.many(values), values)  # type: ignore[arg-type]  # mypy does not narrow by type()
            return
        packed = self._model.pack(values)
        if not self._turn.here:
            exchange.finish(self._model.row(packed), packed)
            return
        if not self._waiting:
            self._turn.leave(self.settle)
        self._waiting.append((exchange, packed))
        if len(self._waiting) == ROWS_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Score and answer what waits."""
        waiting, self._waiting = self._waiting, []
        living = [one for one in waiting if one[0].deadline_ns is None or not expired(one[0])]
        for exchange, _ in living:
            exchange.begin()
        if len(living) == 1:
            self._alone(*living[0])
        elif living:
            self._together(living)

    def _together(self, living: Sequence[tuple[Exchange, bytes]]) -> None:
        try:
            probabilities = self._model.rows([packed for _, packed in living])
        except Exception:  # noqa: BLE001 - one row may be to blame: each is asked alone and says its own
            for exchange, packed in living:
                self._alone(exchange, packed)
            return
        for (exchange, packed), probability in zip(living, probabilities, strict=True):
            answered(exchange, probability, packed)

    def _alone(self, exchange: Exchange, packed: bytes) -> None:
        try:
            exchange.finish(self._model.row(packed), packed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            exchange.fail(error)
