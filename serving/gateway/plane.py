"""The order in which Envoy learns of changes, so that no route ever names a cluster that is not there.

A revision joins: its cluster first; once Envoy has that in effect, the routes. A revision leaves: the
routes first; once those are in effect, its cluster; only then may its processes go.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from serving.gateway import xds
from serving.gateway.desired import Desired
from serving.gateway.envoy import Envoy
from serving.gateway.handover import PlaneLeft
from serving.gateway.wires import Json

Ports = Mapping[str, tuple[int, ...]]
"""Replica ports by revision."""
_What = TypeVar("_What")


class Plane:
    """Writes Envoy's documents and remembers what each version of them meant."""

    def __init__(self, envoy: Envoy) -> None:
        """Nothing written yet."""
        self._envoy = envoy
        self._clusters: dict[str, Ports] = {}
        self._grpc_clusters: dict[str, Ports] = {}
        self._routes: dict[str, Desired] = {}
        self._answering: frozenset[str] = frozenset()
        self._last: dict[str, str] = {}
        self._in_effect: Mapping[str, str] = {}

    @property
    def in_effect(self) -> Desired | None:
        """The wish whose routes Envoy follows now; None while it follows none."""
        return self._routes.get(self._in_effect.get("rds", ""))

    @property
    def answers_grpc(self) -> bool:
        """By the routes in effect, calls reach every revision that has traffic."""
        return self._in_effect.get("rds") in self._answering

    @property
    def routed_ports(self) -> frozenset[int]:
        """Every port that Envoy may still send a request to."""
        return frozenset(
            port for clusters in self._clusters.values() for ports in clusters.values() for port in ports
        )

    def turn(self, wish: Desired, ports: Ports, grpc_ports: Ports | None = None) -> None:
        """Move one step towards the wish.

        Args:
            wish: Weights, mirror and the revisions that may be pinned.
            ports: Replicas that shall get requests.
            grpc_ports: Of those: where the ones that speak gRPC do; looked at where the wish is for gRPC.
        """
        self._in_effect = self._envoy.accepted() if self._envoy.running else {}
        self._write_clusters(wish, ports, grpc_ports if grpc_ports and wish.grpc else {})
        self._write_routes(wish)

    def left(self) -> PlaneLeft:
        """What the program that takes this one's place has to know."""
        clusters = {version: dict(ports) for version, ports in self._clusters.items()}
        calls = {version: dict(ports) for version, ports in self._grpc_clusters.items()}
        return PlaneLeft(
            clusters=clusters,
            grpc_clusters=calls,
            routes=self._routes,
            answering=tuple(sorted(self._answering)),
            last=self._last,
        )

    def resume(self, left: PlaneLeft) -> None:
        """Go on where another program stopped."""
        self._clusters, self._routes = dict(left.clusters), dict(left.routes)
        self._grpc_clusters, self._answering = dict(left.grpc_clusters), frozenset(left.answering)
        self._last = dict(left.last)

    def _write_clusters(self, wish: Desired, ports: Ports, grpc_ports: Ports) -> None:
        last, current = self._last.get("cds", ""), self._in_effect.get("cds")
        clusters = _with(ports, _among(self._clusters.get(last, {}), self._named()))
        calls = _with(grpc_ports, _among(self._grpc_clusters.get(last, {}), self._named(grpc=True)))
        arms = [
            xds.Endpoints(revision=name, ports=each, grpc_ports=calls.get(name, ()))
            for name, each in sorted(clusters.items())
        ]
        version = self._envoy.write("cds", xds.clusters(arms, wish.weights))
        self._last["cds"] = version
        self._clusters = {**_only(self._clusters, current), version: clusters}
        self._grpc_clusters = {**_only(self._grpc_clusters, current), version: calls}

    def _write_routes(self, wish: Desired) -> None:
        # An Envoy that is yet to start takes both documents over at once, clusters first.
        current = self._in_effect.get("cds", "") if self._envoy.running else self._last["cds"]
        known = self._clusters.get(current, {})
        if not set(_with_traffic(wish)) <= set(known):
            if self._routes:
                return
            wish = Desired()  # Envoy answers 503 until the first clusters are there
        pins = sorted(set(wish.revisions) & set(known))
        shares = {name: weight for name, weight in wish.weights.items() if weight}
        speaking = self._grpc_clusters.get(current, {})
        complete = bool(shares) and set(_with_traffic(wish)) <= set(speaking)
        calls = xds.Calls(pinnable=tuple(name for name in pins if name in speaking), complete=complete)
        version = self._envoy.write("rds", _routes(wish, shares, pins, calls if wish.grpc else None))
        self._last["rds"] = version
        named = wish.model_copy(
            update={
                "revisions": {name: wish.revisions[name] for name in pins},
                "weights": {name: weight for name, weight in wish.weights.items() if name in pins},
            }
        )
        self._routes = {**_only(self._routes, self._in_effect.get("rds")), version: named}
        answering = {version} if wish.grpc and complete else set()
        self._answering = self._answering & set(self._routes) | answering

    def _named(self, *, grpc: bool = False) -> set[str]:
        """Revisions that routes name, in effect or on their way; with `grpc` those that route calls alone."""
        wishes = [wish for wish in self._routes.values() if wish.grpc or not grpc]
        return {name for wish in wishes for name in (*wish.revisions, *_with_traffic(wish))}


def _with(ports: Ports, held: Ports) -> Ports:
    """Ports of now; where a revision has none any more, those that routes still name."""
    return {**held, **{name: each for name, each in ports.items() if each}}


def _among(ports: Ports, names: set[str]) -> Ports:
    return {name: each for name, each in ports.items() if name in names}


def _routes(wish: Desired, shares: Mapping[str, int], pins: Sequence[str], calls: xds.Calls | None) -> Json:
    if wish.sticky is not None:
        return xds.sticky_routes(wish.sticky.slots, pins, wish.sticky.header, calls)
    return xds.routes(shares, pins, wish.mirror, calls)


def _with_traffic(wish: Desired) -> tuple[str, ...]:
    mirrored = (wish.mirror,) if wish.mirror else ()
    return (*(name for name, weight in wish.weights.items() if weight), *mirrored)


def _only(versions: Mapping[str, _What], current: str | None) -> dict[str, _What]:
    return {version: what for version, what in versions.items() if version == current}
