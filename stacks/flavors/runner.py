"""Runs a dynamic ZenML pipeline so that each step, also a parallel or an isolated one, is a Prefect task run.

This is the module that overrides private names of ZenML 0.98; `tests/integration/bridge` names each.
"""

from typing import Any

from prefect.client.schemas.objects import State
from zenml.config.step_configurations import Step
from zenml.enums import StepRuntime
from zenml.execution.pipeline.dynamic.compilation import get_step_runtime
from zenml.execution.pipeline.dynamic.runner import DynamicPipelineRunner
from zenml.execution.step.utils import launch_step
from zenml.models import PipelineRunResponse, StepRunResponse

from stacks.flavors.link import link_runs
from stacks.flavors.task import as_prefect_task


class PrefectDynamicRunner(DynamicPipelineRunner):
    """ZenML's runner with the launch of a step wrapped into a Prefect task."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ZenML's own, with a place for the states of finished tasks."""
        super().__init__(*args, **kwargs)
        self._finished_tasks: dict[str, State[Any]] = {}

    def _run_sync_step(self, step: Step, remaining_retries: int | None = None) -> StepRunResponse:  # noqa: ARG002 - Prefect counts the attempts
        attempts: list[StepRunResponse] = []

        def launch() -> StepRunResponse:
            attempts.append(launch_step(self.snapshot, step, self.orchestrator_run_id, retry=False))
            return attempts[-1]

        task = as_prefect_task(step, launch, inline=self._runs_inline(step))
        state = task(return_state=True, wait_for=self._upstream(step))
        self._finished_tasks[step.spec.invocation_id] = state
        state.result()  # raises the step's own exception
        return attempts[-1]

    def _runs_inline(self, step: Step) -> bool:
        settings = self.snapshot.pipeline_configuration.docker_settings
        runtime, _ = get_step_runtime(step.config, settings, self.orchestrator)
        return bool(runtime == StepRuntime.INLINE)

    def _upstream(self, step: Step) -> list[State[Any]]:
        return [
            self._finished_tasks[name] for name in step.spec.upstream_steps if name in self._finished_tasks
        ]

    def _queue_concurrent_isolated_step(self, step: Step) -> Any:
        # A worker thread waits inside a Prefect task; ZenML's own loop looks only every ten seconds.
        return self._queue_concurrent_inline_step(step)

    def _build_child_runner(self, child_run: PipelineRunResponse) -> "PrefectDynamicRunner":
        link_runs(self.orchestrator.id, child_run)
        return PrefectDynamicRunner(
            snapshot=child_run.snapshot,
            run=child_run,
            orchestrator=self.orchestrator,
            pause_coordinator=self._pause_coordinator,
            parent_runner=self,
        )
