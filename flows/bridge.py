"""`@ml_flow`: one function that is a Prefect flow and the list of steps of one ZenML run.

    @ml_flow(name="training")
    def training_flow(config: TrainingConfig) -> None:
        snapshot = ingest_data(config.use_case, config.source)      # ZenML steps, plain Python around them
        ...

    run = training_flow(TrainingConfig(...))                        # ZenML's record of the run
    verdict = output(run, "gate_verdict")                           # an artifact of it, by name

Called inside another `ml_flow`, the flow is a Prefect subflow and a child run, and returns what its function
returns, so that the next step can take it.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from prefect import Flow
from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_API_URL, temporary_settings
from zenml import pipeline
from zenml.execution.pipeline.dynamic.run_context import DynamicPipelineRunContext
from zenml.models import PipelineRunResponse

from modelway.errors import ConfigError, NotFoundError, NotRunningError
from modelway.home import Home
from stacks.apply import ensure_active_stack
from stacks.environment import activate_home
from stacks.flavors.console import unify_logs
from stacks.flavors.link import bury_dead_runs, stop_zenml_runs
from stacks.prefect_server import ensure_server

PIPELINE_SUFFIX = "_pipeline"


class MlFlow(Flow[..., Any]):
    """A Prefect flow whose body is one ZenML run on the active stack."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here and now, on this home's Prefect server, which is started where none is known.

        Raises:
            NotRunningError: `PREFECT_API_URL` names a server that does not answer.
        """
        unify_logs()
        url = PREFECT_API_URL.value() or ensure_server(activate_home())
        with temporary_settings({PREFECT_API_URL: url}), _server_errors_are_ours(url):
            return super().__call__(*args, **kwargs)

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Cast the parameters to the function's annotations.

        Raises:
            ConfigError: They do not fit; the message names each key.
        """
        try:
            return super().validate_parameters(parameters)
        except ParameterTypeError as error:
            raise ConfigError(
                f"the parameters of flow `{self.name}` do not fit: {error}",
                expected=f"the parameters of `{self.fn.__module__}.{self.fn.__name__}`",
                remedy="correct the deployment's parameters in prefect.yaml or the call",
            ) from error


def ml_flow(*, name: str, **flow_options: Any) -> Callable[[Callable[..., Any]], MlFlow]:
    """Make a function of ZenML steps a Prefect flow.

    Args:
        name: Of the flow and of the ZenML pipeline.
        flow_options: More of Prefect's flow options, `timeout_seconds` for example.
    """
    hooks = {"on_cancellation": [stop_zenml_runs], "on_crashed": [stop_zenml_runs]}
    options = {"log_prints": True, "persist_result": False, **hooks, **flow_options}

    def decorate(body: Callable[..., Any]) -> MlFlow:
        return MlFlow(_runs_pipeline(_as_pipeline(name, body), body), name=name, **options)

    return decorate


def output(run: PipelineRunResponse, name: str) -> Any:
    """Load an artifact that a step of the run has made; the newest where several steps made one.

    Raises:
        NotFoundError: The run has no artifact of that name.
    """
    found: dict[str, Any] = {}
    for step in sorted(run.steps.values(), key=lambda step: step.created):
        for key, versions in step.outputs.items():
            found[key] = versions[-1]
    if name not in found:
        raise NotFoundError(
            f"run {run.name} has no artifact `{name}`",
            expected=f"one of {', '.join(sorted(found)) or 'none: no step has finished'}",
        )
    return found[name].load()


@contextmanager
def _server_errors_are_ours(url: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        raise NotRunningError(
            f"no Prefect server answers at {url}",
            expected="the server that PREFECT_API_URL names",
            remedy="modelway ui --detach, or unset PREFECT_API_URL to have one started",
        ) from error


def _as_pipeline(name: str, body: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(body)
    def entrypoint(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    # ZenML finds a dynamic pipeline again by module and name, and the function's own name is the flow's.
    entrypoint.__name__ = entrypoint.__qualname__ = f"{body.__name__}{PIPELINE_SUFFIX}"
    made = pipeline(dynamic=True, name=name)(entrypoint)
    setattr(sys.modules[body.__module__], entrypoint.__name__, made)
    return cast("Callable[..., Any]", made)


def _runs_pipeline(made: Callable[..., Any], body: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(body)
    def run_on_active_stack(*args: Any, **kwargs: Any) -> Any:
        unify_logs()
        if not DynamicPipelineRunContext.is_active():
            ensure_active_stack(Home.current())
            bury_dead_runs()
        return made(*args, **kwargs)

    return run_on_active_stack
