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

Ports = Mapping[str, tuple[int, ...]]
"""Replica ports by revision."""
_What = TypeVar("_What")


class Plane:
    """Writes Envoy's documents and remembers what each version of them meant."""

    def __init__(self, envoy: Envoy) -> None:
        """Nothing written yet."""
        self._envoy = envoy
        self._clusters: dict[str, Ports] = {}
        self._routes: dict[str, Desired] = {}
        self._last: dict[str, str] = {}
        self._in_effect: Mapping[str, str] = {}

    @property
    def in_effect(self) -> Desired | None:
        """The wish whose routes Envoy follows now; None while it follows none."""
        return self._routes.get(self._in_effect.get("rds", ""))

    @property
    def routed_ports(self) -> frozenset[int]:
        """Every port that Envoy may still send a request to."""
        return frozenset(
            port for clusters in self._clusters.values() for ports in clusters.values() for port in ports
        )

    def turn(self, wish: Desired, ports: Ports) -> None:
        """Move one step towards the wish.

        Args:
            wish: Weights, mirror and the revisions that may be pinned.
            ports: Replicas that shall get requests.
        """
        self._in_effect = self._envoy.accepted() if self._envoy.running else {}
        self._write_clusters(wish, ports)
        self._write_routes(wish)

    def left(self) -> PlaneLeft:
        """What the program that takes this one's place has to know."""
        clusters = {version: dict(ports) for version, ports in self._clusters.items()}
        return PlaneLeft(clusters=clusters, routes=self._routes, last=self._last)

    def resume(self, left: PlaneLeft) -> None:
        """Go on where another program stopped."""
        self._clusters, self._routes = dict(left.clusters), dict(left.routes)
        self._last = dict(left.last)

    def _write_clusters(self, wish: Desired, ports: Ports) -> None:
        before = self._clusters.get(self._last.get("cds", ""), {})
        held = {name: before[name] for name in self._named() if name in before}
        clusters = {**held, **{name: each for name, each in ports.items() if each}}
        arms = [xds.Endpoints(revision=name, ports=each) for name, each in sorted(clusters.items())]
        version = self._envoy.write("cds", xds.clusters(arms, wish.weights))
        self._last["cds"] = version
        self._clusters = {**_only(self._clusters, self._in_effect.get("cds")), version: clusters}

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
        version = self._envoy.write("rds", _routes(wish, shares, pins))
        self._last["rds"] = version
        named = wish.model_copy(
            update={
                "revisions": {name: wish.revisions[name] for name in pins},
                "weights": {name: weight for name, weight in wish.weights.items() if name in pins},
            }
        )
        self._routes = {**_only(self._routes, self._in_effect.get("rds")), version: named}

    def _named(self) -> set[str]:
        """Revisions that routes name, in effect or on their way."""
        return {name for wish in self._routes.values() for name in (*wish.revisions, *_with_traffic(wish))}


def _routes(wish: Desired, shares: Mapping[str, int], pins: Sequence[str]) -> xds.Json:
    if wish.sticky is not None:
        return xds.sticky_routes(wish.sticky.slots, pins, wish.sticky.header)
    return xds.routes(shares, pins, wish.mirror)


def _with_traffic(wish: Desired) -> tuple[str, ...]:
    mirrored = (wish.mirror,) if wish.mirror else ()
    return (*(name for name, weight in wish.weights.items() if weight), *mirrored)


def _only(versions: Mapping[str, _What], current: str | None) -> dict[str, _What]:
    return {version: what for version, what in versions.items() if version == current}
