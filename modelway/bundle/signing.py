"""Ed25519 keys: made on first use, kept for the owner alone, and used to sign bundle manifests."""

import base64
import binascii
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from modelway.errors import ConfigError, StorageError

SIGNING_KEY_FILE = "signing.pem"
VERIFY_KEY_FILE = "verify.pem"

VerifyKey = Ed25519PublicKey | Path
"""A public key, or the PEM file that holds it."""


def load_or_create_key(keys: Path) -> Ed25519PrivateKey:
    """The signing key below `keys`; made on first use, with its public half beside it.

    Several processes may ask at once: the first one's key is kept and all get that one.

    Args:
        keys: Folder of the keys, created with mode 0700 when missing.

    Raises:
        ConfigError: The key file holds no Ed25519 private key.
        StorageError: The folder cannot be written or the key not be read.
    """
    signing, verify = keys / SIGNING_KEY_FILE, keys / VERIFY_KEY_FILE
    try:
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not signing.exists():
            _publish(_private_pem(Ed25519PrivateKey.generate()), signing, mode=0o600)
        key = _private_key(signing)
        if not verify.exists():
            _publish(verify_pem(key.public_key()), verify, mode=0o644)
    except OSError as error:
        raise StorageError(
            f"cannot keep a signing key in {keys}: {error}",
            expected="a folder that can be read and written",
            remedy="set MODELWAY_HOME to one",
        ) from error
    return key


def load_verify_key(key: VerifyKey) -> Ed25519PublicKey:
    """The public key itself, read from its PEM file when a path is given.

    Raises:
        ConfigError: The file is missing or holds no Ed25519 public key.
    """
    if isinstance(key, Ed25519PublicKey):
        return key
    try:
        loaded = serialization.load_pem_public_key(key.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise _bad_key(key, "public", error) from error
    if not isinstance(loaded, Ed25519PublicKey):
        raise _bad_key(key, "public", type(loaded).__name__)
    return loaded


def verify_pem(key: Ed25519PublicKey) -> bytes:
    """The public key as PEM, for `--verify-key`."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def sign(key: Ed25519PrivateKey, message: bytes) -> bytes:
    """Signature over `message`: one line of base64."""
    return base64.b64encode(key.sign(message)) + b"\n"


def holds(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether `signature`, as `sign` writes it, is this key's over `message`."""
    try:
        key.verify(base64.b64decode(signature.strip(), validate=True), message)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _bad_key(path, "private", error) from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise _bad_key(path, "private", type(loaded).__name__)
    return loaded


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _publish(content: bytes, path: Path, *, mode: int) -> None:
    """Create `path` whole or not at all; leave it alone when another process was first."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)


def _bad_key(path: Path, half: str, why: object) -> ConfigError:
    return ConfigError(
        f"{path} holds no usable {half} key: {why}",
        expected=f"an Ed25519 {half} key in PEM",
        remedy="pass the file that `load_or_create_key` wrote, or restore it from a backup",
    )
