"""What a rollout is at one moment, what it can see, and what it can ask for. Frozen, JSON-able."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from modelway.contract import Frozen, Verdict
from modelway.stats.sequential import Counts
from serving.rollout.arms import Trial
from serving.rollout.evidence import Evidence
from serving.rollout.sights import Pairs, Slot, Smoke
from serving.rollout.target import Observations, Readiness, Revision, RevisionId, Routing, Window


class Phase(StrEnum):
    """Where a rollout stands."""

    DEPLOYING = "deploying"
    STEP = "step"
    ROLLING_BACK = "rolling_back"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    KEPT = "kept"
    """An a-b test found no difference: the stable revision keeps its traffic."""
    ABORTED = "aborted"


FINAL = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.KEPT, Phase.ABORTED})


class Deploy(Frozen):
    """Ask for replicas of a revision."""

    revision: Revision
    replicas: int


class Route(Frozen):
    """Ask for shares of traffic."""

    weights: Mapping[RevisionId, int]
    mirror: RevisionId | None = None
    slots: tuple[Slot, ...] = ()
    """Where the key's hash decides, and not chance."""
    key_header: str = ""


class Retire(Frozen):
    """Drain and stop a revision."""

    revision: RevisionId


Action = Deploy | Route | Retire


class Facts(Frozen):
    """What is seen at one look. None and a missing key say "not known"."""

    at: datetime
    canary: Readiness | None = None
    routing: Routing | None = None
    seen: Mapping[RevisionId, Observations] = Field(default_factory=dict)
    pairs: Pairs | None = None
    """Answers of stable and canary to the same requests."""
    smoke: Smoke | None = None
    others: Mapping[RevisionId, Readiness] = Field(default_factory=dict)
    """Readiness of the arms beside the canary."""
    rewards: Mapping[RevisionId, Counts] = Field(default_factory=dict)
    """Per arm of an a-b test, since it began."""
    abort: str = ""
    """Why somebody wants it to end; empty when nobody does."""

    def of(self, revision: RevisionId, canary: RevisionId) -> Readiness | None:
        """How far a challenger has come; None when not known."""
        return self.canary if revision == canary else self.others.get(revision)


class Moment(Frozen):
    """One entry of the timeline."""

    at: datetime
    phase: Phase
    step: str
    why: str
    verdict: Verdict | None = None


class RolloutState(Frozen):
    """Everything that must survive a kill."""

    plan_id: str
    service: str
    stable: RevisionId
    canary: RevisionId
    """In an a-b test the first challenger, and once there is one the winner."""
    phase: Phase = Phase.DEPLOYING
    step: int = 0
    entered_at: datetime
    """When the present phase or step was entered."""
    looked_at: datetime
    window: Window | None = None
    """Open once the step's weights are in effect."""
    evidence: Evidence = Evidence()
    verdict: Verdict | None = None
    """The judge's last word."""
    unready_since: datetime | None = None
    cause: str = ""
    """Why it is rolled back."""
    aborted: bool = False
    trial: Trial | None = None
    """Of an a-b test."""
    first_bad_at: datetime | None = None
    """The look before the first bad answer of the present step: no bad answer is older."""
    restored_at: datetime | None = None
    """When all traffic was seen to be back on the stable revision."""
    timeline: tuple[Moment, ...] = ()

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return self.phase in FINAL

    @property
    def seconds_to_restore(self) -> float | None:
        """From the first bad answer to restored traffic, rounded up to the looks on both ends."""
        if self.first_bad_at is None or self.restored_at is None:
            return None
        return (self.restored_at - self.first_bad_at).total_seconds()
