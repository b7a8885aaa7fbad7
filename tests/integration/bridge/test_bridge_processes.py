"""The bridge from outside: signals, workers, the real `zenml` and `prefect` programs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Cancelling
from zenml.client import Client
from zenml.enums import ExecutionStatus

from flows.bridge import output
from modelway.home import Home
from stacks import apply
from stacks.environment import SOURCE_ROOT, environment
from stacks.flavors.link import FLOW_RUN_ID
from tests.integration.bridge import bridge_flows

BIN = Path(sys.executable).parent
LIMIT_S = 120.0


def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def newest_run(name: str):
    return Client().list_pipeline_runs(pipeline=name, sort_by="desc:created", size=1, hydrate=True).items[0]


@pytest.fixture
def shell(orchestration: Home, tmp_path: Path) -> dict[str, str]:
    """A user's shell after `eval "$(modelway env)"`, with a home directory of its own."""
    user_home = tmp_path / "user"
    user_home.mkdir()
    return {
        **os.environ,
        **environment(orchestration),
        "HOME": str(user_home),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }


def test_a_terminated_flow_leaves_no_zenml_run_going_and_nothing_in_the_users_home(
    shell: dict[str, str], pages, tmp_path: Path
):
    flow = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.bridge.bridge_flows", str(tmp_path)],
        env=shell,
        cwd=SOURCE_ROOT,
    )
    try:
        until((tmp_path / "lingering").exists)
        flow.send_signal(signal.SIGTERM)
        assert flow.wait(LIMIT_S) != 0
    finally:
        flow.kill()

    run = newest_run("lingering")
    assert run.status.is_failed
    assert [step.status.is_finished for step in run.steps.values()] == [True]
    assert pages.flow_run_of(run).state_name == "Crashed"
    assert list(Path(shell["HOME"]).rglob("*")) == []


def test_a_killed_flow_is_buried_by_the_next_one(shell: dict[str, str], pages, tmp_path: Path):
    command = [sys.executable, "-m", "tests.integration.bridge.bridge_flows", str(tmp_path)]
    flow = subprocess.Popen(command, env=shell, cwd=SOURCE_ROOT)
    try:
        until((tmp_path / "lingering").exists)
    finally:
        flow.kill()
        flow.wait(LIMIT_S)
    killed = newest_run("lingering")
    assert killed.status == ExecutionStatus.RUNNING

    bridge_flows.numbers_flow(bridge_flows.NumberConfig())

    assert Client().get_pipeline_run(killed.id).status == ExecutionStatus.STOPPED
    assert pages.flow_run_of(killed).state_name == "Crashed"
    assert "killed" in pages.flow_run_of(killed).state.message


@pytest.fixture
def worker(pages, shell: dict[str, str], tmp_path: Path) -> Iterator[None]:
    fast = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    command = ["prefect", "worker", "start", "--pool", "bridge-tests", "--type", "process"]
    pages.client.create_work_pool(WorkPoolCreate(name="bridge-tests", type="process"), overwrite=True)
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen(command, env={**shell, **fast}, cwd=tmp_path, stdout=log, stderr=log)
        yield
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            process.kill()


def test_cancelling_a_deployed_flow_in_a_worker_stops_its_zenml_run(pages, worker, tmp_path: Path):
    flow_run_id = start_deployed("lingering_flow", {"folder": str(tmp_path), "parallel": True}, pages)
    until((tmp_path / "lingering").exists)

    pages.client.set_flow_run_state(flow_run_id, Cancelling())

    until(lambda: pages.client.read_flow_run(flow_run_id).state_name == "Cancelled")
    [run] = Client().list_pipeline_runs(run_metadata=[f"{FLOW_RUN_ID}:{flow_run_id}"]).items
    assert run.status == ExecutionStatus.STOPPED


def start_deployed(flow_name: str, parameters: dict[str, object], pages) -> UUID:
    """A deployment by dotted entrypoint, as prefect.yaml makes them, run once."""
    from prefect.deployments.runner import RunnerDeployment  # noqa: PLC0415 - slow, one test

    deployment = RunnerDeployment(
        name="bridge-tests",
        flow_name=getattr(bridge_flows, flow_name).name,
        entrypoint=f"tests.integration.bridge.bridge_flows.{flow_name}",
        work_pool_name="bridge-tests",
        path=str(SOURCE_ROOT),
    )
    deployment_id = deployment.apply()
    return pages.client.create_flow_run_from_deployment(deployment_id, parameters=parameters).id


def test_after_zenml_stack_set_the_same_flow_runs_on_the_other_stack(
    shell: dict[str, str], orchestration: Home
):
    config = bridge_flows.NumberConfig(numbers=(7, 7, 7))
    here = bridge_flows.numbers_flow(config)

    try:
        subprocess.run(
            ["zenml", "stack", "set", "local-dev"],
            env=shell,
            check=True,
            timeout=LIMIT_S,
            capture_output=True,
        )
        there = bridge_flows.numbers_flow(config)
    finally:
        apply.activate("local")

    assert (here.stack.name, there.stack.name) == ("local", "local-dev")
    assert output(there, "total") == 21
    assert there.steps["total"].status == ExecutionStatus.COMPLETED, "the other stack's cache is not ours"
    for run in (here, there):
        folder = orchestration.stack(run.stack.name) / "artifacts"
        uris = [versions[-1].uri for step in run.steps.values() for versions in step.outputs.values()]
        assert uris
        assert all(uri.startswith(str(folder)) for uri in uris)
