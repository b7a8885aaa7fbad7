"""Keys: one per folder, for the owner alone, whoever comes first."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelway.bundle.signing import holds, load_or_create_key, load_verify_key, sign, verify_pem
from modelway.errors import ConfigError, StorageError


def test_the_key_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    keys = tmp_path / "state" / "keys"
    first, second = load_or_create_key(keys), load_or_create_key(keys)

    assert first.private_bytes_raw() == second.private_bytes_raw()
    assert stat.S_IMODE((keys / "signing.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert sorted(p.name for p in keys.iterdir()) == ["signing.pem", "verify.pem"]


def test_the_public_half_lies_beside_it_and_comes_back_when_removed(tmp_path: Path) -> None:
    key = load_or_create_key(tmp_path)
    (tmp_path / "verify.pem").unlink()
    load_or_create_key(tmp_path)

    found = load_verify_key(tmp_path / "verify.pem")
    assert found.public_bytes_raw() == key.public_key().public_bytes_raw()


def test_all_who_come_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(lambda _: load_or_create_key(tmp_path).private_bytes_raw(), range(64)))

    assert len(set(keys)) == 1


def test_a_signature_holds_for_its_message_and_key_alone() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    signature = sign(key, b"message")

    assert holds(key.public_key(), signature, b"message")
    assert not holds(key.public_key(), signature, b"messagE")
    assert not holds(other.public_key(), signature, b"message")


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_private_key_is_said_not_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "signing.pem").write_bytes(content)

    with pytest.raises(ConfigError, match="no usable private key"):
        load_or_create_key(tmp_path)
    assert (tmp_path / "signing.pem").read_bytes() == content


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    elliptic = generate_private_key(SECP256R1()).public_key()
    pem = elliptic.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "verify.pem").write_bytes(pem)

    with pytest.raises(ConfigError, match="no usable public key"):
        load_verify_key(tmp_path / "verify.pem")


def test_a_private_key_is_not_taken_for_a_public_one(tmp_path: Path) -> None:
    load_or_create_key(tmp_path)

    with pytest.raises(ConfigError, match="no usable public key"):
        load_verify_key(tmp_path / "signing.pem")


def test_a_verify_key_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent"):
        load_verify_key(tmp_path / "absent.pem")


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError, match="cannot keep a signing key"):
        load_or_create_key(tmp_path / "file" / "keys")


def test_pem_of_the_public_key_reads_back(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "k.pem").write_bytes(verify_pem(key))

    assert load_verify_key(tmp_path / "k.pem").public_bytes_raw() == key.public_bytes_raw()
