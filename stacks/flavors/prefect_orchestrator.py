"""Orchestrator flavor `prefect`: every ZenML step run is a Prefect task run.

The steps run inside the current Prefect flow run when there is one (a flow made by `flows.bridge.ml_flow`),
else inside a flow run opened for the pipeline.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from prefect import flow
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.futures import wait as wait_for_all
from zenml.config.step_configurations import Step
from zenml.constants import ENV_ZENML_ACTIVE_STACK_ID
from zenml.enums import ExecutionStatus
from zenml.exceptions import StepExecutionException
from zenml.execution.context import setup_execution_context
from zenml.execution.step.utils import launch_step
from zenml.models import PipelineRunResponse, PipelineSnapshotResponse, StepRunResponse
from zenml.orchestrators import (
    BaseOrchestrator,
    BaseOrchestratorConfig,
    BaseOrchestratorFlavor,
    SubmissionResult,
)
from zenml.stack import Stack
from zenml.utils.env_utils import temporary_environment

from stacks.flavors.isolated import ChildProcesses
from stacks.flavors.link import link_runs
from stacks.flavors.runner import PrefectDynamicRunner
from stacks.flavors.task import as_prefect_task

# Stack objects are cached per process: what belongs to one run must not live on the orchestrator.
_run_id: ContextVar[str] = ContextVar("modelway_orchestrator_run_id")


class PrefectOrchestratorConfig(BaseOrchestratorConfig):
    """No settings: the Prefect server is the one that the environment names."""

    @property
    def is_local(self) -> bool:
        """Steps run on this machine."""
        return True

    @property
    def is_synchronous(self) -> bool:
        """A submitted pipeline has ended when the call returns."""
        return True

    @property
    def handles_step_retries(self) -> bool:
        """Prefect retries; ZenML keeps a version of the step run per attempt."""
        return True

    @property
    def supports_client_side_caching(self) -> bool:
        """No: a step that ZenML leaves out before submission would never be shown as *Cached*."""
        return False


class PrefectOrchestrator(BaseOrchestrator):
    """Runs static and dynamic ZenML pipelines as Prefect flow runs."""

    _children = ChildProcesses()

    def get_orchestrator_run_id(self) -> str:
        """The id under which ZenML keeps the current run.

        Raises:
            RuntimeError: No run of this orchestrator is going on.
        """
        try:
            return _run_id.get()
        except LookupError:
            raise RuntimeError("no run of the Prefect orchestrator is going on") from None

    @property
    def run_init_cleanup_at_step_level(self) -> bool:
        """Init and clean-up hooks run once per pipeline: its steps share a process."""
        return False

    def submit_pipeline(
        self,
        snapshot: PipelineSnapshotResponse,
        stack: Stack,  # noqa: ARG002 - ZenML's signature
        base_environment: dict[str, str],
        step_environments: dict[str, dict[str, str]],  # noqa: ARG002 - ZenML's signature
        placeholder_run: PipelineRunResponse | None = None,
    ) -> SubmissionResult | None:
        """Run a static pipeline: all its steps at once, each waiting for its upstream ones."""
        self._run(snapshot, base_environment, placeholder_run, lambda: self._run_static(snapshot))
        return None

    def submit_dynamic_pipeline(
        self,
        snapshot: PipelineSnapshotResponse,
        stack: Stack,  # noqa: ARG002 - ZenML's signature
        environment: dict[str, str],
        placeholder_run: PipelineRunResponse | None = None,
    ) -> SubmissionResult | None:
        """Run a dynamic pipeline: its function is plain Python, each step call a task run."""

        def run_steps() -> None:
            PrefectDynamicRunner(snapshot=snapshot, run=placeholder_run, orchestrator=self).run_pipeline()

        self._run(snapshot, environment, placeholder_run, run_steps)
        return None

    def _run(
        self,
        snapshot: PipelineSnapshotResponse,
        environment: dict[str, str],
        run: PipelineRunResponse | None,
        run_steps: Callable[[], None],
    ) -> None:
        def linked() -> None:
            if run:
                link_runs(self.id, run)
            _with_original_exception(run_steps)

        token = _run_id.set((run and run.orchestrator_run_id) or str(uuid4()))
        try:
            # Pinned: `zenml stack set` during a run must not send its later steps to another store.
            with temporary_environment({**environment, ENV_ZENML_ACTIVE_STACK_ID: str(snapshot.stack.id)}):
                _inside_a_flow_run(snapshot.pipeline.name, linked)
        finally:
            _run_id.reset(token)

    def _run_static(self, snapshot: PipelineSnapshotResponse) -> None:
        self.run_init_hook(snapshot=snapshot)
        with setup_execution_context():
            futures = self._submit_all(snapshot)
            wait_for_all(futures)
        self.run_cleanup_hook(snapshot=snapshot)
        for future in futures:
            if future.state.is_failed() or future.state.is_crashed():
                future.result()

    def _submit_all(self, snapshot: PipelineSnapshotResponse) -> list[PrefectFuture[Any]]:
        futures: dict[str, PrefectFuture[Any]] = {}
        for name, step in snapshot.step_configurations.items():
            task = as_prefect_task(step, self._launcher(snapshot, step), inline=not step.config.step_operator)
            upstream = [futures[other] for other in step.spec.upstream_steps if other in futures]
            futures[name] = task.submit(wait_for=upstream, return_state=False)
        return list(futures.values())

    def _launcher(self, snapshot: PipelineSnapshotResponse, step: Step) -> Callable[[], StepRunResponse]:
        run_id = self.get_orchestrator_run_id()
        return lambda: launch_step(snapshot, step, run_id)

    def submit_isolated_step(self, step_run_info: Any, environment: dict[str, str]) -> None:
        """Start the step as a child process."""
        self._children.start(step_run_info, environment)

    def wait_for_isolated_step(self, step_run: StepRunResponse) -> ExecutionStatus:
        """Wait for the step's child process."""
        return self._children.wait(step_run)

    def get_isolated_step_status(self, step_run: StepRunResponse) -> ExecutionStatus:
        """Where the step's child process stands."""
        return self._children.status(step_run)

    def stop_isolated_step(self, step_run: StepRunResponse) -> None:
        """End the step's child process."""
        self._children.stop(step_run)


def _inside_a_flow_run(name: str, act: Callable[[], None]) -> None:
    if FlowRunContext.get():
        act()
    else:
        flow(name=name, persist_result=False)(act)()


def _with_original_exception(act: Callable[[], None]) -> None:
    try:
        act()
    except StepExecutionException as wrapped:
        # ZenML wraps the failure of a parallel step; callers tell errors apart by their own type.
        raise (wrapped.original_exception or wrapped) from wrapped


class PrefectOrchestratorFlavor(BaseOrchestratorFlavor):
    """Registers the orchestrator with ZenML under the name `prefect`."""

    @property
    def name(self) -> str:
        """Name in stack files."""
        return "prefect"

    @property
    def config_class(self) -> type[PrefectOrchestratorConfig]:
        """Its settings."""
        return PrefectOrchestratorConfig

    @property
    def implementation_class(self) -> type[PrefectOrchestrator]:
        """What runs the pipelines."""
        return PrefectOrchestrator
