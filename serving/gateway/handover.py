"""What a supervisor knows and its wish does not say: left in a file for the program that takes its place.

Times are seconds of the monotonic clock, which is the machine's and goes on across an exec.
"""

from pathlib import Path

from pydantic import Field

from modelway.contract import Frozen
from modelway.errors import StorageError
from serving.gateway.desired import Desired, RevisionSpec
from serving.gateway.files import get


class ReplicaLeft(Frozen):
    """One predictor and its history."""

    port: int
    grpc_port: int | None = None
    pid: int | None
    log: Path
    spec: RevisionSpec
    """What it was started with."""
    ready: bool
    restarts: int
    failures_in_a_row: int
    problem: str
    started_at_s: float
    start_again_at_s: float
    leaving_since_s: float | None
    terminated_at_s: float | None


class FleetLeft(Frozen):
    """The replicas of one revision, those on their way out included."""

    made: int
    """How many were ever made: their logs are numbered."""
    replicas: tuple[ReplicaLeft, ...]


class PlaneLeft(Frozen):
    """What Envoy was told and what each version meant."""

    clusters: dict[str, dict[str, tuple[int, ...]]] = Field(default_factory=dict)
    grpc_clusters: dict[str, dict[str, tuple[int, ...]]] = Field(default_factory=dict)
    routes: dict[str, Desired] = Field(default_factory=dict)
    answering: tuple[str, ...] = ()
    """Versions of the routes by which gRPC is answered."""
    last: dict[str, str] = Field(default_factory=dict)


class Handover(Frozen):
    """Everything that the next program needs to go on where this one stopped."""

    pid: int
    """Of the process, which stays. Nobody else may believe what follows."""
    port: int
    admin_port: int
    envoy_pid: int | None
    fleets: dict[str, FleetLeft]
    plane: PlaneLeft
    restarts_asked: int


def read_handover(path: Path, pid: int) -> Handover:
    """What was left for this very process.

    Args:
        path: The file.
        pid: Process id that it must name.

    Raises:
        StorageError: There is none, it cannot be understood, or it is another process's.
    """
    found = get(path, Handover)
    if found is None or found.pid != pid:
        raise StorageError(
            f"{path} {'is not there' if found is None else f'was left by process {found.pid}'}",
            expected=f"what process {pid} wrote a moment ago",
            remedy="start the gateway anew",
        )
    return found
