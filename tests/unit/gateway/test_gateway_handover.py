import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.errors import StorageError
from serving.gateway.desired import Desired, Layout, RevisionSpec
from serving.gateway.files import Holder, is_held, put
from serving.gateway.fleet import Fleet
from serving.gateway.handover import FleetLeft, Handover, PlaneLeft, ReplicaLeft, read_handover
from serving.gateway.plane import Plane

SPEC = RevisionSpec(bundle=Path("b"), digest="d", verify_key=Path("k"))
SECONDS = st.floats(0, 1e6)
REPLICAS = st.builds(
    ReplicaLeft,
    pid=st.none(),  # no process: what is asked here is whether anything is forgotten
    log=st.just(Path("a.log")),
    spec=st.just(SPEC),
    port=st.integers(1, 65535),
    grpc_port=st.none() | st.integers(1, 65535),
    started_at_s=SECONDS,
    start_again_at_s=SECONDS,
    leaving_since_s=st.none() | SECONDS,
    terminated_at_s=st.none() | SECONDS,
)
FLEETS = st.builds(FleetLeft, made=st.integers(0, 99), replicas=st.lists(REPLICAS, max_size=3).map(tuple))
PLANES = st.builds(
    PlaneLeft,
    clusters=st.just({"a1": {"v1": (1, 2)}, "a2": {"v2": (3,)}}),
    grpc_clusters=st.just({"a1": {"v1": (11, 12)}, "a2": {}}),
    answering=st.just(("b1",)),
    routes=st.just({"b1": Desired(revisions={"v1": SPEC}, weights={"v1": 100})}),
    last=st.just({"cds": "a2", "rds": "b1"}),
)


def handover(pid: int = 7) -> Handover:
    return Handover(
        pid=pid, port=1, admin_port=2, envoy_pid=3, fleets={}, plane=PlaneLeft(), restarts_asked=1
    )


@given(FLEETS)
def test_a_fleet_leaves_what_it_was_left(left: FleetLeft) -> None:
    fleet = Fleet("v1", Layout(Path("/x")), "module")
    fleet.resume(FleetLeft.model_validate_json(left.model_dump_json()))

    assert fleet.left() == left
    assert fleet.ports == tuple(each.port for each in left.replicas if each.leaving_since_s is None)


@given(PLANES)
def test_a_plane_leaves_what_it_was_left(left: PlaneLeft) -> None:
    plane = Plane(None)  # type: ignore[arg-type] # no Envoy is asked
    plane.resume(PlaneLeft.model_validate_json(left.model_dump_json()))

    assert plane.left() == left
    assert plane.routed_ports == {1, 2, 3}


def test_a_handover_is_believed_by_the_process_that_wrote_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "handover.json"
    with pytest.raises(StorageError, match="is not there"):
        read_handover(path, 7)
    put(path, handover(pid=7).model_dump_json())

    assert read_handover(path, 7) == handover(pid=7)
    with pytest.raises(StorageError, match="left by process 7"):
        read_handover(path, 8)
    path.write_text("{}")
    with pytest.raises(StorageError, match="cannot be read"):
        read_handover(path, 7)


def test_a_lock_is_passed_on_by_its_descriptor_and_never_let_go(tmp_path: Path) -> None:
    first, second = Holder(tmp_path / "lock"), Holder(tmp_path / "lock")
    assert first.take()
    with first.shared() as handle:
        assert os.get_inheritable(handle)
        passed = os.dup(handle)
    assert not os.get_inheritable(handle)

    assert second.inherit(passed)
    assert not os.get_inheritable(passed)
    first.release()
    assert is_held(tmp_path / "lock")
    second.release()
    assert not is_held(tmp_path / "lock")


def test_another_files_descriptor_is_no_lock(tmp_path: Path) -> None:
    with (tmp_path / "other").open("w") as other:
        (tmp_path / "lock").touch()

        assert not Holder(tmp_path / "lock").inherit(other.fileno())
    assert not Holder(tmp_path / "lock").inherit(987)
