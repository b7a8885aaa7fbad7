from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, TaskRun
from zenml.models import PipelineRunResponse

from modelway.home import Home
from stacks.flavors.link import FLOW_RUN_ID


class Pages:
    """What Prefect's pages would show."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def flow_run_of(self, run: PipelineRunResponse) -> FlowRun:
        return self.client.read_flow_run(run.run_metadata[FLOW_RUN_ID])

    def newest_flow_run(self) -> FlowRun:
        return max(self.client.read_flow_runs(), key=lambda run: run.created)

    def tasks_of(self, run: PipelineRunResponse) -> dict[str, TaskRun]:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[self.flow_run_of(run).id]))
        return {task.name: task for task in self.client.read_task_runs(flow_run_filter=only)}


@pytest.fixture(scope="session")
def pages(orchestration: Home) -> Iterator[Pages]:
    with get_client(sync_client=True) as client:
        yield Pages(client)
