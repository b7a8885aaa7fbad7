"""The pages people look at: Prefect's, MLflow's for the active stack, and our reports. All on loopback."""

import sys
from collections.abc import Callable, Iterator

from modelway.contract import Frozen
from modelway.home import Home
from stacks import processes
from stacks.prefect_server import NAME as PREFECT
from stacks.prefect_server import start_server
from stacks.processes import LOOPBACK, Service

REPORTS = "reports"
MLFLOW = "mlflow-"
"""Each stack has its own experiments, so its own page: the name goes on with the stack's."""

_NO_JOBS = "false"
"""MLflow's page starts nine processes for background jobs that nothing of ours asks for."""

_LIMIT_S = 120.0
"""Fresh databases on a busy machine; each takes 15 s on two idle cores."""


class Page(Frozen):
    """One address, and who serves it."""

    title: str
    service: Service
    health_path: str
    started: bool
    """Whether this call started it, or it ran already."""

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return self.service.url


def start_pages(home: Home, *, prefect_port: int | None = None) -> tuple[Page, ...]:
    """Start the pages that do not run yet; returns at once, `wait_for_pages` waits.

    Raises:
        PortInUseError: The port asked for is taken.
    """
    from stacks import active  # noqa: PLC0415 - ZenML, seconds; stopping pages does without

    stack, tracking_uri = active.stack_name(), active.tracking_uri()
    return (
        _page(home, "Prefect", PREFECT, "/api/health", lambda: start_server(home, port=prefect_port)),
        _page(
            home,
            f"MLflow ({stack})",
            f"{MLFLOW}{stack}",
            "/health",
            lambda: _start_mlflow(home, stack, tracking_uri),
        ),
        _page(home, "Reports", REPORTS, "/", lambda: _start_reports(home)),
    )


def wait_for_pages(home: Home, pages: tuple[Page, ...]) -> None:
    """Wait until each page answers.

    Raises:
        NotReadyError: One did not; the message names its log.
    """
    for page in pages:
        processes.wait_until_ready(home, page.service, path=page.health_path, limit_s=_LIMIT_S)


def stop_pages(home: Home, names: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Stop the named services, or every page of the home; the names of those that ran."""
    return processes.stop(home, *(names or _known(home)))


def _known(home: Home) -> tuple[str, ...]:
    return (PREFECT, REPORTS, *_mlflow_names(home))


def _mlflow_names(home: Home) -> Iterator[str]:
    return (path.stem for path in sorted(home.run.glob(f"{MLFLOW}*.json")))


def _page(home: Home, title: str, name: str, health_path: str, start: Callable[[], Service]) -> Page:
    running = processes.running(home, name)
    return Page(title=title, service=running or start(), health_path=health_path, started=not running)


def _start_mlflow(home: Home, stack: str, tracking_uri: str) -> Service:
    name = f"{MLFLOW}{stack}"
    port = processes.choose_port(home, name)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri]
    where = ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    environment = {**home.exports(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": _NO_JOBS}
    return processes.start(home, name, command + where, port=port, environment=environment)


def _start_reports(home: Home) -> Service:
    home.reports.mkdir(parents=True, exist_ok=True)
    port = processes.choose_port(home, REPORTS)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", LOOPBACK]
    return processes.start(
        home, REPORTS, [*command, "--directory", str(home.reports)], port=port, environment={}
    )
