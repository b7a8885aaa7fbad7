"""A bundle: one folder with a model and all that serving, monitoring and people need beside it.

model.onnx       preprocessing, model and calibrator in one graph
signature.json   names, order and meaning of the inputs; the threshold
reference.parquet  encoded inputs and probability of the rows that drift is measured against
slo.yaml         what the service promises
model_card.md    for people; model_card.html is the same as a page, where it was packed by a training
lineage.json     data, code, seed, parameters
serving.json     batching, cache, fallback and the like, where the use case asks for any
sbom.cdx.json    the packages that a server of it runs on (CycloneDX), where it was packed by a training
online.json      where a server finds stored features, where the use case is asked by key
MANIFEST.json    sha256 of each of the above; its own sha256 is the bundle's digest
MANIFEST.sig     Ed25519 over MANIFEST.json
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ValidationError

from modelway.bundle.canonical import canonical_json
from modelway.bundle.lineage import Lineage
from modelway.bundle.manifest import (
    MANIFEST_FILE,
    SIGNATURE_FILE,
    FileEntry,
    Manifest,
    check_file,
    check_names,
    is_plain_name,
    present_names,
    read_checked,
    read_plain,
    rejected,
)
from modelway.bundle.policy import POLICY_FILE, ServingPolicy
from modelway.bundle.signature import Signature
from modelway.bundle.signing import VerifyKey, holds, load_verify_key, sign
from modelway.contract import Slo
from modelway.errors import BundleRejectedError, ConfigError, StorageError

MODEL_FILE = "model.onnx"
SIGNATURE_JSON_FILE = "signature.json"
REFERENCE_FILE = "reference.parquet"
SLO_FILE = "slo.yaml"
CARD_FILE = "model_card.md"
LINEAGE_FILE = "lineage.json"
REQUIRED_FILES = frozenset(
    {MODEL_FILE, SIGNATURE_JSON_FILE, REFERENCE_FILE, SLO_FILE, CARD_FILE, LINEAGE_FILE}
)

Content = bytes | Path
"""A file's bytes, or where they lie."""

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified folder: whoever holds one knows that hashes and signature held."""

    path: Path
    digest: str
    """sha256 of MANIFEST.json: same content, same digest, on any machine."""
    manifest: Manifest
    signature: Signature
    slo: Slo
    lineage: Lineage
    policy: ServingPolicy = ServingPolicy()  # noqa: RUF009 - frozen

    @classmethod
    def open(cls, path: Path | str, *, verify_key: VerifyKey) -> "Bundle":
        """Verify a folder, every byte of it, and read what it says.

        Args:
            path: The bundle's folder.
            verify_key: Public half of the key that must have signed it, or its PEM file.

        Raises:
            BundleRejectedError: A file is missing, altered, unsigned or no plain file, or the
                signature is not this key's. The message names the file.
            ConfigError: `verify_key` is no Ed25519 public key.
        """
        folder = Path(path).resolve()
        present = present_names(folder)
        manifest, digest = _signed_manifest(folder, verify_key)
        check_names(present, frozenset(manifest.files))
        for name, entry in manifest.files.items():
            check_file(folder / name, entry)
        return cls(
            path=folder,
            digest=digest,
            manifest=manifest,
            signature=_parsed(Signature, folder, manifest, SIGNATURE_JSON_FILE),
            slo=_slo(folder, manifest),
            lineage=_parsed(Lineage, folder, manifest, LINEAGE_FILE),
            policy=_policy(folder, manifest),
        )

    @property
    def model(self) -> Path:
        """The ONNX graph."""
        return self.path / MODEL_FILE

    @property
    def reference(self) -> Path:
        """Drift reference: one float32 column per input, and `probability`."""
        return self.path / REFERENCE_FILE

    @property
    def card(self) -> Path:
        """The model card, Markdown."""
        return self.path / CARD_FILE

    def read(self, name: str) -> bytes:
        """One file's bytes, verified again as they are read.

        Raises:
            BundleRejectedError: The manifest does not list it, or it changed since `open`.
        """
        if name not in self.manifest.files:
            raise rejected(name, "was not signed")
        return read_checked(self.path / name, self.manifest.files[name])


def write_bundle(  # noqa: PLR0913 - a bundle has as many parts as it has
    folder: Path | str,
    *,
    onnx: Content,
    signature: Signature,
    reference: Content,
    slo: Slo,
    card: str,
    lineage: Lineage,
    key: Ed25519PrivateKey,
    extras: Mapping[str, Content] | None = None,
) -> Bundle:
    """Write and sign `<folder>/<digest>`; it appears whole or not at all, and once.

    Args:
        folder: Where bundles lie; created when missing.
        onnx: The graph, one input `features` and one output `probability`.
        signature: What the graph's columns mean.
        reference: Parquet for drift monitoring.
        slo: What the service promises.
        card: Markdown.
        lineage: Where the model comes from.
        key: Signs the manifest.
        extras: Further files by plain name, e.g. engines.

    Raises:
        ConfigError: A name in `extras` is no plain file name or already taken.
        StorageError: The disk is full or cannot be written; nothing is left behind.
        BundleRejectedError: The folder of that digest exists and does not hold.
    """
    _check_extras(extras or {})
    parts: dict[str, Content] = {MODEL_FILE: onnx, REFERENCE_FILE: reference, CARD_FILE: card.encode()}
    parts |= _described(signature, slo, lineage) | dict(extras or {})
    try:
        return _written(Path(folder), parts, key)
    except OSError as error:
        raise _storage_error(Path(folder), error) from error


def _described(signature: Signature, slo: Slo, lineage: Lineage) -> dict[str, Content]:
    return {
        SIGNATURE_JSON_FILE: canonical_json(signature),
        SLO_FILE: yaml.safe_dump(slo.model_dump(mode="json"), sort_keys=True).encode(),
        LINEAGE_FILE: canonical_json(lineage),
    }


def _written(folder: Path, parts: Mapping[str, Content], key: Ed25519PrivateKey) -> Bundle:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder))
    try:
        manifest = Manifest(
            files={name: _put(temporary / name, part) for name, part in sorted(parts.items())}
        )
        content = manifest.to_bytes()
        _put(temporary / MANIFEST_FILE, content)
        _put(temporary / SIGNATURE_FILE, sign(key, content))
        temporary.chmod(0o755)  # the server may run as another user
        final = folder / hashlib.sha256(content).hexdigest()
        _appear(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Bundle.open(final, verify_key=key.public_key())


def _appear(temporary: Path, final: Path) -> None:
    try:
        temporary.rename(final)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise
        return  # the same content was written before, or by another process meanwhile
    _sync_folder(final)
    _sync_folder(final.parent)


def _put(path: Path, part: Content) -> FileEntry:
    """Write one file down to the disk and describe it."""
    content = part.read_bytes() if isinstance(part, Path) else part
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_extras(extras: Mapping[str, Content]) -> None:
    for name in extras:
        if name in REQUIRED_FILES or not is_plain_name(name):
            raise ConfigError(
                f"a bundle cannot hold an extra file named {name!r}",
                expected="a plain file name that the bundle does not use itself",
                remedy="rename it",
            )


def _storage_error(folder: Path, error: OSError) -> StorageError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return StorageError(
        f"cannot write a bundle to {folder}: {error.strerror or error}",
        expected="free space and a writable folder",
        remedy="free some space and run it again; nothing was left behind" if full else "check the path",
    )


def _signed_manifest(folder: Path, verify_key: VerifyKey) -> tuple[Manifest, str]:
    key = load_verify_key(verify_key)
    signature, content = read_plain(folder / SIGNATURE_FILE), read_plain(folder / MANIFEST_FILE)
    if not holds(key, signature, content):
        raise rejected(SIGNATURE_FILE, "is not the given key's signature over MANIFEST.json")
    manifest = Manifest.parse(content)
    for name in sorted(REQUIRED_FILES - frozenset(manifest.files)):
        raise rejected(name, "is not listed in MANIFEST.json")
    return manifest, hashlib.sha256(content).hexdigest()


def _parsed(kind: type[_Model], folder: Path, manifest: Manifest, name: str) -> _Model:
    try:
        return kind.model_validate_json(read_checked(folder / name, manifest.files[name]))
    except ValidationError as error:
        raise _unreadable(name, error) from error


def _slo(folder: Path, manifest: Manifest) -> Slo:
    try:
        return Slo.model_validate(yaml.safe_load(read_checked(folder / SLO_FILE, manifest.files[SLO_FILE])))
    except (ValidationError, yaml.YAMLError) as error:
        raise _unreadable(SLO_FILE, error) from error


def _policy(folder: Path, manifest: Manifest) -> ServingPolicy:
    listed = POLICY_FILE in manifest.files
    return _parsed(ServingPolicy, folder, manifest, POLICY_FILE) if listed else ServingPolicy()


def _unreadable(name: str, error: Exception) -> BundleRejectedError:
    detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    return rejected(name, f"does not say what this version reads: {detail}")
