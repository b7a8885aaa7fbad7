"""Isolated steps (`@step(runtime="isolated")`, or one that asks for resources): a child process each."""

import os
import subprocess
import sys
from uuid import UUID

from zenml.config.step_run_info import StepRunInfo
from zenml.constants import ENV_ZENML_ACTIVE_STACK_ID
from zenml.enums import ExecutionStatus
from zenml.models import StepRunResponse
from zenml.orchestrators.utils import get_step_entrypoint_command
from zenml.step_operators.step_operator_entrypoint_configuration import StepOperatorEntrypointConfiguration
from zenml.utils import source_utils

from stacks.zenml_client import client


class ChildProcessEntrypoint(StepOperatorEntrypointConfiguration):
    """Entry point of a step in a child process on the same machine and source tree."""

    @classmethod
    def get_entrypoint_command(cls) -> list[str]:
        """This very Python: ZenML's `python` is whichever comes first on the path."""
        _python, *arguments = super().get_entrypoint_command()
        return [sys.executable, *arguments]

    def prepare_code_environment(self) -> None:
        """Nothing: ZenML's own makes and enters `/app`, which is for containers."""


class ChildProcesses:
    """The isolated steps that this process has started."""

    def __init__(self) -> None:
        """Begin with no process."""
        self._running: dict[UUID, subprocess.Popen[str]] = {}

    def start(self, info: StepRunInfo, environment: dict[str, str]) -> None:
        """Start the step's process, its output piped to us."""
        command, arguments = get_step_entrypoint_command(
            invocation_id=info.pipeline_step_name,
            config=info.config,
            entrypoint_config_class=ChildProcessEntrypoint,
            snapshot_id=info.snapshot.id,
            step_run_id=str(info.step_run_id),
        )
        root = source_utils.get_source_root()
        self._running[info.step_run_id] = subprocess.Popen(
            [*command, *arguments],
            env=_child_environment(info, environment, root),
            cwd=root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait(self, run: StepRunResponse) -> ExecutionStatus:
        """Pass the output on until the process ends; its end as ZenML's status."""
        process = self._running[run.id]
        try:
            for line in process.stdout or ():
                print(line.rstrip())  # noqa: T201 - `log_prints` makes it the task run's log
            exit_code = process.wait()
        except BaseException:
            process.terminate()  # a flow that is stopped leaves no child behind
            raise
        return ExecutionStatus.COMPLETED if exit_code == 0 else _failed_status(run)

    def status(self, run: StepRunResponse) -> ExecutionStatus:
        """Running, or what ZenML's store says of the finished step."""
        process = self._running.get(run.id)
        return ExecutionStatus.RUNNING if process and process.poll() is None else _stored_status(run)

    def stop(self, run: StepRunResponse) -> None:
        """Ask the step's process to end; nothing to do when it has."""
        if process := self._running.get(run.id):
            process.terminate()


def _child_environment(info: StepRunInfo, environment: dict[str, str], root: str) -> dict[str, str]:
    python_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    stack_id = str(info.snapshot.stack.id)
    return {**os.environ, **environment, ENV_ZENML_ACTIVE_STACK_ID: stack_id, "PYTHONPATH": python_path}


def _stored_status(run: StepRunResponse) -> ExecutionStatus:
    return client().get_run_step(run.id, hydrate=False).status


def _failed_status(run: StepRunResponse) -> ExecutionStatus:
    stored = _stored_status(run)
    known = stored.is_finished or stored == ExecutionStatus.RETRYING
    return stored if known else ExecutionStatus.FAILED
