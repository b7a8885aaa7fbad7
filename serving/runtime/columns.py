"""How the values of named columns become the numbers that the graph takes."""

from collections.abc import Collection, Mapping, Sequence
from math import nan
from typing import Any, Protocol

from modelway.bundle.signature import GRAPH_INPUT, Input, Signature
from serving.runtime.problems import RequestError, shown

EVENT_TIME = "event_time"
"""Optional request tensor: when the row happened, microseconds since 1970 UTC. Logged, not scored."""

_ONE_ROW = [1]

Value = float | int | bool | str | None


class Tensor(Protocol):
    """What every decoder makes of one input tensor."""

    @property
    def name(self) -> str:
        """Name on the wire."""

    @property
    def shape(self) -> list[int]:
        """As sent; not yet held against the data."""

    @property
    def datatype(self) -> str:
        """One of the protocol's names."""

    @property
    def data(self) -> Any:
        """Row-major: a list with None where missing, or for the matrix an array."""


class Columns:
    """A signature, prepared for look-ups while requests come in.

    Attributes:
        names: Input names in matrix order.
        unknown_counts: How often each category was given a value outside its vocabulary.
        stored: Columns that a request by key may leave out, each with the column that names the row it lies
            in; empty where there is no online store.
        entities: Columns that only name such rows: logged and not scored, like the key.
    """

    __slots__ = ("_codes", "_log_only", "entities", "index", "key", "names", "stored", "unknown_counts")

    def __init__(self, signature: Signature) -> None:
        """Look up what decoding asks for, once."""
        self.names = signature.names
        self.key = signature.key
        self.index: Mapping[str, int] = {name: at for at, name in enumerate(self.names)}
        self._codes = {at: _codes(c) for at, c in enumerate(signature.inputs) if c.kind == "category"}
        self._log_only = frozenset({self.key, EVENT_TIME} - set(self.names))
        self.stored: Mapping[str, str] = {}
        self.entities: frozenset[str] = frozenset()
        self.unknown_counts: dict[str, int] = {c.name: 0 for c in signature.inputs if c.kind == "category"}

    def read_from_store(self, stored: Mapping[str, str]) -> None:
        """Let requests leave columns out.

        Args:
            stored: Names of the columns, each with the key, input or further column that names its row.
        """
        self.stored = stored
        self.entities = frozenset(stored.values()) - {self.key, *self.names}
        self._log_only |= self.entities

    def is_log_only(self, name: str) -> bool:
        """Whether a tensor of that name is logged and not scored."""
        return name in self._log_only

    def is_category(self, at: int) -> bool:
        """Whether the column takes values of a vocabulary."""
        return at in self._codes

    def encode(self, at: int, values: Sequence[Value]) -> list[float]:
        """One column's values as the graph takes them: missing and unknown become NaN.

        Args:
            at: Position of the column in the matrix.
            values: Of one column; numbers for a number, strings for a category, None for missing.

        Raises:
            RequestError: A value is of the wrong kind.
        """
        if self.is_category(at):
            return [self._code(at, value) for value in values]
        return [self._number(at, value) for value in values]

    def row(self, tensors: Sequence[Tensor]) -> list[float] | None:
        """One row out of one tensor a column, the usual request; None when it is anything else.

        Whatever is wrong with the request is left to the careful path, which can say it.
        """
        row: list[Any] = [None] * len(self.names)
        filled = 0
        for tensor in tensors:
            if tensor.shape != _ONE_ROW or len(tensor.data) != 1:
                return None
            at = self.index.get(tensor.name)
            if at is not None:
                row[at] = self._known(at, tensor.data[0])
                filled += 1
            elif tensor.name not in self._log_only:
                return None
        return None if None in row or filled != len(row) else row

    def _known(self, at: int, value: Value) -> float | None:
        """A value as the graph takes it; None when the careful path must count it or complain."""
        if value is None:
            return nan
        codes = self._codes.get(at)
        if codes is not None:
            return codes.get(value) if isinstance(value, str) else None
        return None if isinstance(value, str | dict) else value

    def _code(self, at: int, value: Value) -> float:
        if value is None:
            return nan
        if not isinstance(value, str):
            raise RequestError(
                f"column {self.names[at]!r} is a category: expected strings or null, found {shown(value)}"
            )
        code = self._codes[at].get(value)
        if code is None:
            self.unknown_counts[self.names[at]] += 1
            return nan
        return code

    def _number(self, at: int, value: Value) -> float:
        if value is None:
            return nan
        if isinstance(value, str | dict):
            raise RequestError(
                f"column {self.names[at]!r} is a number: expected numbers or null, found {shown(value)}"
            )
        return float(value)

    def position(self, name: str) -> int:
        """Where a named column stands in the matrix.

        Raises:
            RequestError: The model has no such input.
        """
        at = self.index.get(name)
        if at is None:
            raise RequestError(
                f"no input named {shown(name)}; "
                f"expected {GRAPH_INPUT!r} or the columns {', '.join(self.names)}"
            )
        return at

    def names_in(self, given: Collection[str]) -> bool:
        """Whether every column is there."""
        return all(name in given for name in self.names)

    def left_to_store(self, given: Collection[str], *, keyed: bool) -> bool:
        """Whether a request that brings only these columns can be scored with the online store's.

        Args:
            given: Names of all that it brings.
            keyed: Whether its key is among them.
        """
        return all(name in given or self._is_named(name, given, keyed=keyed) for name in self.names)

    def _is_named(self, name: str, given: Collection[str], *, keyed: bool) -> bool:
        """Whether the request says in which row of the store a column lies, if only by its subject's row."""
        entity = self.stored.get(name)
        if entity == self.key:
            return keyed
        return entity is not None and (entity in given or (keyed and self.stored.get(entity) == self.key))

    def missing_from(self, given: Sequence[str] | Mapping[str, object]) -> RequestError:
        """The error that names the columns a request left out."""
        left_out = [name for name in self.names if name not in given]
        ids = sorted({self.stored[name] for name in left_out if name in self.stored} - {*given})
        return RequestError(
            f"missing input columns: {', '.join(left_out)}; send null for a value that is not known"
            + (f", or {', '.join(ids)} for what the online store has" if ids else "")
        )


def _codes(column: Input) -> Mapping[str, float]:
    return {value: float(code) for code, value in enumerate(column.vocabulary)}
