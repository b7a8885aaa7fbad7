"""The pipelines: what they call exists, and a load test that does not pass ends them."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from modelway.cli import loadtest

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
ACTION = re.compile(r"^[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})$")
FREE = {"apt-get", "test"}
"""Programs of the runner."""


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def commands(workflow: dict[Any, Any]) -> list[list[str]]:
    lines = [step["run"] for step in steps(workflow) if "run" in step]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


def test_every_action_is_pinned(workflow: dict[Any, Any]) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]

    assert used
    assert [name for name in used if not ACTION.match(name)] == []


def test_every_command_exists(workflow: dict[Any, Any]) -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands(workflow):
        if command[0] == "make":
            assert command[1] in targets
        else:
            assert command[0] in {*FREE, ".venv/bin/modelway"}


def test_the_load_test_gate_uses_options_that_are_there(workflow: dict[Any, Any]) -> None:
    gates = [c for c in commands(workflow) if c[0].endswith("modelway")]
    known = {name for p in get_command(loadtest.app).commands["ci"].params for name in p.opts}

    assert [gate[1:3] for gate in gates] == [["loadtest", "ci"]]
    assert {word for word in gates[0] if word.startswith("--")} <= known


def test_the_reports_are_kept_also_when_the_gate_says_no(workflow: dict[Any, Any]) -> None:
    kept = [
        step for step in workflow["jobs"]["loadtest"]["steps"] if "upload-artifact" in step.get("uses", "")
    ]

    assert [step["if"] for step in kept] == ["always()"]
    assert all(name in kept[0]["with"]["path"] for name in ("junit.xml", "report.html", "verdict.json"))


def test_one_job_stands_for_all_and_fails_when_any_does(workflow: dict[Any, Any]) -> None:
    jobs = workflow["jobs"]
    gate = jobs["gate"]

    assert set(gate["needs"]) == set(jobs) - {"gate"}
    assert all(f"needs.{name}.result" in gate["steps"][0]["run"] for name in gate["needs"])
    assert all("continue-on-error" not in step for step in steps(workflow))
    assert all("timeout-minutes" in job for name, job in jobs.items() if name != "gate")


def test_it_runs_for_pull_requests_and_may_only_read(workflow: dict[Any, Any]) -> None:
    assert "pull_request" in workflow[True]  # YAML 1.1 reads `on` so
    assert workflow["permissions"] == {"contents": "read"}


def test_it_runs_all_that_the_clean_clone_run_does_and_lets_nothing_be_skipped(
    workflow: dict[Any, Any],
) -> None:
    script = (ROOT / ".ci" / "run").read_text()
    exported = re.search(r"^export (.+)$", script, re.MULTILINE)
    packages = re.search(r"apt-get install -y -qq --no-install-recommends ([\w -]+?) >", script)
    job = workflow["jobs"]["test"]
    ran = "\n".join(step["run"] for step in steps(workflow) if "run" in step)

    assert exported is not None
    assert packages is not None
    assert job["env"] == dict(word.split("=") for word in exported[1].split())
    assert f"--no-install-recommends {packages[1]}" in ran
    assert {
        target for target in re.findall(r"^make (\w+)$", script, re.MULTILINE) if target != "test"
    } <= set(re.findall(r"^make (\w+)$", ran, re.MULTILINE))


def test_the_clean_clone_run_drives_the_demo_whose_load_test_is_a_gate() -> None:
    script = (ROOT / ".ci" / "run").read_text()

    assert "set -euo pipefail" in script
    assert "make test\n" in script
    assert 'start("--small"' in (ROOT / "tests" / "e2e" / "conftest.py").read_text()
