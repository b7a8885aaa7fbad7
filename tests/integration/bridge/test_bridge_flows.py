"""A flow's steps, seen from both sides: Prefect's task runs and ZenML's step runs."""

import os
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from zenml.client import Client
from zenml.enums import ExecutionStatus

from flows.bridge import output
from modelway.errors import ConfigError, GateError, NotFoundError, NotRunningError
from modelway.home import Home
from stacks import active, apply
from stacks.processes import port_from_system
from tests.integration.bridge import bridge_flows
from tests.integration.bridge.bridge_flows import NumberConfig

pytestmark = pytest.mark.usefixtures("orchestration")


def newest_run(name: str):
    return Client().list_pipeline_runs(pipeline=name, sort_by="desc:created", size=1, hydrate=True).items[0]


def test_every_step_is_a_task_run_of_the_flow_run(pages):
    run = bridge_flows.numbers_flow(NumberConfig())

    assert run.status == ExecutionStatus.COMPLETED
    assert set(run.steps) == {"total", "judge", "deploy"}
    assert set(pages.tasks_of(run)) == {"total", "judge", "deploy"}
    assert pages.flow_run_of(run).state_name == "Completed"
    assert output(run, "deployed") == "deployed 6"


def test_a_step_says_which_step_run_of_zenml_it_was(pages):
    run = bridge_flows.numbers_flow(NumberConfig())

    judged = pages.tasks_of(run)["judge"]
    assert str(run.steps["judge"].id) in judged.state.message


def test_plain_python_decides_which_steps_run(pages):
    run = bridge_flows.numbers_flow(NumberConfig(limit=100))

    assert set(run.steps) == {"total", "judge"}
    assert not output(run, "gate_verdict").passed


def test_asking_for_an_artifact_that_the_run_has_not_made_names_those_it_has():
    run = bridge_flows.numbers_flow(NumberConfig(limit=100))

    with pytest.raises(NotFoundError, match="no artifact `deployed`") as caught:
        output(run, "deployed")
    assert caught.value.expected == "one of gate_verdict, total"


def test_each_side_links_to_the_other(pages):
    run = bridge_flows.numbers_flow(NumberConfig())

    flow_run = pages.flow_run_of(run)
    assert str(flow_run.id) in run.run_metadata["orchestrator_url"]
    [note] = [one for one in pages.client.read_artifacts() if one.flow_run_id == flow_run.id]
    assert str(run.id) in note.data
    assert run.name in note.data


def test_a_step_that_ran_before_is_shown_as_cached(pages):
    config = NumberConfig(numbers=(40, 2))
    first = bridge_flows.numbers_flow(config)

    again = bridge_flows.numbers_flow(config)

    assert pages.tasks_of(first)["total"].state_name == "Completed"
    assert pages.tasks_of(again)["total"].state_name == "Cached"
    assert again.steps["total"].status == ExecutionStatus.CACHED
    assert pages.tasks_of(again)["judge"].state_name == "Completed"
    assert output(again, "total") == 42


def test_prefect_retries_and_zenml_keeps_every_attempt(pages, tmp_path: Path):
    counter = tmp_path / "counter"
    counter.write_text("0")

    run = bridge_flows.flaky_flow(str(counter))

    [task] = pages.tasks_of(run).values()
    assert task.run_count == 3
    assert output(run, "attempts") == 3
    assert set(run.steps) == {"succeed_at_third_attempt"}
    assert run.steps["succeed_at_third_attempt"].version == 3


@pytest.mark.parametrize("parallel", [pytest.param(False, id="in-line"), pytest.param(True, id="parallel")])
def test_a_failure_keeps_its_type_and_fails_both_runs(pages, parallel: bool):
    with pytest.raises(GateError) as caught:
        bridge_flows.refused_flow(parallel)

    assert caught.value.found == "0.4 was measured"
    assert caught.value.remedy == "train longer"
    run = newest_run("refused")
    assert run.status == ExecutionStatus.FAILED
    assert set(run.steps) == {"refuse"}
    assert pages.flow_run_of(run).state_name == "Failed"
    assert pages.tasks_of(run)["refuse"].state_name == "Failed"


def test_submitted_steps_run_at_the_same_time(pages, tmp_path: Path):
    run = bridge_flows.meeting_flow(str(tmp_path))

    assert output(run, "joined") == "left and right"
    assert set(pages.tasks_of(run)) == {"meet_left", "meet_right", "join"}


def test_a_misspelt_parameter_is_named_and_nothing_runs():
    before = Client().list_pipeline_runs(pipeline="numbers").total

    with pytest.raises(ConfigError, match="numbrs"):
        bridge_flows.numbers_flow({"numbrs": [1]})

    assert Client().list_pipeline_runs(pipeline="numbers").total == before


def test_a_server_that_does_not_answer_is_named():
    nobody = f"http://127.0.0.1:{port_from_system()}/api"

    with temporary_settings({PREFECT_API_URL: nobody}), pytest.raises(NotRunningError, match=nobody):
        bridge_flows.numbers_flow(NumberConfig())


def test_a_flow_inside_a_flow_hands_its_result_to_the_next_step(pages):
    run = bridge_flows.outer_flow((20, 3))

    assert output(run, "deployed") == "deployed 23"
    inner = newest_run("inner")
    assert inner.status == ExecutionStatus.COMPLETED
    assert set(pages.tasks_of(inner)) == {"total"}
    assert pages.flow_run_of(inner).parent_task_run_id is not None


def test_an_isolated_step_runs_in_a_process_of_its_own(pages):
    run = bridge_flows.isolated_flow()

    assert output(run, "process") != os.getpid()
    assert pages.tasks_of(run)["name_process"].state_name == "Completed"


def test_switching_stacks_during_a_run_does_not_move_the_run():
    try:
        run = bridge_flows.switched_meanwhile_flow()

        assert output(run, "stack") == "local"
        assert active.stack_name() == "local-dev"
    finally:
        apply.activate("local")


def test_the_home_holds_all_state(orchestration: Home):
    assert str(Client().zen_store.url).startswith(f"sqlite:///{orchestration.root}")
