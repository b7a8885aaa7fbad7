"""prefect.yaml deploys every flow, by dotted entrypoints that load, with parameters that fit."""

import importlib
from pathlib import Path

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

import flows
from flows.bridge import MlFlow
from stacks.environment import SOURCE_ROOT

FILE = yaml.safe_load((SOURCE_ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {one["name"]: one for one in FILE["deployments"]}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_entrypoint_is_dotted_and_loads_the_flow_of_that_name(name: str):
    entrypoint = DEPLOYMENTS[name]["entrypoint"]

    flow = load_flow_from_entrypoint(entrypoint)

    assert ":" not in entrypoint
    assert "/" not in entrypoint
    assert isinstance(flow, MlFlow)
    assert flow.name == name


@pytest.mark.parametrize("name", [name for name, one in DEPLOYMENTS.items() if one["parameters"]])
def test_the_parameters_fit_the_flow(name: str):
    flow = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"])

    validated = flow.validate_parameters(DEPLOYMENTS[name]["parameters"])

    given = DEPLOYMENTS[name]["parameters"]["config"]
    assert set(given) <= validated["config"].model_fields_set


def test_every_flow_has_a_deployment():
    modules = [path.stem for path in Path(flows.__path__[0]).glob("*.py") if path.stem != "__init__"]
    found = {
        value.name
        for module in modules
        for value in vars(importlib.import_module(f"flows.{module}")).values()
        if isinstance(value, MlFlow)
    }

    assert found == set(DEPLOYMENTS)


def test_each_runs_in_the_process_pool_and_pulls_nothing():
    assert {one["work_pool"]["name"] for one in DEPLOYMENTS.values()} == {"modelway"}
    assert [list(step) for step in FILE["pull"]] == [["prefect.deployments.steps.set_working_directory"]]


def test_monitoring_alone_is_scheduled_every_six_hours():
    scheduled = {name: one["schedules"] for name, one in DEPLOYMENTS.items() if "schedules" in one}

    assert scheduled == {"monitoring": [{"interval": 6 * 3600, "slug": "six-hourly"}]}
