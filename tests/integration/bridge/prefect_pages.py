"""What Prefect's pages would show, asked of its API."""

from typing import Any

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, TaskRun
from zenml.models import PipelineRunResponse

from stacks.flavors.link import FLOW_RUN_ID


class Pages:
    """What Prefect's pages would show."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def flow_run_of(self, run: PipelineRunResponse) -> FlowRun:
        return self.client.read_flow_run(run.run_metadata[FLOW_RUN_ID])

    def tasks_of(self, run: PipelineRunResponse) -> dict[str, TaskRun]:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[self.flow_run_of(run).id]))
        return {task.name: task for task in self.client.read_task_runs(flow_run_filter=only)}
