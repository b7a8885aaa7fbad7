"""The seam between judgement and machinery: what a rollout asks of the place it runs in."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import Field

from modelway.contract import Frozen

RevisionId = str
"""Name of a revision: what `x-revision` says. Letters, digits, `.`, `_`, `-`."""


class Revision(Frozen):
    """One immutable bundle under a name. The same name never means another bundle."""

    id: RevisionId = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    bundle: Path
    digest: str
    verify_key: Path
    """PEM file of the key that must have signed the bundle."""


def service_of(revision: RevisionId) -> str:
    """The model that a revision of ours is one of: its id is `<model>-<what tells it from others>`."""
    return revision.rpartition("-")[0]


class Readiness(Frozen):
    """How far a revision's replicas have come."""

    wanted: int = Field(ge=0)
    ready: int = Field(ge=0)
    restarts: int = Field(default=0, ge=0)
    """Crashes since it was deployed, of all its replicas."""
    problem: str = ""
    """The last thing that went wrong, in one line."""

    @property
    def complete(self) -> bool:
        """Every replica asked for is ready."""
        return self.wanted > 0 and self.ready >= self.wanted


class Routing(Frozen):
    """How requests are shared out. Deployed revisions without traffic stand in it with 0."""

    weights: Mapping[RevisionId, int]
    mirror: RevisionId | None = None
    key_header: str = ""
    """The header whose hash decides, where it is not chance."""
    slots: tuple[tuple[RevisionId, int], ...] = ()
    """Who serves which stretch of the hashes, in percent."""


class Window(Frozen):
    """A stretch of time over which both arms are counted alike."""

    id: str
    """Unique per step of a rollout; the first observation under it opens it."""
    opened_at: datetime


class Observations(Frozen):
    """What one revision did since the window opened. None says "not known", never "none"."""

    requests: int | None = None
    """Requests it had to answer: the client's own mistakes (4xx) left out."""
    server_errors: int | None = None
    """Of those: 5xx, resets, time-outs and connections refused."""
    answered: int | None = None
    """Requests whose latency was measured."""
    slo_exceeded: int | None = None
    """Of those: slower than the SLO's limit."""
    rejected: int | None = None
    """4xx: the client's own mistakes, unless this revision alone calls them so."""
    invalid_outputs: int | None = None
    """Answers that were no finite number in [0, 1]."""


class Target(Protocol):
    """A place where revisions run and share traffic. Every call may be repeated at no harm."""

    def deploy(self, revision: Revision, *, replicas: int) -> None:
        """Ask for replicas of a revision. Returns when asked, not when ready."""
        ...

    def ready(self, revision: RevisionId) -> Readiness | None:
        """How far it has come; None when it was never deployed or nothing is known."""
        ...

    def route(self, weights: Mapping[RevisionId, int], *, mirror: RevisionId | None = None) -> None:
        """Ask for a share of traffic per revision, in percent, summing to 100."""
        ...

    def routing(self) -> Routing | None:
        """The shares in effect now, every deployed revision named; None when not known."""
        ...

    def observe(self, window: Window) -> Mapping[RevisionId, Observations]:
        """What each revision did since the window opened."""
        ...

    def retire(self, revision: RevisionId) -> None:
        """Drain a revision's replicas and stop them. One that is not there is no error."""
        ...
