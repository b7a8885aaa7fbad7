"""Compiled engines on this disk, by fingerprint: found again, or built again where damaged."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelway.bundle.engines import EngineFingerprint
from modelway.errors import StorageError


@dataclass(frozen=True)
class Cached:
    """An engine, and where it came from."""

    plan: bytes
    hit: bool
    note: str
    """Why it was built, or that it was not."""


class EngineCache:
    """`<id>.plan` beside `<id>.json`, which holds the plan's sha256 and the fingerprint."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is created before an engine is stored."""
        self._folder = folder

    @property
    def timing_cache(self) -> Path:
        """Where `tensorrt` keeps its measurements between builds."""
        return self._folder / "timing.cache"

    def get(self, fingerprint: EngineFingerprint, build: Callable[[], bytes]) -> Cached:
        """The engine of that fingerprint; built when it is missing or not what was stored.

        Raises:
            StorageError: The folder cannot be written.
        """
        plan, note = self._stored(fingerprint)
        if plan is not None:
            return Cached(plan, hit=True, note=note)
        plan = build()
        try:
            self._store(fingerprint, plan)
        except OSError as error:
            raise StorageError(
                f"cannot keep an engine in {self._folder}: {error.strerror or error}",
                expected="free space and a writable folder",
                remedy="free some space or name another folder",
            ) from error
        return Cached(plan, hit=False, note=note)

    def _stored(self, fingerprint: EngineFingerprint) -> tuple[bytes | None, str]:
        plan_file, about_file = self._files(fingerprint)
        try:
            about = json.loads(about_file.read_bytes())
            plan = plan_file.read_bytes()
        except FileNotFoundError:
            return None, "built now"
        except (OSError, ValueError) as error:
            return None, f"built again: {about_file.name} cannot be read ({type(error).__name__})"
        if about != _about(fingerprint, plan):
            return None, f"built again: {plan_file.name} is not what was stored"
        return plan, "taken from the cache"

    def _store(self, fingerprint: EngineFingerprint, plan: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        plan_file, about_file = self._files(fingerprint)
        appear(plan_file, plan)
        appear(about_file, json.dumps(_about(fingerprint, plan), sort_keys=True, indent=2).encode())

    def _files(self, fingerprint: EngineFingerprint) -> tuple[Path, Path]:
        return self._folder / f"{fingerprint.id}.plan", self._folder / f"{fingerprint.id}.json"


def _about(fingerprint: EngineFingerprint, plan: bytes) -> dict[str, object]:
    return {
        "fingerprint": fingerprint.model_dump(mode="json"),
        "sha256": hashlib.sha256(plan).hexdigest(),
        "size_bytes": len(plan),
    }


def appear(path: Path, content: bytes) -> None:
    """Whole or not at all, whoever else writes the same."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
