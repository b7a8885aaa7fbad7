"""A bundle appears whole, once, and is refused when one byte is not what was signed."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle import bundle as bundle_module
from modelway.bundle.bundle import REQUIRED_FILES, Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signing import sign
from modelway.errors import BundleRejectedError, ConfigError, StorageError


def test_what_was_written_is_what_opens(folder: Path, parts: dict[str, Any], key: Ed25519PrivateKey) -> None:
    written = write_bundle(folder, **parts)
    opened = Bundle.open(folder / written.digest, verify_key=key.public_key())

    assert opened == written
    assert opened.signature == parts["signature"]
    assert opened.slo == parts["slo"]
    assert opened.lineage == parts["lineage"]
    assert opened.model.read_bytes() == b"a graph"
    assert opened.reference.read_bytes() == b"rows"
    assert opened.read("model_card.md") == b"# Credit\n"


def test_the_digest_is_the_hash_of_the_manifest_and_names_the_folder(
    folder: Path, parts: dict[str, Any]
) -> None:
    written = write_bundle(folder, **parts)

    assert written.path == (folder / written.digest).resolve()
    assert hashlib.sha256((written.path / "MANIFEST.json").read_bytes()).hexdigest() == written.digest


def test_the_same_content_has_the_same_digest_in_another_place_and_from_files(
    tmp_path: Path, parts: dict[str, Any]
) -> None:
    graph = tmp_path / "elsewhere.onnx"
    graph.write_bytes(b"a graph")
    here = write_bundle(tmp_path / "here", **parts)
    there = write_bundle(tmp_path / "there", **{**parts, "onnx": graph, "key": Ed25519PrivateKey.generate()})

    assert here.digest == there.digest


def test_writing_twice_leaves_one_folder_and_nothing_else(folder: Path, parts: dict[str, Any]) -> None:
    first, second = write_bundle(folder, **parts), write_bundle(folder, **parts)

    assert first == second
    assert [entry.name for entry in folder.iterdir()] == [first.digest]


def test_any_changed_part_changes_the_digest(folder: Path, parts: dict[str, Any]) -> None:
    changed = {"onnx": b"b graph", "reference": b"other", "card": "# Other\n"}
    digests = {write_bundle(folder, **{**parts, name: value}).digest for name, value in changed.items()}

    assert len(digests | {write_bundle(folder, **parts).digest}) == 4


@pytest.mark.parametrize("name", sorted(REQUIRED_FILES | {"MANIFEST.json", "MANIFEST.sig"}))
def test_one_flipped_bit_is_found_in_every_file(name: str, folder: Path, parts: dict[str, Any]) -> None:
    path = write_bundle(folder, **parts).path
    content = bytearray((path / name).read_bytes())
    content[0] ^= 1
    (path / name).write_bytes(content)

    blamed = "MANIFEST.sig" if name.startswith("MANIFEST") else name
    with pytest.raises(BundleRejectedError, match=blamed):
        Bundle.open(path, verify_key=parts["key"].public_key())


@pytest.mark.parametrize("name", sorted(REQUIRED_FILES | {"MANIFEST.json", "MANIFEST.sig"}))
def test_every_missing_file_is_named(name: str, folder: Path, parts: dict[str, Any]) -> None:
    path = write_bundle(folder, **parts).path
    (path / name).unlink()

    with pytest.raises(BundleRejectedError, match=f"{name} is missing"):
        Bundle.open(path, verify_key=parts["key"].public_key())


def test_a_file_nobody_signed_is_named(folder: Path, parts: dict[str, Any]) -> None:
    path = write_bundle(folder, **parts).path
    (path / "payload.so").write_bytes(b"")

    with pytest.raises(BundleRejectedError, match=r"payload\.so was not signed"):
        Bundle.open(path, verify_key=parts["key"].public_key())


def test_a_hidden_folder_is_refused(folder: Path, parts: dict[str, Any]) -> None:
    path = write_bundle(folder, **parts).path
    (path / ".cache").mkdir()

    with pytest.raises(BundleRejectedError, match=r"\.cache is a link, folder"):
        Bundle.open(path, verify_key=parts["key"].public_key())


def test_a_link_to_the_very_same_bytes_is_refused(
    folder: Path, parts: dict[str, Any], tmp_path: Path
) -> None:
    path = write_bundle(folder, **parts).path
    outside = tmp_path / "outside"
    (path / "model.onnx").rename(outside)
    (path / "model.onnx").symlink_to(outside)

    with pytest.raises(BundleRejectedError, match=r"model\.onnx is a link"):
        Bundle.open(path, verify_key=parts["key"].public_key())


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/b", "..", "", "MANIFEST.sig", ".hidden", "a\\b", "a\n"]
)
def test_a_signed_manifest_cannot_name_a_file_outside(
    name: str, folder: Path, parts: dict[str, Any], key: Ed25519PrivateKey
) -> None:
    path = write_bundle(folder, **parts).path
    manifest = json.loads((path / "MANIFEST.json").read_bytes())
    manifest["files"][name] = {"sha256": "0" * 64, "size_bytes": 0}
    _sign_again(path, json.dumps(manifest).encode(), key)

    with pytest.raises(BundleRejectedError, match="is no plain file name"):
        Bundle.open(path, verify_key=key.public_key())


def test_a_signed_manifest_without_the_model_is_refused(
    folder: Path, parts: dict[str, Any], key: Ed25519PrivateKey
) -> None:
    path = write_bundle(folder, **parts).path
    manifest = json.loads((path / "MANIFEST.json").read_bytes())
    del manifest["files"]["model.onnx"]
    (path / "model.onnx").unlink()
    _sign_again(path, json.dumps(manifest).encode(), key)

    with pytest.raises(BundleRejectedError, match=r"model\.onnx is not listed"):
        Bundle.open(path, verify_key=key.public_key())


def test_a_manifest_of_another_format_is_refused(
    folder: Path, parts: dict[str, Any], key: Ed25519PrivateKey
) -> None:
    path = write_bundle(folder, **parts).path
    _sign_again(path, b'{"format": "modelway-bundle/9", "files": {}}', key)

    with pytest.raises(BundleRejectedError, match=r"MANIFEST\.json is no manifest"):
        Bundle.open(path, verify_key=key.public_key())


@pytest.mark.parametrize(
    "signature", [b"", b"not base64!", b"AAAA\n"], ids=["empty", "no-base64", "too-short"]
)
def test_a_broken_signature_is_refused_not_crashed_on(
    signature: bytes, folder: Path, parts: dict[str, Any]
) -> None:
    path = write_bundle(folder, **parts).path
    (path / "MANIFEST.sig").write_bytes(signature)

    with pytest.raises(BundleRejectedError, match=r"MANIFEST\.sig"):
        Bundle.open(path, verify_key=parts["key"].public_key())


def test_another_key_does_not_open_it(folder: Path, parts: dict[str, Any]) -> None:
    path = write_bundle(folder, **parts).path

    with pytest.raises(BundleRejectedError, match="not the given key's signature"):
        Bundle.open(path, verify_key=Ed25519PrivateKey.generate().public_key())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    with pytest.raises(BundleRejectedError, match="cannot be listed"):
        Bundle.open(tmp_path / "nowhere", verify_key=key.public_key())


def test_a_file_swapped_after_opening_is_found_when_it_is_read(folder: Path, parts: dict[str, Any]) -> None:
    opened = write_bundle(folder, **parts)
    opened.model.write_bytes(b"another graph")

    with pytest.raises(BundleRejectedError, match=r"model\.onnx was altered"):
        opened.read("model.onnx")


def test_an_altered_bundle_is_not_taken_for_the_one_being_written(
    folder: Path, parts: dict[str, Any]
) -> None:
    write_bundle(folder, **parts).model.write_bytes(b"altered")

    with pytest.raises(BundleRejectedError, match=r"model\.onnx was altered"):
        write_bundle(folder, **parts)


def test_extra_files_are_signed_too(folder: Path, parts: dict[str, Any]) -> None:
    written = write_bundle(folder, **parts, extras={"engine-sm90.plan": b"engine"})

    assert written.read("engine-sm90.plan") == b"engine"


@pytest.mark.parametrize("name", ["model.onnx", "MANIFEST.json", "../up", "a/b"])
def test_an_extra_file_cannot_take_a_name_it_must_not(name: str, folder: Path, parts: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="extra file"):
        write_bundle(folder, **parts, extras={name: b""})


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(
    folder: Path, parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bundle_module.os, "fsync", no_space)
    with pytest.raises(StorageError, match="No space left") as caught:
        write_bundle(folder, **parts)

    assert "free some space" in caught.value.remedy
    assert list(folder.iterdir()) == []


def test_a_missing_graph_file_is_a_storage_error_and_leaves_nothing(
    folder: Path, parts: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="No such file"):
        write_bundle(folder, **{**parts, "onnx": tmp_path / "absent.onnx"})

    assert list(folder.iterdir()) == []


def test_lineage_keeps_one_moment_in_one_form(parts: dict[str, Any]) -> None:
    lineage: Lineage = parts["lineage"]
    elsewhere = lineage.as_of.astimezone(timezone(timedelta(hours=-5)))

    assert Lineage.model_validate({**lineage.model_dump(), "as_of": elsewhere}) == lineage
    with pytest.raises(ValueError, match="timezone"):
        Lineage.model_validate({**lineage.model_dump(), "as_of": datetime(2005, 1, 1)})  # noqa: DTZ001 - the point


def test_opening_a_bundle_imports_nothing_of_the_training_side() -> None:
    code = "import sys, modelway.bundle.bundle; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    )

    heavy = {"polars", "pyarrow", "onnx", "onnxruntime", "numpy", "pandas", "sklearn", "mlflow", "torch"}
    assert heavy.isdisjoint(loaded.stdout.split())


def _sign_again(path: Path, manifest: bytes, key: Ed25519PrivateKey) -> None:
    (path / "MANIFEST.json").write_bytes(manifest)
    (path / "MANIFEST.sig").write_bytes(sign(key, manifest))
