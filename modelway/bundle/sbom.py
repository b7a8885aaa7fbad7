"""What a server of a bundle runs on: a CycloneDX 1.6 list of the packages that `modelway[serving]` brings.

Taken from the metadata of what is installed where the bundle is packed. No clock, serial number or path
stands in it: the same environment gives the same bytes, so the bundle keeps its digest.
https://cyclonedx.org/docs/1.6/json/
"""

import csv
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import PurePosixPath
from typing import Any, NamedTuple

SBOM_FILE = "sbom.cdx.json"
ROOT, EXTRA = "modelway", "serving"
_LONGEST_NAME = 120
"""Some packages put the whole text of their licence where its name belongs."""


class Package(NamedTuple):
    """An installed distribution, and what it needs here: plain names, each with the extras asked for."""

    found: Distribution
    needs: tuple[tuple[str, frozenset[str]], ...]


def sbom(root: str = ROOT, extra: str = EXTRA) -> bytes:
    """The list, as canonical JSON.

    Args:
        root: Distribution to start from.
        extra: The extra of it that a server is installed with.

    Raises:
        PackageNotFoundError: `root` itself is not installed.
    """
    packages, missing = closure(root, extra)
    parts = [_component(packages[name].found) for name in sorted(packages) if name != _plain(root)]
    described = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component(packages[_plain(root)].found, kind="application")},
        "components": [*parts, _python()],
        "dependencies": [_edges(packages, name) for name in sorted(packages)],
        "compositions": [_completeness(packages, root, missing)],
    }
    if missing:
        described["properties"] = [{"name": "modelway:missing", "value": name} for name in sorted(missing)]
    return json.dumps(described, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def closure(root: str, extra: str) -> tuple[dict[str, Package], frozenset[str]]:
    """Everything that `root[extra]` needs here, by normalised name, and what of it is not installed.

    Raises:
        PackageNotFoundError: `root` itself is not installed.
    """
    distribution(root)
    found: dict[str, Package] = {}
    asked: dict[str, frozenset[str]] = {}
    waiting = [(_plain(root), frozenset({extra}))]
    while waiting:
        name, extras = waiting.pop()
        if name in asked and extras <= asked[name]:
            continue
        asked[name] = asked.get(name, frozenset()) | extras
        if package := _package(name, asked[name]):
            found[name] = package
            waiting += package.needs
    return found, frozenset(asked) - frozenset(found)


def _package(name: str, extras: frozenset[str]) -> Package | None:
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return None
    return Package(installed, tuple(sorted(_needs(installed, extras | {""}), key=lambda each: each[0])))


def _needs(installed: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Requirements whose markers hold on this machine with one of the extras, or without any."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - packing alone needs it, a server never

    for line in installed.requires or ():
        asked = Requirement(line)
        if asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in extras):
            yield _plain(asked.name), frozenset(asked.extras)


def _plain(name: str) -> str:
    from packaging.utils import canonicalize_name  # noqa: PLC0415 - as above

    return str(canonicalize_name(name))


def _purl(found: Distribution) -> str:
    return f"pkg:pypi/{_plain(found.name)}@{found.version}"


def _component(found: Distribution, kind: str = "library") -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": kind,
        "bom-ref": _purl(found),
        "name": _plain(found.name),
        "version": found.version,
        "purl": _purl(found),
    }
    if licences := _licences(found):
        described["licenses"] = licences
    if record := _record_sha256(found):
        described["properties"] = [{"name": "modelway:record-sha256", "value": record}]
    return described


def _licences(found: Distribution) -> list[dict[str, Any]]:
    """As the package says: an SPDX expression, else its first words, else its classifiers."""
    if "License-Expression" in found.metadata:
        return [{"expression": found.metadata["License-Expression"]}]
    classifiers = found.metadata.get_all("Classifier") or []
    named = [str(line).rsplit(" :: ", 1)[-1] for line in classifiers if str(line).startswith("License ::")]
    told = found.metadata["License"].strip() if "License" in found.metadata else ""
    if told and "\n" not in told and len(told) <= _LONGEST_NAME:
        named = [told]
    return [{"license": {"name": name}} for name in sorted(set(named))]


def _record_sha256(found: Distribution) -> str | None:
    """One hash over the hashes of a wheel's files; None where there are none, as for an editable package.

    Scripts and the installer's own notes differ from place to place and are left out. Read from the list:
    `Distribution.files` leaves out what is missing or not, by who imported which library before.
    """
    rows = [row for row in csv.reader((found.read_text("RECORD") or "").splitlines()) if row]
    files = [(PurePosixPath(row[0]), row[1].partition("=")[2]) for row in rows]
    kept = [
        f"{path} {digest}"
        for path, digest in files
        if digest and ".." not in path.parts and not path.parts[0].endswith(".dist-info")
    ]
    whole = bool(kept) and not any(path.name == "direct_url.json" for path, _ in files)
    return hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest() if whole else None


def _python() -> dict[str, Any]:
    return {
        "type": "platform",
        "bom-ref": "python",
        "name": platform.python_implementation(),
        "version": platform.python_version(),
    }


def _edges(packages: Mapping[str, Package], name: str) -> dict[str, Any]:
    needed = {_purl(packages[other].found) for other, _ in packages[name].needs if other in packages}
    return {"ref": _purl(packages[name].found), "dependsOn": sorted(needed)}


def _completeness(packages: Mapping[str, Package], root: str, missing: frozenset[str]) -> dict[str, Any]:
    whole = "incomplete" if missing else "complete"
    return {"aggregate": whole, "assemblies": [_purl(packages[_plain(root)].found)]}
