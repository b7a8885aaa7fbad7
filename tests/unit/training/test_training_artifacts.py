import errno
from pathlib import Path

import pytest

from modelway.errors import SnapshotCorruptError, StorageError
from modelway.training.artifacts import FileRef, keep
from modelway.training.environment import current


def test_the_same_bytes_are_one_file_named_by_their_hash(tmp_path):
    first, second = keep(b"graph", str(tmp_path), ".onnx"), keep(b"graph", str(tmp_path), ".onnx")

    assert first == second
    assert [p.name for p in tmp_path.iterdir()] == [f"{first.sha256}.onnx"]
    assert FileRef.model_validate_json(first.model_dump_json()).read() == b"graph"


def test_altered_and_lost_files_are_found(tmp_path):
    ref = keep(b"graph", str(tmp_path), ".onnx")
    path = Path(ref.uri)

    path.write_bytes(b"grapf")
    with pytest.raises(SnapshotCorruptError, match="hashes to"):
        ref.read()
    path.unlink()
    with pytest.raises(SnapshotCorruptError, match="is gone"):
        ref.read()


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)

    with pytest.raises(StorageError, match="No space left"):
        keep(b"graph", str(tmp_path), ".onnx")
    assert not list(tmp_path.iterdir())


def test_outside_a_checkout_the_commit_is_unknown_and_said_to_be(tmp_path):
    environment = current(tmp_path)

    assert environment.git_commit is None
    assert environment.lock_sha256 is None
    assert environment.tags()["modelway.git_commit"] == "unknown"
    assert {"scikit-learn", "scipy"} <= set(environment.libraries), "scipy fits the logistic regression"
