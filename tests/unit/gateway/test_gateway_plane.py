from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.gateway.desired import Desired, RevisionSpec
from serving.gateway.plane import Plane


class FakeEnvoy:
    """Takes documents over when told to, as late as it likes, and checks each route it follows."""

    running = True

    def __init__(self) -> None:
        self.written: dict[str, dict[str, Any]] = {}
        self.followed: dict[str, dict[str, Any]] = {}

    def write(self, kind: str, document: dict[str, Any]) -> str:
        self.written[kind] = document
        return str(document["version_info"])

    def accepted(self) -> Mapping[str, str]:
        return {kind: document["version_info"] for kind, document in self.followed.items()}

    def follow(self, kind: str) -> None:
        if kind in self.written:
            self.followed[kind] = self.written[kind]
        assert self.named() <= self.known()

    def known(self) -> set[str]:
        return {each["name"] for each in self.followed.get("cds", {"resources": []})["resources"]}

    def named(self) -> set[str]:
        resources = self.followed.get("rds", {"resources": []})["resources"]
        routes = [
            route["route"]
            for each in resources
            for route in each["virtual_hosts"][0]["routes"]
            if "route" in route
        ]
        shares = [
            share["name"]
            for route in routes
            for share in route.get("weighted_clusters", {}).get("clusters", [])
        ]
        mirrors = [each["cluster"] for route in routes for each in route.get("request_mirror_policies", [])]
        return {*shares, *mirrors, *(route["cluster"] for route in routes if "cluster" in route)}


SPEC = RevisionSpec(bundle=Path("b"), digest="d", verify_key=Path("k"))
PORTS = {"v1": (1001,), "v2": (1002, 1003), "v3": (1004,)}


CALLS = {name: tuple(port + 1000 for port in ports) for name, ports in PORTS.items()}


def wish(*revisions: str, mirror: str | None = None, grpc: bool = False, **weights: int) -> Desired:
    return Desired(revisions=dict.fromkeys(revisions, SPEC), weights=weights, mirror=mirror, grpc=grpc)


def settle(plane: Plane, envoy: FakeEnvoy, desired: Desired) -> None:
    for _ in range(4):
        plane.turn(desired, *ports_of(desired))
        envoy.follow("cds")
        envoy.follow("rds")


def ports_of(desired: Desired) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, tuple[int, ...]]]:
    return {name: PORTS[name] for name in desired.revisions}, {
        name: CALLS[name] for name in desired.revisions
    }


def test_without_traffic_there_are_routes_all_the_same() -> None:
    envoy = FakeEnvoy()
    plane = Plane(envoy)  # type: ignore[arg-type] # a fake

    settle(plane, envoy, wish())

    assert plane.in_effect == Desired()


def test_a_share_waits_for_its_cluster() -> None:
    envoy = FakeEnvoy()
    plane = Plane(envoy)  # type: ignore[arg-type] # a fake
    settle(plane, envoy, wish("v1", v1=100))
    before = envoy.written["rds"]

    both = wish("v1", "v2", v1=95, v2=5)
    ports = {name: PORTS[name] for name in both.revisions}
    plane.turn(both, ports)
    plane.turn(both, ports)
    assert envoy.written["rds"] == before  # v2's cluster is not in effect yet

    envoy.follow("cds")
    plane.turn(both, ports)
    assert envoy.written["rds"] != before
    envoy.follow("rds")
    plane.turn(both, ports)
    effect = plane.in_effect
    assert effect is not None
    assert effect.weights == {"v1": 95, "v2": 5}


def test_a_port_is_routed_until_envoy_has_forgotten_it() -> None:
    envoy = FakeEnvoy()
    plane = Plane(envoy)  # type: ignore[arg-type] # a fake
    settle(plane, envoy, wish("v1", "v2", v1=95, v2=5))

    alone = wish("v1", v1=100)
    plane.turn(alone, {"v1": PORTS["v1"]})
    assert 1002 in plane.routed_ports
    envoy.follow("rds")
    plane.turn(alone, {"v1": PORTS["v1"]})
    assert 1002 in plane.routed_ports  # routes forgot it, clusters did not
    plane.turn(alone, {"v1": PORTS["v1"]})
    envoy.follow("cds")
    plane.turn(alone, {"v1": PORTS["v1"]})
    assert plane.routed_ports == {1001}


WISHES = [
    wish(),
    wish("v1", v1=100),
    wish("v1", "v2", v1=100),
    wish("v1", "v2", v1=100, mirror="v2"),
    wish("v1", "v2", v1=50, v2=50),
    wish("v2", "v3", v2=1, v3=99),
    wish("v3", v3=100),
    wish("v1", "v2", v1=100, mirror="v2", grpc=True),
    wish("v1", "v2", v1=50, v2=50, grpc=True),
    wish("v3", v3=100, grpc=True),
]


@given(st.lists(st.tuples(st.sampled_from(WISHES), st.booleans(), st.booleans(), st.booleans()), max_size=25))
@settings(deadline=None)
def test_no_route_in_effect_ever_names_an_unknown_cluster(
    turns: list[tuple[Desired, bool, bool, bool]],
) -> None:
    envoy = FakeEnvoy()
    plane = Plane(envoy)  # type: ignore[arg-type] # a fake
    for desired, clusters, routes, clusters_again in turns:
        plane.turn(desired, *ports_of(desired))
        for kind, follows in (("cds", clusters), ("rds", routes), ("cds", clusters_again)):
            if follows:
                envoy.follow(kind)  # asserts it

    last = turns[-1][0] if turns else WISHES[1]
    for _ in range(3):
        settle(plane, envoy, last)
    effect = plane.in_effect
    assert effect is not None
    assert effect.weights == last.weights
    assert plane.answers_grpc == last.grpc
    assert plane.routed_ports == {port for name in last.revisions for port in PORTS[name]}


def test_calls_are_answered_once_everybody_with_traffic_speaks_grpc() -> None:
    envoy = FakeEnvoy()
    plane = Plane(envoy)  # type: ignore[arg-type] # a fake
    both = wish("v1", "v2", v1=95, v2=5, grpc=True)
    ports, calls = ports_of(both)
    for speaking, answered in (({"v1": calls["v1"]}, False), (calls, True)):
        for _ in range(3):
            plane.turn(both, ports, speaking)
            envoy.follow("cds")
            envoy.follow("rds")
        plane.turn(both, ports, speaking)
        assert plane.answers_grpc == answered

    assert {"grpc_arm_v1", "grpc_arm_v2"} <= envoy.named()
    off = both.model_copy(update={"grpc": False})
    settle(plane, envoy, off)
    plane.turn(off, ports, calls)
    assert not plane.answers_grpc
    assert not [name for name in envoy.known() if name.startswith("grpc_")]
