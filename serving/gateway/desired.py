"""What the supervisor shall bring about (desired.json) and what is the case (status.json)."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from modelway.contract import Frozen
from modelway.errors import ConfigError
from serving.gateway.files import get, locked, put


class RevisionSpec(Frozen):
    """One revision to keep running."""

    bundle: Path
    digest: str
    verify_key: Path
    replicas: int = Field(default=1, ge=1)
    settings: Path | None = None
    """What each replica is told as `--settings`."""


class Sticky(Frozen):
    """Requests with the same key see the same revision: the hash of a header chooses the slot."""

    header: str
    slots: tuple[tuple[str, int], ...]
    """Revision and percent of the hash range, in this order: stretches stand still while it does."""


class Desired(Frozen):
    """The whole wish; each edit raises `generation`."""

    generation: int = Field(default=0, ge=0)
    revisions: dict[str, RevisionSpec] = Field(default_factory=dict)
    weights: dict[str, int] = Field(default_factory=dict)
    """Percent per revision; empty, or summing to 100."""
    mirror: str | None = None
    sticky: Sticky | None = None
    """How `weights` are shared out; None leaves it to chance."""
    grpc: bool = False
    """Whether the gateway answers gRPC too, at its own port."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unknown = set(self.weights) - set(self.revisions)
        if unknown or (self.mirror and self.mirror not in self.revisions):
            raise ValueError(f"traffic for revisions that are not deployed: {sorted(unknown) or self.mirror}")
        if self.weights and (sum(self.weights.values()) != 100 or min(self.weights.values()) < 0):  # noqa: PLR2004 - percent
            raise ValueError(f"weights must be 0 or more and sum to 100, got {self.weights}")
        if self.sticky is not None and _summed(self.sticky.slots) != self.weights:
            raise ValueError(f"the slots {self.sticky.slots} are not the weights {self.weights}")
        return self


def _summed(slots: tuple[tuple[str, int], ...]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for revision, percent in slots:
        sums[revision] = sums.get(revision, 0) + percent
    return sums


class ReplicaStatus(Frozen):
    """One predictor process."""

    port: int
    grpc_port: int | None = None
    """None from one that was started without gRPC."""
    pid: int | None = None
    ready: bool = False
    restarts: int = 0
    """Crashes since it was deployed."""
    problem: str = ""


class RevisionStatus(Frozen):
    """All replicas of one revision."""

    wanted: int
    replicas: tuple[ReplicaStatus, ...] = ()

    @property
    def ready(self) -> int:
        """How many replicas answer their readiness probe."""
        return sum(replica.ready for replica in self.replicas)


class Status(Frozen):
    """What is the case; rewritten whenever it changes."""

    pid: int
    port: int
    admin_port: int
    envoy_pid: int | None = None
    gateway_ready: bool = False
    generation: int = 0
    """The last wish that was read."""
    weights: dict[str, int] | None = None
    """Shares that Envoy has accepted; None before the first."""
    mirror: str | None = None
    sticky: Sticky | None = None
    grpc: bool = False
    """Every revision with traffic answers gRPC, and Envoy's routes say so."""
    revisions: dict[str, RevisionStatus] = Field(default_factory=dict)
    written_at: datetime
    problem: str = ""
    restarts_asked: int | None = None
    """How often it was told to restart in place; None from a version that cannot."""
    restart_refused: str = ""
    """Why the last of them was not done."""

    @property
    def url(self) -> str:
        """Where clients send their requests."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def grpc_address(self) -> str | None:
        """Where clients send their calls: host and port. None where nobody answers."""
        return f"127.0.0.1:{self.port}" if self.grpc else None


class Layout:
    """Where things lie below the root of one gateway."""

    def __init__(self, root: Path) -> None:
        """Name the paths; creates nothing."""
        self.root = root.resolve()
        self.desired = self.root / "desired.json"
        self.status = self.root / "status.json"
        self.lock = self.root / "supervisor.lock"
        self.handover = self.root / "handover.json"
        """There only while a supervisor puts a new program in its own place."""
        self.envoy = self.root / "envoy"
        self.settings = self.root / "settings.yaml"
        """Of every replica, where there is such a file."""
        self.predictions = self.root / "predictions"
        self.logs = self.root / "logs"
        self.rollouts = self.root / "rollouts"

    def read_desired(self) -> Desired:
        """The present wish; an empty one when there is none."""
        return get(self.desired, Desired) or Desired()

    def read_status(self) -> Status | None:
        """What the supervisor wrote last, be it alive or not."""
        return get(self.status, Status)

    def edit(self, change: Callable[[Desired], Desired]) -> Desired:
        """Read, change and replace the wish under a lock; one that changes nothing writes nothing.

        Raises:
            ConfigError: The changed wish makes no sense; the old one stands.
        """
        with locked(self.root / "desired.lock"):
            before = self.read_desired()
            after = change(before)
            if after == before:
                return before
            bumped = _checked(after.model_dump() | {"generation": before.generation + 1})
            unsaid = None if bumped.grpc else {"grpc"}  # a supervisor from before gRPC refuses the word
            put(self.desired, bumped.model_dump_json(indent=2, exclude=unsaid))
            return bumped


def _checked(fields: dict[str, Any]) -> Desired:
    try:
        return Desired.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(
            f"the gateway cannot do that: {error.errors()[0]['msg']}",
            expected="weights of deployed revisions that sum to 100",
            remedy="deploy the revision first, or correct the weights",
        ) from error
