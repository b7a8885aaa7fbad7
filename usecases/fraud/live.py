"""The rows of `windows.sliding` made one fact at a time, as a stream job makes them, to the same sums."""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, groupby

from usecases.fraud.windows import GAP, Kind

Move = tuple[int, int, str, Mapping[str, int], int | None]
"""Moment (µs), number, entity, what is added to each sum, when the fact happened (µs) if it comes in here."""
Row = dict[str, object]
"""entity, moment (µs), every sum; with `gap_s` in seconds where asked."""


class LiveSums:
    """Running sums of all entities of one view. Holds what has still to leave a window, and nothing older."""

    def __init__(self, kinds: Sequence[Kind], *, with_gap: bool) -> None:
        """Start with no fact known.

        Args:
            kinds: What is summed over which windows.
            with_gap: Also keep the time between an entity's two newest facts.
        """
        self._kinds = tuple(kinds)
        self._names = tuple(name for kind in kinds for name in kind.names)
        self._with_gap = with_gap
        self._moves: list[Move] = []
        self._numbers = count()  # ties of the heap are broken by it, never by comparing the sums
        self._sums: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(self._names, 0))
        self._newest: dict[str, tuple[int, int | None]] = {}

    def take(self, entity: str, at_us: int, known_us: int, values: Mapping[str, int]) -> None:
        """Note a fact; it counts in every kind whose values it has, from `known_us` on.

        Args:
            entity: Whose fact.
            at_us: When it happened, microseconds since 1970.
            known_us: When it came in; later than the last `advance`.
            values: What it adds, by name.
        """
        entering: dict[str, int] = {}
        for kind in self._kinds:
            if set(kind.values) <= values.keys():
                for leaves_us, move in _windows(kind, at_us, known_us, values):
                    entering |= move
                    self._add(leaves_us, entity, {name: -value for name, value in move.items()}, None)
        self._add(known_us, entity, entering, at_us)

    def advance(self, until_us: int) -> list[Row]:
        """Every row that came to be up to `until_us` and was not given before, in order of its moment."""
        due = []
        while self._moves and self._moves[0][0] <= until_us:
            due.append(heapq.heappop(self._moves))
        due.sort(key=lambda move: (move[0], move[2], move[1]))
        same = groupby(due, key=lambda move: (move[0], move[2]))
        return [self._apply(moment, entity, moves) for (moment, entity), moves in same]

    def _add(self, moment_us: int, entity: str, sums: Mapping[str, int], at_us: int | None) -> None:
        heapq.heappush(self._moves, (moment_us, next(self._numbers), entity, sums, at_us))

    def _apply(self, moment_us: int, entity: str, moves: Iterator[Move]) -> Row:
        sums = self._sums[entity]
        for _, _, _, changes, at_us in moves:
            for name, change in changes.items():
                sums[name] += change
            if at_us is not None and self._with_gap:
                self._note(entity, at_us)
        row: Row = {"entity": entity, "moment": moment_us, **sums}
        return row | {GAP: self._gap(entity)} if self._with_gap else row

    def _note(self, entity: str, at_us: int) -> None:
        """Keep the two newest by the time they happened, whatever the order in which they come in."""
        newest, second = self._newest.get(entity, (None, None))
        if newest is None or at_us > newest:
            self._newest[entity] = (at_us, newest)
        else:
            self._newest[entity] = (newest, at_us if second is None else max(second, at_us))

    def _gap(self, entity: str) -> float | None:
        newest, second = self._newest.get(entity, (0, None))
        return None if second is None else (newest - second) / 1e6


def _windows(
    kind: Kind, at_us: int, known_us: int, values: Mapping[str, int]
) -> Iterator[tuple[int, dict[str, int]]]:
    """For each window that the fact is still in when it comes in: when it leaves, and what it adds."""
    for window in kind.windows:
        leaves_us = at_us + round(window.length.total_seconds() * 1e6)
        if leaves_us > known_us:
            yield leaves_us, {name: values[value] for name, value in kind.columns(window).items()}
