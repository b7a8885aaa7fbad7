"""The stack, env and ui commands, as a user runs them."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from modelway.home import Home
from stacks import apply, prefect_server, processes

MODELWAY = str(Path(sys.executable).parent / "modelway")
LIMIT_S = 120.0


def modelway(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MODELWAY_HOME": str(home.root)}
    return subprocess.run(
        [MODELWAY, *arguments], env=environment, timeout=LIMIT_S, capture_output=True, text=True, check=False
    )


def test_the_exports_name_the_running_server_and_the_active_stacks_tracker(orchestration: Home):
    exports = json.loads(modelway(orchestration, "env", "--json").stdout)

    assert exports["PREFECT_API_URL"] == prefect_server.ensure_server(orchestration)
    assert exports["MLFLOW_TRACKING_URI"] == f"sqlite:///{orchestration.stack('local')}/mlflow.db"
    assert exports["ZENML_CONFIG_PATH"] == str(orchestration.zenml)


def test_the_exports_of_a_fresh_home_make_nothing(tmp_path: Path):
    done = modelway(Home(tmp_path / "fresh"), "env")

    assert done.returncode == 0
    assert all(line.startswith("export ") for line in done.stdout.splitlines())
    assert not (tmp_path / "fresh").exists()


def test_use_switches_and_list_shows_it(orchestration: Home):
    try:
        assert modelway(orchestration, "stack", "use", "local-dev").returncode == 0
        rows = json.loads(modelway(orchestration, "stack", "list", "--json").stdout)
    finally:
        apply.activate("local")

    assert {row["name"]: row["active"] for row in rows} == {
        "kubernetes": False,
        "local": False,
        "local-dev": True,
    }


def test_an_unknown_stack_ends_with_a_usage_error(orchestration: Home):
    done = modelway(orchestration, "stack", "show", "lokal")

    assert done.returncode == 2
    assert "one of: kubernetes, local, local-dev" in done.stderr


def test_a_second_start_finds_the_server_that_runs(orchestration: Home):
    first = prefect_server.start_server(orchestration)

    assert prefect_server.start_server(orchestration) == first


def test_ctrl_c_stops_the_pages_that_the_command_started_and_no_other(orchestration: Home):
    environment = {**os.environ, "MODELWAY_HOME": str(orchestration.root)}
    command = subprocess.Popen(
        [MODELWAY, "ui", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while "Ctrl-C" not in (line := command.stderr.readline()):
            assert line, "it ended early"
        running = {name: processes.running(orchestration, name) for name in ("reports", "mlflow-local")}
        assert all(running.values())
        with urllib.request.urlopen(running["mlflow-local"].url, timeout=60) as page:
            assert "MLflow" in page.read().decode()
        command.send_signal(signal.SIGINT)
        printed, _ = command.communicate(timeout=LIMIT_S)
    finally:
        command.kill()

    assert set(re.findall(r"http://127.0.0.1:\d+", printed)) >= {one.url for one in running.values()}
    assert processes.running(orchestration, "reports") is None
    assert processes.running(orchestration, "mlflow-local") is None
    assert prefect_server.running_server(orchestration), "it ran before the command"


def test_the_prefect_page_asks_its_own_server(orchestration: Home):
    """On another port than 4200 the page shows "Oops" unless it is told where the API is."""
    service = prefect_server.running_server(orchestration)
    with urllib.request.urlopen(f"{service.url}/ui-settings", timeout=60) as answer:
        settings = json.load(answer)

    assert settings["api_url"] == f"{service.url}/api"


@pytest.mark.parametrize("name", ["local", "local-dev"])
def test_the_stacks_doctor_finds_nothing_missing(orchestration: Home, name: str):
    from stacks.checkup import check_stack  # noqa: PLC0415 - ZenML, after the home is active

    findings = check_stack(name, orchestration)

    assert [finding.what for finding in findings if not finding.ok] == []
