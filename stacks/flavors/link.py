"""The links between a Prefect flow run and the ZenML runs inside it, and what follows from them."""

import logging
import os
import socket
from typing import Any
from uuid import UUID

import psutil
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run as current
from prefect.settings import PREFECT_UI_URL
from prefect.states import Crashed
from zenml.constants import METADATA_ORCHESTRATOR_URL
from zenml.enums import ExecutionStatus
from zenml.metadata.metadata_types import Uri
from zenml.models import PipelineRunResponse
from zenml.orchestrators.publish_utils import (
    publish_pipeline_run_metadata,
    publish_pipeline_run_status_update,
    publish_stopped_step_run,
)

from stacks.processes import lives
from stacks.zenml_client import client

logger = logging.getLogger(__name__)

FLOW_RUN_ID = "prefect_flow_run_id"
"""Key of the ZenML run's metadata that names its Prefect flow run."""
PROCESS = "process"
"""Key of the ZenML run's metadata that names the process it runs in: host, id, start time."""


def link_runs(orchestrator_id: UUID, run: PipelineRunResponse) -> None:
    """Write each side's address on the other one."""
    flow_run_id = str(current.id)
    metadata: dict[str, Any] = {FLOW_RUN_ID: flow_run_id, PROCESS: _this_process()}
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


def bury_dead_runs() -> None:
    """End the runs whose process was killed on this machine: no hook could, and both sides say `running`."""
    running = client().list_pipeline_runs(status=ExecutionStatus.RUNNING, size=100, hydrate=True)
    for run in running.items:
        if _is_dead(run.run_metadata.get(PROCESS)):
            logger.warning("run %s was killed: it is marked as stopped", run.name)
            _stop(run.id, "its process was killed")
            _mark_crashed(UUID(str(run.run_metadata[FLOW_RUN_ID])))


def _this_process() -> str:
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def _is_dead(process: Any) -> bool:
    """False also where nothing is known, or where another machine would have to be asked."""
    if not process:
        return False
    host, pid, created_at_s = str(process).split()
    return host == socket.gethostname() and not lives(int(pid), float(created_at_s))


def _mark_crashed(flow_run_id: UUID) -> None:
    with get_client(sync_client=True) as prefect:
        try:
            prefect.set_flow_run_state(flow_run_id, Crashed(message="its process was killed"), force=True)
        except ObjectNotFound:
            logger.info("Prefect's server does not know flow run %s: it has another database", flow_run_id)


def _stop(run_id: UUID, reason: str) -> None:
    publish_pipeline_run_status_update(run_id, ExecutionStatus.STOPPING, status_reason=reason)
    for step in client().list_run_steps(pipeline_run_id=run_id, size=1000).items:
        if not step.status.is_finished:
            publish_stopped_step_run(step.id)
    publish_pipeline_run_status_update(run_id, ExecutionStatus.STOPPED)
