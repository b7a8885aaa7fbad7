"""How the values of named columns become the numbers that the graph takes."""

from collections.abc import Mapping, Sequence
from math import nan

from modelway.bundle.signature import GRAPH_INPUT, Input, Signature
from serving.runtime.problems import RequestError, shown

EVENT_TIME = "event_time"
"""Optional request tensor: when the row happened, microseconds since 1970 UTC. Logged, not scored."""

Value = float | int | bool | str | None


class Columns:
    """A signature, prepared for look-ups while requests come in.

    Attributes:
        names: Input names in matrix order.
        unknown_counts: How often each category was given a value outside its vocabulary.
    """

    __slots__ = ("_codes", "_kinds", "index", "key", "names", "unknown_counts")

    def __init__(self, signature: Signature) -> None:
        self.names = signature.names
        self.key = signature.key
        self.index: Mapping[str, int] = {name: at for at, name in enumerate(self.names)}
        self._kinds = tuple(column.kind for column in signature.inputs)
        self._codes = tuple(_codes(column) for column in signature.inputs)
        self.unknown_counts: dict[str, int] = {c.name: 0 for c in signature.inputs if c.kind == "category"}

    def is_log_only(self, name: str) -> bool:
        """Whether a tensor of that name is logged and not scored."""
        return name in {self.key, EVENT_TIME} and name not in self.index

    def is_category(self, at: int) -> bool:
        """Whether the column takes values of a vocabulary."""
        return self._kinds[at] == "category"

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
        if isinstance(value, str):
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

    def missing_from(self, given: Sequence[str] | Mapping[str, object]) -> RequestError:
        """The error that names the columns a request left out."""
        left_out = [name for name in self.names if name not in given]
        return RequestError(
            f"missing input columns: {', '.join(left_out)}; send null for a value that is not known"
        )


def _codes(column: Input) -> Mapping[str, float]:
    return {value: float(code) for code, value in enumerate(column.vocabulary)}
