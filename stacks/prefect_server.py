"""The home's one Prefect server: started when needed, found again by every later process."""

import sys
from collections.abc import Mapping

from modelway.home import Home
from stacks import processes
from stacks.processes import LOOPBACK, Service

NAME = "prefect"
_FRESH_DATABASE_LIMIT_S = 120.0
"""A new database takes 15 s on two idle cores."""


def ensure_server(home: Home, *, port: int | None = None) -> str:
    """The API address of the home's Prefect server, started if it is not running, and answering.

    Raises:
        PortInUseError: The port asked for is taken.
        NotReadyError: The server did not come up.
    """
    service = start_server(home, port=port)
    processes.wait_until_ready(home, service, path="/api/health", limit_s=_FRESH_DATABASE_LIMIT_S)
    return api_url(service)


def start_server(home: Home, *, port: int | None = None) -> Service:
    """Start the server and return at once; the running one if there is one."""
    with processes.exclusively(home, NAME):
        return processes.running(home, NAME) or _start(home, port)


def running_server(home: Home) -> Service | None:
    """The home's server, if its process lives."""
    return processes.running(home, NAME)


def stop_server(home: Home) -> bool:
    """End the server. False when it was not running."""
    with processes.exclusively(home, NAME):
        return bool(processes.stop(home, NAME))


def api_url(service: Service) -> str:
    """What `PREFECT_API_URL` has to be."""
    return f"{service.url}/api"


def _start(home: Home, wanted_port: int | None) -> Service:
    port = processes.choose_port(home, NAME, wanted_port)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)]
    return processes.start(home, NAME, command, port=port, environment=_environment(home, port))


def _environment(home: Home, port: int) -> Mapping[str, str]:
    address = f"http://{LOOPBACK}:{port}/api"
    # Without the second one the page asks port 4200 and shows "Oops. Something went wrong.".
    return {**home.exports(), "PREFECT_API_URL": address, "PREFECT_SERVER_UI_API_URL": address}
