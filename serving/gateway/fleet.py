"""All replicas of one revision, those on their way out included."""

from collections.abc import Container
from pathlib import Path

from serving.gateway.desired import Layout, RevisionSpec, RevisionStatus
from serving.gateway.handover import FleetLeft, ReplicaLeft
from serving.gateway.replica import Replica


class Fleet:
    """Keeps as many replicas as are wished."""

    def __init__(self, revision: str, layout: Layout, module: str) -> None:
        """Nothing runs yet."""
        self._revision, self._layout, self._module = revision, layout, module
        self._spec: RevisionSpec | None = None
        self._replicas: list[Replica] = []
        self._made = 0

    @property
    def empty(self) -> bool:
        """Nothing is wished and nothing is left."""
        return self._spec is None and not self._replicas

    @property
    def ports(self) -> tuple[int, ...]:
        """Where requests may go: replicas that stay."""
        return tuple(replica.port for replica in self._staying())

    @property
    def grpc_ports(self) -> tuple[int, ...]:
        """Where calls may go: those of them that speak gRPC."""
        return tuple(each.grpc_port for each in self._staying() if each.grpc_port is not None)

    def want(
        self,
        spec: RevisionSpec | None,
        now_s: float,
        *,
        grpc: bool = False,
        met: Container[int | None] = (),
    ) -> None:
        """Add replicas, or begin to drain the youngest, until as many stay as are wished.

        Where gRPC is asked for, those without it stay until as many others have come in their place.

        Args:
            spec: What is wished; None lets all go.
            now_s: Monotonic clock, seconds.
            grpc: Whether each shall speak gRPC.
            met: Process ids that Envoy has found ready.
        """
        self._spec = spec
        wanted = spec.replicas if spec else 0
        fitting = [each for each in self._staying() if each.grpc_port is not None or not grpc]
        mute = [each for each in self._staying() if each not in fitting]
        replaced = sum(each.pid in met for each in fitting) >= wanted
        for replica in (*fitting[wanted:], *(mute if replaced else ())):
            replica.leave(now_s)
        if spec is not None:
            self._replicas += [self._make(spec, grpc=grpc) for _ in range(wanted - len(fitting))]

    def tick(self, now_s: float, routed_ports: frozenset[int]) -> None:
        """Let each replica do what is due and forget those that are gone."""
        for replica in self._replicas:
            replica.tick(now_s, routed=replica.port in routed_ports)
        self._replicas = [replica for replica in self._replicas if not replica.gone]

    def left(self) -> FleetLeft:
        """What the program that takes this one's place has to know."""
        return FleetLeft(made=self._made, replicas=tuple(each.left() for each in self._replicas))

    def resume(self, left: FleetLeft) -> None:
        """Go on with another program's replicas."""
        self._made = left.made
        self._replicas = [self._resumed(each) for each in left.replicas]

    def status(self) -> RevisionStatus:
        """What the status file says."""
        wanted = self._spec.replicas if self._spec else 0
        return RevisionStatus(wanted=wanted, replicas=tuple(each.status() for each in self._staying()))

    def end(self) -> None:
        """Ask every process to end now."""
        for replica in self._replicas:
            replica.end()

    def wait(self, limit_s: float) -> None:
        """Wait for their end, and enforce it."""
        for replica in self._replicas:
            replica.wait(limit_s)

    def _staying(self) -> list[Replica]:
        return [replica for replica in self._replicas if not replica.leaving]

    def _make(self, spec: RevisionSpec, *, grpc: bool) -> Replica:
        log = self._layout.logs / f"{self._revision}-{self._made}.log"
        self._made += 1
        replica = self._replica(spec, log)
        if grpc:
            replica.speak_grpc()
        return replica

    def _resumed(self, left: ReplicaLeft) -> Replica:
        replica = self._replica(left.spec, left.log)
        replica.resume(left)
        return replica

    def _replica(self, spec: RevisionSpec, log: Path) -> Replica:
        return Replica(self._module, self._revision, spec, predictions=self._layout.predictions, log=log)
