"""When a request passed which stage: for its trace and its line in the access log."""

from time import perf_counter_ns
from typing import Any

import msgspec


class Marks(msgspec.Struct, gc=False):
    """Moments of `perf_counter_ns`; 0 where it never came."""

    request_id: str | None = None
    head_ns: int = 0
    """Its head was there."""
    body_ns: int = 0
    """Its body was there."""
    decoded_ns: int = 0
    scoring_ns: int = 0
    """It waited no longer."""
    scored_ns: int = 0
    rows: int = 0

    def decoded(self, rows: int) -> None:
        """It is a request, and for so many rows."""
        self.decoded_ns, self.rows = perf_counter_ns(), rows

    def scoring(self) -> None:
        """It waits no longer."""
        self.scoring_ns = perf_counter_ns()

    def scored(self) -> None:
        """Its probabilities are there."""
        self.scored_ns = perf_counter_ns()


def marks_of(respond: Any) -> Marks:
    """Those of whoever answers; new ones, which nobody reads, where the request is not looked at."""
    marks = getattr(respond, "marks", None)
    return marks if isinstance(marks, Marks) else Marks()
