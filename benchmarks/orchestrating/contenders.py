"""The same chain of trivial steps for each contender of `orchestration.py`."""

from typing import Annotated, Any

from prefect import flow, task
from prefect.flow_engine import BaseFlowRunEngine
from prefect.settings import PREFECT_API_URL, temporary_settings
from zenml import pipeline, step
from zenml.enums import StackComponentType

from flows.bridge import ml_flow
from modelway.home import Home
from stacks.apply import activate, applied_stacks, ensure_active_stack
from stacks.prefect_server import ensure_server
from stacks.zenml_client import client

BaseFlowRunEngine.heartbeat_seconds = None  # type: ignore[assignment,method-assign]  # see orchestration.py

PLAIN = "zenml-alone"


@task
def plain_increment(number: int) -> int:
    """Prefect's step."""
    return number + 1


@step(enable_cache=False)
def increment(number: int) -> Annotated[int, "number"]:
    """ZenML's step, and ours."""
    return number + 1


@flow(name="prefect-alone", persist_result=False)
def prefect_flow(steps: int) -> None:
    """A chain of Prefect tasks."""
    number = 0
    for _ in range(steps):
        number = plain_increment(number)


@pipeline(dynamic=True, name="zenml-alone", enable_cache=False)
def zenml_pipeline(steps: int) -> None:
    """A chain of ZenML steps."""
    number: Any = 0
    for _ in range(steps):
        number = increment(number)


@ml_flow(name="ours")
def our_flow(steps: int) -> None:
    """A chain of steps that are both."""
    number: Any = 0
    for _ in range(steps):
        number = increment(number)


def prefect_alone(steps: int) -> None:
    """Run Prefect's chain on the home's server."""
    with temporary_settings({PREFECT_API_URL: ensure_server(Home.current())}):
        prefect_flow(steps)


def zenml_alone(steps: int) -> None:
    """Run ZenML's chain on its own local orchestrator, all other components being those of `local`."""
    ensure_active_stack(Home.current())
    if PLAIN not in applied_stacks():
        ours = client().get_stack("local").components
        parts = {kind: [component.name for component in found] for kind, found in ours.items()}
        client().create_stack(PLAIN, {**parts, StackComponentType.ORCHESTRATOR: "default"})
    activate(PLAIN)
    zenml_pipeline(steps)


def ours(steps: int) -> None:
    """Run our chain on the stack `local`."""
    ensure_active_stack(Home.current())
    activate("local")
    our_flow(steps)
