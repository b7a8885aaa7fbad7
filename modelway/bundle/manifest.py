"""The list of a bundle's files and their hashes. Its own hash is the bundle's identity."""

import hashlib
import os
import re
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from modelway.bundle.canonical import canonical_json
from modelway.contract import Frozen
from modelway.errors import BundleRejectedError

MANIFEST_FILE = "MANIFEST.json"
SIGNATURE_FILE = "MANIFEST.sig"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class FileEntry(Frozen):
    """One file, by content."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class Manifest(Frozen):
    """Every file of a bundle, except the manifest and its signature."""

    format: Literal["modelway-bundle/1"] = "modelway-bundle/1"
    files: Mapping[str, FileEntry]

    def to_bytes(self) -> bytes:
        """The one byte form: same files, same bytes."""
        return canonical_json(self)

    @classmethod
    def parse(cls, content: bytes) -> "Manifest":
        """Read a manifest whose signature held.

        Raises:
            BundleRejectedError: It is no manifest of this format, or names a file outside the folder.
        """
        try:
            manifest = cls.model_validate_json(content)
        except ValidationError as error:
            raise rejected(MANIFEST_FILE, f"is no manifest: {error.errors()[0]['msg']}") from error
        for name in manifest.files:
            if not is_plain_name(name):
                raise rejected(name, "is no plain file name inside the bundle")
        return manifest


def is_plain_name(name: str) -> bool:
    """Whether `name` stays inside its folder on every system, and hides nothing."""
    return _PLAIN_NAME.fullmatch(name) is not None and name not in {MANIFEST_FILE, SIGNATURE_FILE}


def rejected(name: str, why: str) -> BundleRejectedError:
    """The error for one file, or for the folder as a whole."""
    return BundleRejectedError(
        f"bundle rejected: {name} {why}",
        expected="exactly the files that were signed, unaltered",
        remedy="fetch or write the bundle again; never edit one in place",
    )


def present_names(folder: Path) -> frozenset[str]:
    """Names in the folder, all of them regular files.

    Raises:
        BundleRejectedError: The folder is missing, or holds a link, a folder or a device.
    """
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError as error:
        raise rejected(str(folder), f"cannot be listed: {error.strerror}") from error
    for entry in found:
        if not entry.is_file(follow_symlinks=False):
            raise rejected(entry.name, "is a link, folder or device, not a regular file")
    return frozenset(entry.name for entry in found)


def check_names(present: frozenset[str], listed: frozenset[str]) -> None:
    """Hold the folder's names against the manifest's.

    Raises:
        BundleRejectedError: A listed file is missing, or an unlisted one is there.
    """
    for name in sorted(listed - present):
        raise rejected(name, "is missing")
    for name in sorted(present - listed - {MANIFEST_FILE, SIGNATURE_FILE}):
        raise rejected(name, "was not signed")


def check_file(path: Path, entry: FileEntry) -> None:
    """Hold one file's bytes against its entry, without loading it whole.

    Raises:
        BundleRejectedError: It differs or cannot be read.
    """
    try:
        with open_plain(path) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise rejected(path.name, f"cannot be read: {error.strerror}") from error
    if sha256 != entry.sha256:
        raise rejected(path.name, "was altered")


def read_checked(path: Path, entry: FileEntry) -> bytes:
    """One file's bytes, hashed after reading: what is returned is what was signed.

    Raises:
        BundleRejectedError: It differs or cannot be read.
    """
    content = read_plain(path)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise rejected(path.name, "was altered")
    return content


def read_plain(path: Path) -> bytes:
    """One file's bytes; a symbolic link is not followed.

    Raises:
        BundleRejectedError: It cannot be read.
    """
    try:
        with open_plain(path) as file:
            return file.read()
    except OSError as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise rejected(path.name, why) from error


def open_plain(path: Path) -> BufferedReader:
    """Open for reading, refusing a link even when it appeared after the folder was listed."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
