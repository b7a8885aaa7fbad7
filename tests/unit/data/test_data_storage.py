import errno
import os
import sys
import time

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from parcels_case import ParcelUseCase, parcels

from modelway.data.frames import write_frame
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.data.storage import ABANDONED_AFTER_S, Folder, storage_errors
from modelway.errors import ConfigError, NotFoundError, SnapshotCorruptError, StorageError


class FakeFullFileSystem(MemoryFileSystem):
    """Takes `room` files, then has no space left."""

    protocol = "full"
    store: dict = {}  # noqa: RUF012 - fsspec's memory store is one per class
    pseudo_dirs = [""]  # noqa: RUF012 - as above
    room = 0

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if FakeFullFileSystem.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        FakeFullFileSystem.room -= 1
        super().pipe_file(path, value, mode=mode, **kwargs)


@pytest.fixture(params=[0, 1], ids=["no-room-at-all", "no-room-for-the-manifest"])
def full_store(request):
    fsspec.register_implementation("full", FakeFullFileSystem, clobber=True)
    FakeFullFileSystem.store.clear()
    FakeFullFileSystem.room = request.param
    return FolderSnapshotStore("full://snapshots")


def test_a_full_disk_is_named_and_no_snapshot_appears(full_store) -> None:
    with pytest.raises(StorageError, match="No space left") as caught:
        ingest(ParcelUseCase(parcels(3)), None, full_store)

    assert full_store.list() == ()
    assert "free disk space" in caught.value.remedy


def test_once_there_is_room_again_the_same_ingest_goes_through(full_store) -> None:
    with pytest.raises(StorageError):
        ingest(ParcelUseCase(parcels(3)), None, full_store)
    FakeFullFileSystem.room = 10

    snapshot = ingest(ParcelUseCase(parcels(3)), None, full_store)

    assert full_store.verify(snapshot.id).passed


class ClientError(Exception):
    """What clients of object stores raise where nobody answers: no OSError."""


class FakeAwayFileSystem(MemoryFileSystem):
    """Nobody answers."""

    protocol = "away"

    def cat_file(self, path, start=None, end=None, **kwargs):
        raise ClientError(f"could not connect to {path}")

    isdir = exists = pipe_file = modified = cat_file


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.read("a"),
        lambda store: store.write("a", b"content"),
        lambda store: store.put("objects", ".parquet", b"content"),
        lambda store: store.names("manifests"),
        lambda store: store.sizes("objects"),
        lambda store: store.exists("a"),
        lambda store: store.remove("a"),
    ],
    ids=["read", "write", "put", "names", "sizes", "exists", "remove"],
)
def test_a_store_that_does_not_answer_is_a_storage_error_in_whatever_words_its_client_says_so(ask) -> None:
    fsspec.register_implementation("away", FakeAwayFileSystem, clobber=True)

    with pytest.raises(StorageError, match="ClientError: could not connect"):
        ask(Folder("away://snapshots"))


@pytest.mark.parametrize(
    ("root", "error"), [("abfs://lake/snapshots", ConfigError), ("nothing://lake", StorageError)]
)
def test_a_store_whose_client_is_missing_or_unknown_is_named(root, error, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)  # as if it were not installed, where it is

    with pytest.raises(error, match=root):
        FolderSnapshotStore(root).list()


def test_a_fault_of_ours_beside_a_local_file_is_no_storage_error() -> None:
    with pytest.raises(ZeroDivisionError), storage_errors("place"):
        raise ZeroDivisionError


@pytest.mark.parametrize("root", ["", "memory://frames"], ids=["folder", "url"])
def test_a_frame_comes_back_from_its_reference(tmp_path, root) -> None:
    reference = write_frame(parcels(5), root or str(tmp_path / "frames"))

    assert reference.load().equals(parcels(5))
    assert (reference.rows, reference.columns) == (5, tuple(parcels(1).columns))
    assert reference.uri.endswith(f"/{reference.sha256}.parquet")


def test_the_same_frame_is_one_file(tmp_path) -> None:
    assert write_frame(parcels(5), str(tmp_path)) == write_frame(parcels(5), str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


def test_how_a_frame_is_chunked_in_memory_does_not_change_its_hash(tmp_path) -> None:
    pieces = parcels(6).slice(0, 2).vstack(parcels(6).slice(2, 4))

    assert write_frame(pieces, str(tmp_path)).sha256 == write_frame(parcels(6), str(tmp_path)).sha256


def test_an_altered_or_missing_frame_is_refused(tmp_path) -> None:
    reference = write_frame(parcels(5), str(tmp_path))
    (tmp_path / f"{reference.sha256}.parquet").write_bytes(b"something else")
    with pytest.raises(SnapshotCorruptError, match="hashes to"):
        reference.load()

    (tmp_path / f"{reference.sha256}.parquet").unlink()
    with pytest.raises(SnapshotCorruptError, match="is gone"):
        reference.load()


def test_a_root_that_cannot_be_written_is_a_storage_error(tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(StorageError):
        write_frame(parcels(1), str(tmp_path / "file" / "frames"))


def test_a_write_that_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    folder = Folder(str(tmp_path))
    folder.write("a", b"old")

    def no_space(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StorageError, match="No space left"):
        folder.write("a", b"new")

    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert folder.read("a") == b"old"


def test_what_a_killed_writer_left_is_swept_once_it_is_old(tmp_path) -> None:
    folder = Folder(str(tmp_path))
    folder.write("objects/a", b"kept")
    young, old = tmp_path / "objects/.x.1.tmp", tmp_path / "objects/.y.2.tmp"
    for path in (young, old):
        path.write_bytes(b"half")
    long_ago = time.time() - ABANDONED_AFTER_S - 1
    os.utime(old, (long_ago, long_ago))

    folder.sweep()

    assert sorted(p.name for p in (tmp_path / "objects").iterdir()) == [".x.1.tmp", "a"]


def test_a_file_that_is_not_there_is_not_found(tmp_path) -> None:
    for folder in (Folder(str(tmp_path)), Folder("memory://nothing-here")):
        with pytest.raises(NotFoundError):
            folder.read("objects/none")
        assert folder.names("objects") == []
