"""Which models a server could serve and which it does: V2's model repository extension.

A source says which signed bundles there are, an opener makes one ready, and the stage is told when models
come and go. A model is loaded with all its versions or not at all; until then the old ones answer.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from modelway.errors import ConfigError, ModelwayError
from serving.runtime.problems import RequestError, shown
from serving.runtime.served import Served

REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What a model, a version and a revision may be called: it becomes part of addresses, file names, labels."""

Opener = Callable[[Path, str], Served]
"""Folder of a bundle and the name of its revision: verified, loaded and warm, or a ModelwayError."""


class Source(Protocol):
    """Where bundles lie."""

    def names(self) -> Sequence[str]:
        """Every model, sorted."""

    def versions(self, name: str) -> Mapping[str, Path]:
        """A model's bundles by version, the newest first; empty where there is no such model."""


class OneBundle:
    """A server that was given one bundle."""

    def __init__(self, name: str, revision: str, folder: Path) -> None:
        """Its name is in its signature; `folder` is verified again at each load."""
        self._name, self._versions = name, {revision: folder}

    def names(self) -> Sequence[str]:
        """The one model."""
        return [self._name]

    def versions(self, name: str) -> Mapping[str, Path]:
        """The one bundle."""
        return self._versions if name == self._name else {}


class Folder:
    """`<root>/<model>/<version>/` are bundles, looked at anew each time."""

    def __init__(self, root: Path) -> None:
        """Take a folder.

        Raises:
            ConfigError: There is none.
        """
        if not root.is_dir():
            raise ConfigError(
                f"--repository {root} is no folder",
                expected="<model>/<version>/ below it, each a signed bundle",
                remedy="create it, or serve one bundle with --bundle",
            )
        self._root = root

    def names(self) -> Sequence[str]:
        """Every folder that holds a version."""
        return sorted(path.name for path in _folders(self._root) if self.versions(path.name))

    def versions(self, name: str) -> Mapping[str, Path]:
        """The model's folders, the newest first: 10 is newer than 9."""
        if not REVISION.fullmatch(name):
            return {}
        found = sorted(_folders(self._root / name), key=lambda path: _natural(path.name), reverse=True)
        return {path.name: path for path in found}


class Stage(Protocol):
    """Who answers requests."""

    def put(self, name: str, versions: Sequence[Served]) -> None:
        """From now on these answer to `name`, the first of them where no version is named."""

    def withdraw(self, name: str) -> None:
        """From now on nobody answers to `name`; what is under way is finished."""


class Repository:
    """Loads and unloads; one at a time, whoever asks."""

    def __init__(self, source: Source, opener: Opener, *, control: bool = False) -> None:
        """Nothing is loaded yet.

        Args:
            source: Where bundles lie.
            opener: Makes one ready.
            control: Whether clients may load and unload.
        """
        self._source, self._open, self._control = source, opener, control
        self._loaded: dict[str, tuple[Served, ...]] = {}
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()
        self._stage: Stage | None = None

    def begin(self) -> Sequence[Served]:
        """Load every model there is, for a server that starts.

        Raises:
            ModelwayError: One of them does not hold, or there is none.
        """
        for name in self._source.names():
            self._loaded[name] = self._opened(name)
        models = [served for versions in self._loaded.values() for served in versions]
        if not models:
            raise ConfigError(
                "the repository holds no model",
                expected="<model>/<version>/ below it, each a signed bundle",
                remedy="put a bundle there",
            )
        return models

    def adopt(self, models: Sequence[Served]) -> None:
        """Take over models that are loaded already."""
        for served in models:
            self._loaded[served.name] = (*self._loaded.get(served.name, ()), served)

    def join(self, stage: Stage) -> None:
        """Tell this one when models come and go."""
        self._stage = stage

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Every model and version there is or that is loaded, by name; only the loaded ones if `ready`."""
        loaded = {name: {served.revision for served in models} for name, models in self._loaded.items()}
        rows = []
        for name in sorted({*self._source.names(), *loaded}):
            versions = {**dict.fromkeys(self._source.versions(name)), **dict.fromkeys(loaded.get(name, ()))}
            rows += [self._row(name, version, version in loaded.get(name, ())) for version in versions]
        return [row for row in rows if row["state"] == "READY" or not ready]

    def load(self, name: str) -> None:
        """Verify and warm up every version of a model, then let them answer.

        Raises:
            RequestError: 403 control is off, 404 there is no such model, 400 a bundle does not hold: the
                versions that answered before go on.
        """
        self._check(name)
        with self._lock:
            try:
                opened = self._opened(name)
            except ModelwayError as error:
                self._reasons[name] = str(error)
                raise RequestError(f"{name} was not loaded: {error}") from error
            self._loaded[name] = opened
            self._reasons.pop(name, None)
            if self._stage is not None:
                self._stage.put(name, opened)

    def unload(self, name: str) -> None:
        """Let a model answer no more; unloading one that is not loaded changes nothing.

        Raises:
            RequestError: 403 control is off, 404 there is no such model.
        """
        self._check(name)
        with self._lock:
            if self._loaded.pop(name, None) is not None and self._stage is not None:
                self._stage.withdraw(name)
            self._reasons[name] = "unloaded"

    def _check(self, name: str) -> None:
        if not self._control:
            raise RequestError(
                "loading and unloading by clients is off; start the server with --model-control", status=403
            )
        if not self._source.versions(name) and name not in self._loaded:
            raise RequestError(f"the repository has no model {shown(name)}", status=404)

    def _opened(self, name: str) -> tuple[Served, ...]:
        opened = tuple(
            self._one(name, version, path) for version, path in self._source.versions(name).items()
        )
        if not opened:
            raise ConfigError(f"{name} has no versions", expected="a signed bundle", remedy="put one there")
        return opened

    def _one(self, name: str, version: str, path: Path) -> Served:
        if not (REVISION.fullmatch(name) and REVISION.fullmatch(version)):
            raise ConfigError(
                f"{name}/{version}",
                expected="letters, digits, dot, dash and underscore, at most 63 each",
                remedy="rename the folder",
            )
        served = self._open(path, version)
        if served.name != name:
            raise ConfigError(
                f"the bundle {name}/{version} is signed for the model {served.name!r}",
                expected="a bundle of the model whose folder it lies in",
                remedy=f"move it to {served.name}/{version}",
            )
        return served

    def _row(self, name: str, version: str, ready: bool) -> dict[str, str]:
        state, reason = ("READY", "") if ready else ("UNAVAILABLE", self._reasons.get(name, "not loaded"))
        return {"name": name, "version": version, "state": state, "reason": reason}


def _folders(root: Path) -> list[Path]:
    try:
        return [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key by which `9` comes before `10`, and `a-9` before `a-10`."""
    parts = re.findall(r"\d+|\D+", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
