"""The links between a Prefect flow run and the ZenML runs inside it, and what follows from them."""

import logging
from typing import Any
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run as current
from prefect.settings import PREFECT_UI_URL
from zenml.constants import METADATA_ORCHESTRATOR_URL
from zenml.enums import ExecutionStatus
from zenml.metadata.metadata_types import Uri
from zenml.models import PipelineRunResponse
from zenml.orchestrators.publish_utils import (
    publish_pipeline_run_metadata,
    publish_pipeline_run_status_update,
    publish_stopped_step_run,
)

from stacks.zenml_client import client

logger = logging.getLogger(__name__)

FLOW_RUN_ID = "prefect_flow_run_id"
"""Key of the ZenML run's metadata that names its Prefect flow run."""


def link_runs(orchestrator_id: UUID, run: PipelineRunResponse) -> None:
    """Write each side's address on the other one."""
    flow_run_id = str(current.id)
    metadata: dict[str, Any] = {FLOW_RUN_ID: flow_run_id}
    if pages := PREFECT_UI_URL.value():
        metadata[METADATA_ORCHESTRATOR_URL] = Uri(f"{pages}/runs/flow-run/{flow_run_id}")
    publish_pipeline_run_metadata(run.id, {orchestrator_id: metadata})
    create_markdown_artifact(_zenml_note(run), key="zenml-run", description=f"ZenML run {run.name}")


def _zenml_note(run: PipelineRunResponse) -> str:
    stack = run.stack.name if run.stack else "?"
    return (
        f"ZenML run **{run.name}** on stack **{stack}**\n\n`{run.id}`\n\n"
        f"Artifacts and lineage: `zenml pipeline runs describe {run.id}`"
    )


def stop_zenml_runs(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 - Prefect passes by these names
    """Prefect hook: no ZenML run stays `running` when its flow run was cancelled or crashed."""
    runs = client().list_pipeline_runs(run_metadata=[f"{FLOW_RUN_ID}:{flow_run.id}"], size=100)
    for run in runs.items:
        if not run.status.is_finished:
            logger.warning("stopping ZenML run %s: Prefect flow run %s", run.name, state.name)
            _stop(run.id, f"Prefect flow run {state.name}")


def _stop(run_id: UUID, reason: str) -> None:
    publish_pipeline_run_status_update(run_id, ExecutionStatus.STOPPING, status_reason=reason)
    for step in client().list_run_steps(pipeline_run_id=run_id, size=1000).items:
        if not step.status.is_finished:
            publish_stopped_step_run(step.id)
    publish_pipeline_run_status_update(run_id, ExecutionStatus.STOPPED)
