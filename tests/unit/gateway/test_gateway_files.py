import threading
from pathlib import Path

import pytest

from modelway.errors import ConfigError, PortInUseError, StorageError
from serving.gateway.__main__ import _turn
from serving.gateway.desired import Desired, Layout, RevisionSpec, Status
from serving.gateway.files import Holder, get, is_held, put
from serving.gateway.ports import free_port, require_free

SPEC = RevisionSpec(bundle=Path("b"), digest="d", verify_key=Path("k"))


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    put(tmp_path / "a.json", "{}")
    put(tmp_path / "a.json", Desired(generation=3).model_dump_json())

    assert get(tmp_path / "a.json", Desired) == Desired(generation=3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_missing_and_broken_are_two_things(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"generation": ')

    assert get(tmp_path / "missing.json", Desired) is None
    with pytest.raises(StorageError, match=r"broken\.json cannot be read"):
        get(tmp_path / "broken.json", Desired)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot write"):
        put(tmp_path / "file" / "a.json", "{}")


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    holder = Holder(tmp_path / "lock")

    assert holder.take()
    assert is_held(tmp_path / "lock")
    assert not Holder(tmp_path / "lock").take(attempts=1)
    holder.release()
    assert not is_held(tmp_path / "lock")


def test_edits_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    layout = Layout(tmp_path)

    def add(number: int) -> None:
        layout.edit(
            lambda wish: wish.model_copy(update={"revisions": {**wish.revisions, f"v{number}": SPEC}})
        )

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    wish = layout.read_desired()
    assert len(wish.revisions) == wish.generation == 12


def test_an_edit_that_changes_nothing_is_no_new_generation(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.edit(lambda wish: wish.model_copy(update={"revisions": {"v1": SPEC}, "weights": {"v1": 100}}))

    assert layout.edit(lambda wish: wish.model_copy(update={"weights": {"v1": 100}})).generation == 1


@pytest.mark.parametrize("weights", [{"v1": 99}, {"v1": 110, "v2": -10}, {"v9": 100}])
def test_weights_that_make_no_sense_are_never_written(tmp_path: Path, weights: dict[str, int]) -> None:
    layout = Layout(tmp_path)
    both = {"v1": SPEC, "v2": SPEC}
    layout.edit(lambda wish: wish.model_copy(update={"revisions": both}))

    with pytest.raises(ConfigError, match=r"weights must be|not deployed"):
        layout.edit(lambda wish: wish.model_copy(update={"weights": weights}))

    assert layout.read_desired().weights == {}


def test_no_status_is_none(tmp_path: Path) -> None:
    assert get(tmp_path / "status.json", Status) is None


def test_a_free_port_is_free_and_a_taken_one_is_named() -> None:
    import socket  # noqa: PLC0415 - this test alone

    require_free(free_port())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortInUseError) as caught:
            require_free(other.getsockname()[1])
    assert caught.value.exit_code == 3


def test_a_full_disk_does_not_stop_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[float] = []

    class FakeSupervisor:
        def turn(self, now_s: float) -> None:
            turns.append(now_s)
            raise StorageError("no space left")

    monkeypatch.setattr("serving.gateway.__main__._PAUSE_S", 0.0)
    for _ in range(2):
        _turn(FakeSupervisor())  # type: ignore[arg-type] # a fake

    assert len(turns) == 2


def test_a_wish_without_grpc_is_one_that_a_supervisor_from_before_it_reads(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.edit(lambda wish: wish.model_copy(update={"revisions": {"v1": SPEC}}))
    assert "grpc" not in layout.desired.read_text()

    layout.edit(lambda wish: wish.model_copy(update={"grpc": True}))
    assert layout.read_desired().grpc
