"""Replicas come and go by rules that need no process: none is ticked here, so none starts."""

from pathlib import Path

import pytest

from serving.gateway.desired import Layout, RevisionSpec
from serving.gateway.fleet import Fleet
from serving.gateway.ports import free_ports

SPEC = RevisionSpec(bundle=Path("b"), digest="d", verify_key=Path("k"), replicas=2)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet("v1", Layout(Path("/x")), "module")


def test_ports_are_of_different_numbers() -> None:
    assert len(set(free_ports(20))) == 20


def test_a_replica_that_shall_speak_grpc_gets_two_ports(fleet: Fleet) -> None:
    fleet.want(SPEC, 0.0, grpc=True)

    assert len(fleet.grpc_ports) == len(fleet.ports) == 2
    assert len({*fleet.ports, *fleet.grpc_ports}) == 4


def test_replicas_without_grpc_stay_until_envoy_has_met_as_many_with_it(fleet: Fleet) -> None:
    fleet.want(SPEC, 0.0)
    before = fleet.ports
    assert not fleet.grpc_ports

    for _ in range(3):
        fleet.want(SPEC, 0.0, grpc=True)
    assert fleet.ports[:2] == before
    assert len(fleet.ports) == 4  # two more, however often it is asked
    assert len(fleet.grpc_ports) == 2

    fleet.want(SPEC, 0.0, grpc=True, met={None})  # no process has an id yet: to the fleet all were met
    assert len(fleet.ports) == 2
    assert not set(fleet.ports) & set(before)


def test_grpc_that_is_not_asked_for_any_more_costs_no_replica(fleet: Fleet) -> None:
    fleet.want(SPEC, 0.0, grpc=True)
    before = fleet.ports
    fleet.want(SPEC, 0.0)

    assert fleet.ports == before


def test_a_revision_that_is_let_go_lets_all_go(fleet: Fleet) -> None:
    fleet.want(SPEC, 0.0)
    fleet.want(SPEC, 0.0, grpc=True)
    fleet.want(None, 0.0, grpc=True)

    assert fleet.ports == ()
