"""Cut time into windows that end at `as_of`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from modelway.monitoring.predictions import EVENT_TIME


class Window(NamedTuple):
    """Event times in [since, until)."""

    since: datetime
    until: datetime

    def __str__(self) -> str:
        """Both days."""
        return f"{self.since:%Y-%m-%d} to {self.until:%Y-%m-%d}"


def windows_before(as_of: datetime, *, days: int, count: int) -> tuple[Window, ...]:
    """`count` windows of `days` days each, oldest first, the last one ending at `as_of`."""
    step = timedelta(days=days)
    return tuple(Window(as_of - step * k, as_of - step * (k - 1)) for k in range(count, 0, -1))


def rows_in(frame: pl.DataFrame, window: Window) -> pl.DataFrame:
    """The rows whose event lies in the window."""
    return frame.filter(pl.col(EVENT_TIME).is_between(window.since, window.until, closed="left"))


def cut(frame: pl.DataFrame, windows: Sequence[Window]) -> tuple[pl.DataFrame, ...]:
    """The rows of each window, in the windows' order."""
    return tuple(rows_in(frame, window) for window in windows)
