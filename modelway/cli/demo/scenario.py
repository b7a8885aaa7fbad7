"""The demo's script: which dates it replays and how much load it offers."""

from datetime import UTC, datetime

from modelway.contract import Frozen


class Scenario(Frozen):
    """Dates and sizes of one replay of the loans."""

    champion_as_of: datetime
    """What the first model may know."""
    stream_until: datetime
    """Applications approved from `champion_as_of` until here go through the gateway."""
    trials: int
    """Hyper-parameter trials per kind of model."""
    every: int
    """Replay every n-th application."""
    load_rate_rps: float
    load_s: float
    seed: int = 7


FULL = Scenario(
    champion_as_of=datetime(2005, 1, 1, tzinfo=UTC),
    stream_until=datetime(2008, 1, 1, tzinfo=UTC),
    trials=4,
    every=1,
    load_rate_rps=200.0,
    load_s=12.0,
)
"""The whole story: a champion of 2005 meets the years before the crisis."""

SMALL = FULL.model_copy(update={"trials": 2, "every": 2, "load_s": 8.0})
"""The same story with less of everything, for CI."""
