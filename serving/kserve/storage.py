"""Brings a verified bundle to where the cluster's pods fetch it: any URL that fsspec knows."""

import hashlib
from collections.abc import Iterator
from typing import Any

from modelway.bundle.bundle import Bundle
from modelway.bundle.manifest import MANIFEST_FILE, SIGNATURE_FILE, rejected
from modelway.errors import BundleRejectedError, ConfigError, ModelwayError, StorageError


def storage_uri(prefix: str, model: str, digest: str) -> str:
    """Where a bundle lies: `<prefix>/<model>/<digest>`. The same content always has the same address."""
    return f"{prefix.rstrip('/')}/{model}/{digest}"


def upload(bundle: Bundle, prefix: str) -> str:
    """Copy a bundle to `<prefix>/<model>/<digest>`; what is there already with the right bytes stays.

    The signature goes last: a folder that has it is complete. Every file is read back and compared, for a
    store that lost bytes would show as pods that refuse the bundle, long after.

    Args:
        bundle: Verified, and verified again file by file as it is read.
        prefix: E.g. `s3://models/modelway`.

    Returns:
        The `storageUri`.

    Raises:
        BundleRejectedError: The bundle changed since it was verified, or the store holds other bytes.
        ConfigError: No such kind of store, or its package is not installed.
        StorageError: The store cannot be written or read.
    """
    uri = storage_uri(prefix, bundle.signature.model_name, bundle.digest)
    filesystem, folder = _opened(uri)
    try:
        _refuse_strangers(bundle, filesystem, folder)
        for name, content in _parts(bundle):
            _put(filesystem, f"{folder}/{name}", content)
    except ModelwayError:
        raise
    except Exception as error:  # every store raises its own
        raise _unreachable(uri, error) from error
    return uri


def _parts(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    for name in sorted(bundle.manifest.files):
        yield name, bundle.read(name)
    manifest = (bundle.path / MANIFEST_FILE).read_bytes()
    if hashlib.sha256(manifest).hexdigest() != bundle.digest:
        raise rejected(MANIFEST_FILE, "changed since it was verified")
    yield MANIFEST_FILE, manifest
    yield SIGNATURE_FILE, (bundle.path / SIGNATURE_FILE).read_bytes()


def _opened(uri: str) -> tuple[Any, str]:
    import fsspec  # noqa: PLC0415 - and with it the store's own package

    try:
        filesystem, folder = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"storage {uri}: {error}",
            expected="a URL that fsspec knows, e.g. s3://, gs://, abfs://, file://",
            remedy="correct `storage` of the model deployer, or install the package that the message names",
        ) from error
    return filesystem, str(folder)


def _put(filesystem: Any, path: str, content: bytes) -> None:
    if filesystem.exists(path) and filesystem.cat_file(path) == content:
        return
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(path, content)
    found = filesystem.cat_file(path)
    if found != content:
        raise StorageError(
            f"{path} holds other bytes than were written: sha256 {hashlib.sha256(found).hexdigest()[:12]}",
            expected=f"sha256 {hashlib.sha256(content).hexdigest()[:12]}",
            remedy="check the store, then run it again",
        )


def _refuse_strangers(bundle: Bundle, filesystem: Any, folder: str) -> None:
    """A file too many makes every pod refuse the bundle: say so here, before a rollout waits for pods."""
    if not filesystem.exists(folder):
        return
    own = {*bundle.manifest.files, MANIFEST_FILE, SIGNATURE_FILE}
    strangers = sorted({path.rpartition("/")[2] for path in filesystem.find(folder)} - own)
    if strangers:
        raise BundleRejectedError(
            f"{folder} holds {', '.join(strangers)}, which the bundle does not",
            expected="a folder that is exactly the bundle",
            remedy="remove it from the store, then run it again",
        )


def _unreachable(uri: str, error: Exception) -> StorageError:
    return StorageError(
        f"cannot write {uri}: {error}",
        expected="a store that can be written and read back",
        remedy="check the address and the credentials, then run it again",
    )
