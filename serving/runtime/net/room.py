"""How many connections one process has, and the most that it may have: descriptors never run out."""

import resource
from collections.abc import Iterable, Mapping

from modelway.errors import ConfigError
from serving.runtime.exposition import Family
from serving.runtime.net.connection import Connection

KEPT_DESCRIPTORS = 64
"""For everything but connections: files, logs, the feature store, ports."""
MOST_UNASKED = 65_536
"""The limit where nobody has set one, however many descriptors there are."""


class Room:
    """The connections of all ports together."""

    def __init__(self, limit: int) -> None:
        """Empty."""
        self.limit, self.taken, self.closed = limit, 0, 0
        self.ports: list[Mapping[Connection, None]] = []
        """Of each port those that are open: one of any may have to go for one of any other."""

    @property
    def full(self) -> bool:
        """Whether nobody more is taken in."""
        return self.taken >= self.limit

    def families(self) -> Iterable[Family]:
        """How many there are, and how many had to go for others."""
        taken, closed = "modelway_connections", "modelway_connections_closed_for_room_total"
        text = "Idle connections that were closed because others waited."
        labelled = f'{taken}{{limit="{self.limit}"}} {self.taken}'
        yield Family(taken, "gauge", "Open connections of all ports.", [labelled])
        yield Family(closed, "counter", text, [f"{closed} {self.closed}"])


def room_for(limit: int | None) -> Room:
    """Room for as many as the settings say; where they say nothing, for as many as there are descriptors.

    Raises:
        ConfigError: The process may not have so many descriptors.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = MOST_UNASKED if soft == resource.RLIM_INFINITY else max(1, soft - KEPT_DESCRIPTORS)
    if limit is None:
        return Room(min(possible, MOST_UNASKED))
    if limit > possible and soft != resource.RLIM_INFINITY:
        raise ConfigError(
            f"limits.max_connections {limit} with {soft} descriptors",
            expected=f"at most {possible}: {KEPT_DESCRIPTORS} are kept for other things",
            remedy="raise the limit of open files (`ulimit -n`), or lower the setting",
        )
    return Room(limit)
