"""Bundles on their way to where pods fetch them."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Slo
from modelway.errors import BundleRejectedError, ConfigError, StorageError
from serving.kserve.storage import storage_uri, upload

NUMBERS = itertools.count()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(
        tmp_path / "bundles",
        onnx=b"graph",
        signature=Signature(
            model_name="paint",
            key="id",
            label="sold",
            inputs=(Input(name="amount", kind="numeric"),),
            threshold=0.5,
        ),
        reference=b"reference",
        slo=Slo(latency_limit_ms=60, latency_percentile=90, max_error_rate=0.01, rate_rps=100),
        card="",
        lineage=Lineage(
            use_case="paint", snapshot_id="0" * 64, as_of=datetime(2020, 1, 1, tzinfo=UTC), kind="k", seed=1
        ),
        key=load_or_create_key(tmp_path / "keys"),
        extras={"engine.plan": b"engine"},
    )


@pytest.fixture(params=["memory", "file"])
def prefix(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    folder = f"/models-{next(NUMBERS)}"
    yield f"memory:/{folder}" if request.param == "memory" else f"file://{tmp_path}{folder}/"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files written, in order."""
    written: list[str] = []
    for protocol in ("memory", "file"):
        kind = fsspec.get_filesystem_class(protocol)
        pipe = kind.pipe_file

        def counted(self, path: str, value: bytes, pipe: Callable = pipe, **options: object) -> None:
            written.append(path.rpartition("/")[2])
            pipe(self, path, value, **options)

        monkeypatch.setattr(kind, "pipe_file", counted)
    return written


def test_what_arrives_is_the_bundle_at_the_address_of_its_content(
    bundle: Bundle, prefix: str, tmp_path: Path
) -> None:
    uri = upload(bundle, prefix)

    assert uri == storage_uri(prefix, "paint", bundle.digest) == f"{prefix.rstrip('/')}/paint/{bundle.digest}"
    filesystem, folder = fsspec.core.url_to_fs(uri)
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    for path in filesystem.find(folder):
        (fetched / path.rpartition("/")[2]).write_bytes(filesystem.cat_file(path))
    assert Bundle.open(fetched, verify_key=tmp_path / "keys" / VERIFY_KEY_FILE).digest == bundle.digest


def test_the_signature_goes_last_and_nothing_goes_twice(
    bundle: Bundle, prefix: str, writes: list[str]
) -> None:
    upload(bundle, prefix)
    assert writes[-2:] == ["MANIFEST.json", "MANIFEST.sig"]
    assert len(writes) == len(set(writes)) == len(bundle.manifest.files) + 2

    upload(bundle, prefix)
    assert len(writes) == len(bundle.manifest.files) + 2


def test_an_upload_that_was_cut_off_is_completed(bundle: Bundle, prefix: str, writes: list[str]) -> None:
    uri = upload(bundle, prefix)
    filesystem, folder = fsspec.core.url_to_fs(uri)
    filesystem.pipe_file(f"{folder}/model.onnx", b"gra")
    filesystem.rm_file(f"{folder}/MANIFEST.sig")
    writes.clear()

    upload(bundle, prefix)

    assert writes == ["model.onnx", "MANIFEST.sig"]
    assert filesystem.cat_file(f"{folder}/model.onnx") == b"graph"


def test_a_file_too_many_is_named_before_any_pod_refuses_it(bundle: Bundle, prefix: str) -> None:
    filesystem, folder = fsspec.core.url_to_fs(upload(bundle, prefix))
    filesystem.pipe_file(f"{folder}/notes.txt", b"hello")

    with pytest.raises(BundleRejectedError, match=r"notes\.txt"):
        upload(bundle, prefix)


def test_a_bundle_that_changed_since_it_was_verified_is_not_sent(bundle: Bundle, prefix: str) -> None:
    bundle.model.chmod(0o644)
    bundle.model.write_bytes(b"other")

    with pytest.raises(BundleRejectedError, match=r"model\.onnx"):
        upload(bundle, prefix)


def test_a_store_that_loses_bytes_is_noticed(
    bundle: Bundle, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for protocol in ("memory", "file"):
        kind = fsspec.get_filesystem_class(protocol)
        pipe = kind.pipe_file
        monkeypatch.setattr(
            kind,
            "pipe_file",
            lambda self, path, value, pipe=pipe, **rest: pipe(self, path, value[:-1], **rest),
        )

    with pytest.raises(StorageError, match="other bytes than were written"):
        upload(bundle, prefix)


def test_a_store_that_cannot_be_written_is_named(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(StorageError, match="cannot write"):
        upload(bundle, f"file://{tmp_path}/file")


def test_an_unknown_kind_of_store_is_named(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        upload(bundle, "nowhere://models")
