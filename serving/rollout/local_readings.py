"""What one look at this machine reads: Envoy's counters, each replica's, and a bundle's signature."""

from pydantic import ValidationError

from modelway.bundle.bundle import SIGNATURE_JSON_FILE
from modelway.bundle.signature import Signature
from modelway.errors import NotReadyError
from serving.gateway.desired import RevisionStatus, Status
from serving.gateway.envoy import counters as envoy_counters
from serving.rollout.counters import Reading, gateway_view, scrape
from serving.rollout.target import Readiness, Revision


def gateway_readings(status: Status) -> tuple[Reading, ...]:
    """Envoy's view of each revision."""
    stats = envoy_counters(status.admin_port)
    return tuple(
        Reading(
            revision=name,
            source=f"envoy-{status.envoy_pid}-{name}",
            counters=None if stats is None else gateway_view(stats, name),
        )
        for name in status.revisions
    )


def replica_readings(status: Status) -> tuple[Reading, ...]:
    """Each replica's own counters; None where it does not answer."""
    return tuple(
        Reading(revision=name, source=f"replica-{replica.pid}", counters=scrape(replica.port))
        for name, fleet in status.revisions.items()
        for replica in fleet.replicas
        if replica.pid is not None
    )


def signature_of(revision: Revision) -> Signature:
    """What the bundle says; verified by the replica that loaded it.

    Raises:
        NotReadyError: The bundle is not there.
    """
    try:
        return Signature.model_validate_json((revision.bundle / SIGNATURE_JSON_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise NotReadyError(
            f"the signature of {revision.id} cannot be read: {error}",
            expected=f"{revision.bundle / SIGNATURE_JSON_FILE}",
            remedy="restore the bundle",
        ) from error


def answered(status: Status | None) -> int | None:
    """Requests answered so far by all replicas; None where no counter can be read."""
    readings = replica_readings(status) if status is not None else ()
    known = [each.counters.get("served", 0) for each in readings if each.counters is not None]
    return sum(known) if known else None


def readiness_of(found: RevisionStatus, *, grpc: bool) -> Readiness:
    """How far the replicas of a revision have come; one without gRPC has not, where `grpc` is asked for."""
    problems = [replica.problem for replica in found.replicas if replica.problem]
    return Readiness(
        wanted=found.wanted,
        ready=sum(each.ready and (each.grpc_port is not None or not grpc) for each in found.replicas),
        restarts=sum(replica.restarts for replica in found.replicas),
        problem=problems[-1] if problems else "",
    )
