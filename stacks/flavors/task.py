"""A ZenML step run as a Prefect task run: same name, Prefect's retries, cache hits shown as *Cached*."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from zenml.config.retry_config import StepRetryConfig
from zenml.config.step_configurations import Step
from zenml.enums import ExecutionStatus
from zenml.models import StepRunResponse

# ZenML's MLflow tracker resets the process-wide tracking address after each step, so that two tracked
# steps must not share a process at the same time.
_one_tracked_step = threading.Lock()


def as_prefect_task(step: Step, launch: Callable[[], StepRunResponse], *, inline: bool) -> Task[[], Any]:
    """The Prefect task that launches one ZenML step.

    Args:
        step: The compiled step; its `retry` configuration becomes the task's. ZenML's store allows a second
            attempt only where the step says so, and Prefect is who makes it.
        launch: Runs one attempt and returns ZenML's record of it.
        inline: The step runs in this process.
    """
    tracked = inline and bool(step.config.experiment_tracker)

    # No tags: each tag costs a concurrency call, and on SQLite a 503 and two seconds of back-off.
    @task(
        name=step.config.name,
        task_run_name=step.spec.invocation_id,
        log_prints=True,
        persist_result=False,
        cache_policy=NO_CACHE,
        **_retries(step.config.retry),
    )
    def zenml_step() -> Any:
        with _one_tracked_step if tracked else nullcontext():
            return _finished(launch())

    return zenml_step


def _retries(retry: StepRetryConfig | None) -> dict[str, Any]:
    if not retry or not retry.max_retries:
        return {"retries": 0}
    delays = [retry.delay * retry.backoff**attempt for attempt in range(retry.max_retries)]
    return {"retries": retry.max_retries, "retry_delay_seconds": delays}


def _finished(run: StepRunResponse) -> Any:
    name = "Cached" if run.status == ExecutionStatus.CACHED else "Completed"
    return Completed(name=name, message=f"ZenML step run {run.id}")
