import fcntl
import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import fsspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parcels_case import ParcelUseCase, parcels

from modelway.contract import Outcome, Verdict
from modelway.data.collection import collect, plan_collection
from modelway.data.lock import collecting, committing
from modelway.data.snapshot import FolderSnapshotStore, Snapshot
from modelway.data.writer import SnapshotWriter
from modelway.errors import ConflictError, InputError, NotFoundError, TransitionError


def commit(store: FolderSnapshotStore, rows: pl.DataFrame, parents: tuple[str, ...] = ()) -> Snapshot:
    return store.commit(
        [rows],
        use_case="parcels",
        contract=ParcelUseCase.contract,
        report=Verdict(outcome=Outcome.PASS),
        source="test",
        parents=parents,
    )


def grow_old(root: Path) -> None:
    long_ago_s = time.time() - 7200
    for path in root.glob("objects/*"):
        os.utime(path, (long_ago_s, long_ago_s))


@pytest.fixture
def local(tmp_path: Path) -> FolderSnapshotStore:
    return FolderSnapshotStore(str(tmp_path / "snapshots"))


def files(store: FolderSnapshotStore) -> set[str]:
    return set(store.folder.sizes("objects"))


def test_what_no_model_needs_and_is_not_new_goes(local) -> None:
    old, middle, new = (commit(local, parcels(n)) for n in (3, 4, 5))
    grow_old(Path(local.folder.root))

    done = collect(local, dict, keep_last=1)

    assert set(done.removed) == {old.id, middle.id}
    assert [snapshot.id for snapshot in local.list()] == [new.id]
    assert files(local) == {new.files[0].name}
    assert done.freed_bytes == old.files[0].size_bytes + middle.files[0].size_bytes


def test_what_a_registered_model_was_made_from_stays_with_all_it_was_made_from(local) -> None:
    raw = commit(local, parcels(3))
    derived = commit(local, parcels(4), parents=(raw.id,))
    newest = commit(local, parcels(5))
    grow_old(Path(local.folder.root))

    done = collect(local, lambda: {derived.id: "parcels@1"}, keep_last=1)

    assert done.removed == ()
    assert done.kept == {
        derived.id: "needed by parcels@1",
        newest.id: "among the 1 newest",
        raw.id: f"parent of {derived.short_id}",
    }
    assert local.verify(raw.id).passed


def test_a_file_that_two_snapshots_share_goes_with_the_last_of_them(local) -> None:
    first = commit(local, parcels(3))
    second = commit(local, parcels(3), parents=("elsewhere",))
    assert first.files == second.files
    grow_old(Path(local.folder.root))

    collect(local, dict, keep_last=1)

    assert local.verify(second.id).passed


def test_a_file_in_use_again_stays_although_it_is_old(local) -> None:
    old = commit(local, parcels(3))
    commit(local, parcels(5))
    grow_old(Path(local.folder.root))
    local.folder.put(
        "objects", ".parquet", local.folder.read(old.files[0].name)
    )  # a commit has begun elsewhere

    done = collect(local, dict, keep_last=1)

    assert (done.removed, done.files) == ((old.id,), {})
    assert old.files[0].name in files(local)


def test_what_a_killed_commit_left_goes_once_it_is_old(local) -> None:
    kept = commit(local, parcels(3))
    local.folder.put("objects", ".parquet", b"rows without a manifest")
    assert len(plan_collection(local, {}, keep_last=1).files) == 1
    assert collect(local, dict, keep_last=1).files == {}
    grow_old(Path(local.folder.root))

    collect(local, dict, keep_last=1)

    assert files(local) == {kept.files[0].name}


def test_a_plan_touches_nothing(local) -> None:
    commit(local, parcels(3))
    commit(local, parcels(4))
    before = {path: path.stat().st_mtime_ns for path in Path(local.folder.root).rglob("*") if path.is_file()}

    plan_collection(local, {}, keep_last=1)

    assert before == {
        path: path.stat().st_mtime_ns for path in Path(local.folder.root).rglob("*") if path.is_file()
    }


def test_nothing_is_collected_while_rows_are_committed(local) -> None:
    commit(local, parcels(3))

    with committing(local.folder), pytest.raises(TransitionError, match="being committed"):
        collect(local, dict, keep_last=1)


def test_what_is_needed_is_asked_for_while_nobody_can_commit_or_pack(local) -> None:
    commit(local, parcels(3))

    def needed() -> dict[str, str]:
        with pytest.raises(TransitionError, match="one collects already"), collecting(local.folder):
            pass
        return {}

    collect(local, needed, keep_last=1)


def test_a_commit_waits_for_a_collection(local) -> None:
    commit(local, parcels(3))
    program = (
        "import sys; from modelway.data.lock import committing; from modelway.data.storage import Folder\n"
        "with committing(Folder(sys.argv[1])): print('in', flush=True)"
    )
    with collecting(local.folder):
        waiting = subprocess.Popen(
            [sys.executable, "-c", program, local.folder.root], stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1.0)

    assert waiting.communicate(timeout=120)[0] == "in\n"


@pytest.fixture
def remote() -> FolderSnapshotStore:
    """No lock protects it: collections and commits are under way at once."""
    return FolderSnapshotStore(f"memory://{uuid4()}")


def two_hours_later(store: FolderSnapshotStore) -> None:
    for file in fsspec.filesystem("memory").store.values():
        file.modified -= timedelta(hours=2)


def test_rows_that_a_remote_store_has_already_are_young_again_once_they_are_committed_again(remote) -> None:
    """Of a snapshot that is about to go; the manifest that needs them is not there yet."""
    commit(remote, parcels(3))
    commit(remote, parcels(5))
    two_hours_later(remote)
    writer = remote.writer("parcels", ParcelUseCase.contract, source="again")
    writer.add(parcels(3))
    writer._rows.finish()

    collect(remote, dict, keep_last=1)

    assert remote.verify(writer.commit(Verdict(outcome=Outcome.PASS)).id).passed


def onto(store: FolderSnapshotStore, parent: Snapshot) -> SnapshotWriter:
    """An increment that shares all chunks of its parent."""
    writer = store.writer("parcels", ParcelUseCase.contract, source="onto", parents=(parent.id,))
    writer.share(parent, parent.files, ())
    return writer


def test_an_increment_that_appears_between_the_plan_and_the_removal_keeps_its_rows(
    remote, monkeypatch
) -> None:
    parent = commit(remote, parcels(3))
    commit(remote, parcels(5))
    two_hours_later(remote)
    writer, made, remove = onto(remote, parent), [], remote.folder.remove

    def remove_and_be_overtaken(name: str, **how: float) -> bool:
        if not made:
            made.append(writer.commit(Verdict(outcome=Outcome.PASS)))
        return remove(name, **how)

    monkeypatch.setattr(remote.folder, "remove", remove_and_be_overtaken)
    collect(remote, dict, keep_last=1)

    assert remote.verify(made[0].id).passed


def test_an_increment_onto_what_was_collected_meanwhile_is_refused_and_leaves_no_snapshot(remote) -> None:
    parent, newest = commit(remote, parcels(3)), commit(remote, parcels(5))
    two_hours_later(remote)
    writer = onto(remote, parent)
    collect(remote, dict, keep_last=1)

    with pytest.raises(ConflictError, match="was collected"):
        writer.commit(Verdict(outcome=Outcome.PASS))

    assert [snapshot.id for snapshot in remote.list()] == [newest.id]


def test_an_ingest_that_is_refused_takes_no_store_away_that_another_one_is_in(local) -> None:
    refused, other = committing(local.folder), committing(local.folder)
    with refused:
        other.__enter__()

    with pytest.raises(TransitionError), collecting(local.folder):
        pass
    commit(local, parcels(3))
    other.__exit__(None, None, None)


def test_whoever_waited_at_a_lock_that_was_taken_away_holds_the_new_one(local, monkeypatch) -> None:
    """Between opening and locking, a refused ingest removes its new store."""
    flock, taken_away = fcntl.flock, []

    def too_late(file, kind: int) -> None:
        if not taken_away:
            taken_away.append(shutil.rmtree(local.folder.root))
        flock(file, kind)

    monkeypatch.setattr("modelway.data.lock.fcntl.flock", too_late)
    with committing(local.folder), pytest.raises(TransitionError), collecting(local.folder):
        pass


def test_a_refused_ingest_whose_new_store_is_gone_already_ends_as_it_would(local) -> None:
    with committing(local.folder):
        shutil.rmtree(local.folder.root)

    assert not Path(local.folder.root).exists()


def test_the_newest_snapshot_cannot_be_given_up(local) -> None:
    with pytest.raises(InputError, match="keep 0 snapshots"):
        plan_collection(local, {}, keep_last=0)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_stays_can_be_read_and_whatever_is_needed_stays(tmp_path_factory, data) -> None:
    store = FolderSnapshotStore(str(tmp_path_factory.mktemp("store")))
    made: list[Snapshot] = []
    for size in data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=6)):
        parents = data.draw(st.lists(st.sampled_from([s.id for s in made]), max_size=2)) if made else []
        made.append(commit(store, parcels(size), tuple(parents)))
    needed = data.draw(st.sets(st.sampled_from([s.id for s in made])))
    grow_old(Path(store.folder.root))

    done = collect(store, lambda: dict.fromkeys(needed, "model"), keep_last=data.draw(st.integers(1, 3)))

    left = {snapshot.id: snapshot for snapshot in store.list()}
    assert needed <= set(left) == set(done.kept)
    assert all(store.verify(name).passed for name in left)
    assert all(parent in left for snapshot in left.values() for parent in snapshot.parents)
    for name in done.removed:
        with pytest.raises(NotFoundError):
            store.get(name)
