"""The long-lived process behind the local gateway: makes what is the case equal to what is wished.

One thread, one loop. Each turn reads desired.json, starts, probes, restarts and drains predictors, tells
Envoy what changed and writes status.json. It keeps no memory on disk: killed and started again, it brings
the same wish about.
"""

import os
from datetime import UTC, datetime

from modelway.errors import StorageError
from serving.gateway.desired import Desired, Layout, ReplicaStatus, RevisionStatus, Status
from serving.gateway.envoy import Envoy
from serving.gateway.files import put
from serving.gateway.fleet import Fleet
from serving.gateway.handover import Handover
from serving.gateway.plane import Plane

_HEARTBEAT_S = 1.0
_ENVOY_PAUSE_S = 1.0
_DRAIN_S = 20.0
_OPEN_ANYWAY_S = 20.0


class Supervisor:
    """Reconciles one root folder. Times are seconds of a monotonic clock that the caller passes in."""

    def __init__(self, layout: Layout, envoy: Envoy, *, port: int, admin_port: int, module: str) -> None:
        """Take the parts; starts nothing."""
        self._layout, self._envoy, self._module = layout, envoy, module
        self._port, self._admin_port = port, admin_port
        self._plane = Plane(envoy)
        self._wish = Desired()
        self._fleets: dict[str, Fleet] = {}
        self._envoy_start_at_s = 0.0
        self._begun_at_s: float | None = None
        self._reported: Status | None = None
        self._reported_at_s = 0.0
        self._problem = ""
        self._restarts_asked = 0
        self._restart_refused = ""
        self._greeted: set[int] = set()
        """Process ids that Envoy has found ready: only then may anyone count on them."""

    def turn(self, now_s: float) -> None:
        """One round of the loop."""
        self._read()
        self._crew(now_s)
        ports = {name: fleet.ports for name, fleet in self._fleets.items()}
        calls = {name: fleet.grpc_ports for name, fleet in self._fleets.items()}
        self._plane.turn(self._wish, ports, calls)
        self._keep_envoy(now_s)
        self._report(now_s)

    def stop(self) -> None:
        """Drain and end everything that was started, the front door first."""
        self._envoy.stop()
        for fleet in self._fleets.values():
            fleet.end()
        for fleet in self._fleets.values():
            fleet.wait(_DRAIN_S)
        self._layout.status.unlink(missing_ok=True)

    def left(self) -> Handover:
        """What the program that takes this one's place has to know."""
        return Handover(
            pid=os.getpid(),
            port=self._port,
            admin_port=self._admin_port,
            envoy_pid=self._envoy.pid,
            fleets={name: fleet.left() for name, fleet in self._fleets.items()},
            plane=self._plane.left(),
            restarts_asked=self._restarts_asked + 1,
        )

    def resume(self, left: Handover) -> None:
        """Go on with another program's children."""
        self._restarts_asked = left.restarts_asked
        self._plane.resume(left.plane)
        for name, each in left.fleets.items():
            self._fleets[name] = Fleet(name, self._layout, self._module)
            self._fleets[name].resume(each)
        if left.envoy_pid is not None:
            self._envoy.adopt(left.envoy_pid)

    def keep_on(self, why: str) -> None:
        """Say that a restart was asked for and is not done."""
        self._restarts_asked, self._restart_refused = self._restarts_asked + 1, why

    def _read(self) -> None:
        try:
            self._wish, self._problem = self._layout.read_desired(), ""
        except StorageError as error:  # keep the last good wish: an unreadable one stops nothing
            self._problem = error.found

    def _crew(self, now_s: float) -> None:
        for revision in sorted({*self._fleets, *self._wish.revisions}):
            fleet = self._fleets.setdefault(revision, Fleet(revision, self._layout, self._module))
            spec = self._wish.revisions.get(revision)
            fleet.want(spec, now_s, grpc=self._wish.grpc, met=self._greeted)
            fleet.tick(now_s, self._plane.routed_ports)
        self._fleets = {name: fleet for name, fleet in self._fleets.items() if not fleet.empty}

    def _keep_envoy(self, now_s: float) -> None:
        if self._envoy.running or now_s < self._envoy_start_at_s or not self._may_open(now_s):
            return
        self._problem = self._envoy.problem
        self._envoy_start_at_s = now_s + _ENVOY_PAUSE_S
        self._envoy.start()

    def _may_open(self, now_s: float) -> bool:
        """Open the door once somebody is there for every share of traffic, or after a while anyway.

        A gateway that was killed starts its predictors together with itself. Requests that it let in
        before they are ready would count as their errors.
        """
        begun_at_s = self._begun_at_s = now_s if self._begun_at_s is None else self._begun_at_s
        shared = {name for name, weight in self._wish.weights.items() if weight}
        manned = {name for name in shared if self._fleets[name].status().ready}
        return manned == shared or now_s - begun_at_s >= _OPEN_ANYWAY_S

    def _report(self, now_s: float) -> None:
        """Write status.json when something changed, and once a second as a sign of life."""
        status = self._status()
        same = self._reported is not None and status == self._reported.model_copy(
            update={"written_at": status.written_at}
        )
        if same and now_s - self._reported_at_s < _HEARTBEAT_S:
            return
        put(self._layout.status, status.model_dump_json(indent=2))
        self._reported, self._reported_at_s = status, now_s

    def _status(self) -> Status:
        effect = self._plane.in_effect
        return Status(
            pid=os.getpid(),
            port=self._port,
            admin_port=self._admin_port,
            envoy_pid=self._envoy.pid,
            gateway_ready=effect is not None and self._envoy.listening(),
            generation=self._wish.generation,
            weights=dict(effect.weights) if effect else None,
            mirror=effect.mirror if effect else None,
            sticky=effect.sticky if effect else None,
            grpc=self._plane.answers_grpc,
            revisions={
                name: self._greet(fleet.status()) for name, fleet in self._fleets.items() if fleet.ports
            },
            written_at=datetime.now(UTC),
            problem=self._problem,
            restarts_asked=self._restarts_asked,
            restart_refused=self._restart_refused,
        )

    def _greet(self, fleet: RevisionStatus) -> RevisionStatus:
        """The fleet with only those ready that Envoy has met.

        Envoy probes each replica on its own clock. One that is ready between two probes is answered for
        by Envoy with 503, and whoever sends traffic then blames the replica.
        """
        if not self._envoy.running:
            return fleet
        new = [each for each in fleet.replicas if each.ready and each.pid not in self._greeted]
        healthy = self._envoy.healthy_ports() if new else frozenset()
        self._greeted |= {each.pid for each in new if each.pid and self._ports(each) <= healthy}
        replicas = tuple(
            each.model_copy(update={"ready": each.ready and each.pid in self._greeted})
            for each in fleet.replicas
        )
        return fleet.model_copy(update={"replicas": replicas})

    def _ports(self, replica: ReplicaStatus) -> set[int | None]:
        """Those that Envoy is told of."""
        return {replica.port, *({replica.grpc_port} - {None} if self._wish.grpc else ())}
