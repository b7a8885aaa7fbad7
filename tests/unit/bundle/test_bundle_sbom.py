"""The list of packages a server runs on: valid CycloneDX, complete, and the same bytes every time."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from modelway.bundle.sbom import closure, sbom


@pytest.fixture(scope="module")
def content() -> bytes:
    return sbom()


def installed(folder: Path, name: str, *needs: str, extra: str = "") -> None:
    """A distribution's metadata and a file, as an installer would leave them."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {name}",
        "Version: 1.0",
        *(f"Requires-Dist: {n}" for n in needs),
    ]
    (info / "METADATA").write_text(
        "\n".join([*lines, *([f"Provides-Extra: {extra}"] if extra else [])]) + "\n"
    )
    record = f"{name}.py,sha256=abc,1\n{info.name}/METADATA,sha256=def,1\n../bin/{name},sha256=ghi,1\n"
    (info / "RECORD").write_text(record)


def test_it_keeps_the_schema_of_cyclonedx(content):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None


def test_the_schema_would_notice_a_broken_list(content):
    broken = json.loads(content) | {"components": [{"name": "numpy"}]}

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(broken)) is not None


def test_everything_the_extra_names_is_in_it_at_the_version_that_is_installed(content):
    found = {each["name"]: each["version"] for each in json.loads(content)["components"]}
    asked = [Requirement(line) for line in requires("modelway") or []]
    wanted = {r.name for r in asked if r.marker is None or r.marker.evaluate({"extra": "serving"})}

    assert {"httptools", "onnxruntime", "pydantic"} <= wanted
    for name in wanted:
        assert found[canonicalize_name(name)] == version(name)
    assert "zenml" not in found


def test_another_process_writes_the_same_bytes(content):
    code = "import sys; from modelway.bundle.sbom import sbom; sys.stdout.buffer.write(sbom())"
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    assert other.stdout == content


def test_what_is_not_installed_makes_the_list_incomplete_and_is_named(tmp_path, monkeypatch):
    installed(tmp_path, "acme", "wheel-of-acme; extra == 'serving'", "gone-away", extra="serving")
    installed(tmp_path, "wheel_of_acme", "acme[serving]")  # a circle ends
    monkeypatch.syspath_prepend(tmp_path)

    found = json.loads(sbom("acme", "serving"))

    assert found["compositions"][0]["aggregate"] == "incomplete"
    assert found["properties"] == [{"name": "modelway:missing", "value": "gone-away"}]
    assert found["dependencies"] == [
        {"ref": "pkg:pypi/acme@1.0", "dependsOn": ["pkg:pypi/wheel-of-acme@1.0"]},
        {"ref": "pkg:pypi/wheel-of-acme@1.0", "dependsOn": ["pkg:pypi/acme@1.0"]},
    ]


def test_an_extra_that_nobody_asked_for_brings_nothing(tmp_path, monkeypatch):
    installed(tmp_path, "acme", "numpy; extra == 'other'", "pyyaml; python_version < '3'", extra="other")
    monkeypatch.syspath_prepend(tmp_path)

    assert set(closure("acme", "serving")[0]) == {"acme"}
    assert "numpy" in closure("acme", "other")[0]


def test_a_file_of_another_package_content_changes_its_hash_and_a_script_does_not(tmp_path, monkeypatch):
    installed(tmp_path, "acme")
    monkeypatch.syspath_prepend(tmp_path)
    import importlib_metadata  # noqa: F401, PLC0415 - once imported, it answers for the standard library

    record = tmp_path / "acme-1.0.dist-info" / "RECORD"
    before = sbom("acme", "")

    record.write_text(record.read_text().replace("ghi", "xyz"))
    assert sbom("acme", "") == before
    record.write_text(record.read_text().replace("abc", "xyz"))
    assert sbom("acme", "") != before


def test_a_root_that_is_not_installed_is_an_error():
    with pytest.raises(PackageNotFoundError):
        sbom("no-such-distribution", "")
