"""The flavor leans on names that ZenML 0.98 and Prefect 3 do not promise. A release that moves one fails."""

import inspect

import pytest
import zenml
from prefect import Flow
from prefect.flow_engine import BaseFlowRunEngine
from prefect.logging.handlers import APILogHandler
from zenml.config.global_config import GlobalConfiguration
from zenml.execution.pipeline.dynamic import compilation
from zenml.execution.pipeline.dynamic.runner import DynamicPipelineRunner
from zenml.execution.step import utils as step_utils
from zenml.orchestrators import BaseOrchestrator, BaseOrchestratorConfig
from zenml.step_operators.step_operator_entrypoint_configuration import StepOperatorEntrypointConfiguration
from zenml.utils import source_utils, yaml_utils
from zenml.utils.filesync_model import FileSyncModel


def parameters(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_zenml_is_the_version_that_the_flavor_was_written_against():
    assert zenml.__version__ == "0.98.0"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (DynamicPipelineRunner._run_sync_step, ["step", "remaining_retries"]),
        (DynamicPipelineRunner._queue_concurrent_isolated_step, ["step"]),
        (DynamicPipelineRunner._queue_concurrent_inline_step, ["step", "remaining_retries"]),
        (DynamicPipelineRunner._build_child_runner, ["child_run"]),
        (
            DynamicPipelineRunner.__init__,
            ["snapshot", "run", "orchestrator", "pause_coordinator", "parent_runner"],
        ),
        (DynamicPipelineRunner.run_pipeline, []),
        (
            step_utils.launch_step,
            ["snapshot", "step", "orchestrator_run_id", "retry", "remaining_retries", "wait"],
        ),
        (
            compilation.get_step_runtime,
            ["step_config", "pipeline_docker_settings", "orchestrator"],
        ),
        (
            BaseOrchestrator.submit_pipeline,
            ["snapshot", "stack", "base_environment", "step_environments", "placeholder_run"],
        ),
        (BaseOrchestrator.submit_dynamic_pipeline, ["snapshot", "stack", "environment", "placeholder_run"]),
        (BaseOrchestrator.submit_isolated_step, ["step_run_info", "environment"]),
        (BaseOrchestrator.wait_for_isolated_step, ["step_run"]),
        (StepOperatorEntrypointConfiguration.prepare_code_environment, []),
        (yaml_utils.write_yaml, ["file_path", "contents", "sort_keys"]),
        (Flow.validate_parameters, ["parameters"]),
    ],
    ids=lambda value: value.__qualname__ if callable(value) else "",
)
def test_what_we_override_or_call_takes_these_parameters(function, expected: list[str]):
    assert parameters(function) == expected


def test_the_runner_takes_its_launcher_from_its_own_methods():
    """Both ways to start a step end in the method that we override."""
    launch = inspect.getsource(DynamicPipelineRunner.launch_step)
    queue = inspect.getsource(DynamicPipelineRunner._queue_concurrent_inline_step)

    assert "self._run_sync_step(" in launch
    assert "self._run_sync_step(" in queue


@pytest.mark.parametrize("name", ["handles_step_retries", "supports_client_side_caching", "is_synchronous"])
def test_the_orchestrator_configuration_still_asks(name: str):
    assert isinstance(getattr(BaseOrchestratorConfig, name), property)


@pytest.mark.parametrize("writer", [GlobalConfiguration._write_config, FileSyncModel.write_config])
def test_both_configuration_files_are_written_by_the_function_that_we_replace(writer):
    assert "yaml_utils.write_yaml(" in inspect.getsource(writer)


def test_the_source_root_comes_from_the_environment():
    assert "ENV_ZENML_CUSTOM_SOURCE_ROOT" in inspect.getsource(source_utils)


def test_prefect_still_has_the_hooks_that_the_benchmark_and_the_console_use():
    assert isinstance(BaseFlowRunEngine.heartbeat_seconds, property)
    assert callable(APILogHandler.flush)
