"""Background programs of one home: started detached, recorded in `Home.run`, stoppable from any process."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock

import psutil

from modelway.contract import Frozen
from modelway.errors import NotReadyError, PortInUseError
from modelway.home import Home

LOOPBACK = "127.0.0.1"
_STOP_WAIT_S = 10.0
_POLL_S = 0.1


class Service(Frozen):
    """A background program that we started, as recorded on disk."""

    name: str
    pid: int
    created_at_s: float
    """The process's start time, seconds since the epoch: tells it from a later one with the same id."""
    url: str
    port: int

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return lives(self.pid, self.created_at_s)


def lives(pid: int, created_at_s: float) -> bool:
    """Whether the process that was started then still runs; a later one with the same id does not count."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created_at_s) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running(home: Home, name: str) -> Service | None:
    """The service as recorded, if its process lives."""
    service = recorded(home, name)
    return service if service and service.alive else None


def recorded(home: Home, name: str) -> Service | None:
    """The last record of the service, whether it lives or not."""
    try:
        return Service.model_validate_json((home.run / f"{name}.json").read_text())
    except (FileNotFoundError, ValueError):
        return None


def start(
    home: Home, name: str, command: Sequence[str], *, port: int, environment: Mapping[str, str]
) -> Service:
    """Start a program in its own session, its output in `Home.logs`, and record it.

    Returns at once: `wait_until_ready` waits. `environment` is added to ours.
    """
    home.logs.mkdir(parents=True, exist_ok=True)
    with (home.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    created_at_s = psutil.Process(process.pid).create_time()
    service = Service(
        name=name, pid=process.pid, created_at_s=created_at_s, url=f"http://{LOOPBACK}:{port}", port=port
    )
    _record(home, service)
    return service


def wait_until_ready(home: Home, service: Service, *, path: str, limit_s: float) -> None:
    """Wait until the service answers `path` with 200.

    Raises:
        NotReadyError: It ended, or did not answer in time; the message names its log.
    """
    deadline = time.monotonic() + limit_s
    while not answers(service.url + path):
        if not service.alive or time.monotonic() > deadline:
            what = "did not answer in time" if service.alive else "ended while it started"
            raise NotReadyError(
                f"{service.name} {what} ({limit_s:.0f} s allowed)",
                expected=f"200 from {service.url}{path}",
                remedy=f"read {home.logs / service.name}.log",
            )
        time.sleep(_POLL_S)


def stop(home: Home, *names: str) -> tuple[str, ...]:
    """End the services and all they started, all at once; the names of those that were running."""
    services = [service for name in names if (service := running(home, name))]
    for service in services:
        _signal_session(service, signal.SIGTERM)
    for service in services:
        _wait_for_end(service)
    return tuple(service.name for service in services)


def answers(url: str) -> bool:
    """Whether a GET of the address gives 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own http:// addresses
            return bool(response.status == 200)  # noqa: PLR2004 - HTTP's "OK"
    except (OSError, urllib.error.URLError):
        return False


def choose_port(home: Home, name: str, wanted: int | None = None) -> int:
    """The port asked for, else the service's last one if free, else one from the system.

    Raises:
        PortInUseError: The port asked for is taken.
    """
    if wanted is not None:
        if not _free(wanted):
            raise PortInUseError(
                f"port {wanted} on {LOOPBACK} is taken",
                expected="a free port",
                remedy="stop the program that listens there, or leave the port out to get a free one",
            )
        return wanted
    last = recorded(home, name)
    return last.port if last and _free(last.port) else port_from_system()


@contextmanager
def exclusively(home: Home, name: str) -> Iterator[None]:
    """Let one process at a time start or stop the service."""
    home.run.mkdir(parents=True, exist_ok=True)
    with (home.run / f"{name}.lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


def _record(home: Home, service: Service) -> None:
    home.run.mkdir(parents=True, exist_ok=True)
    path = home.run / f"{service.name}.json"
    finished = path.with_suffix(f".{os.getpid()}.tmp")
    finished.write_text(service.model_dump_json(indent=2))
    finished.replace(path)


def _signal_session(service: Service, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(service.pid, number)


def _wait_for_end(service: Service) -> None:
    with suppress(psutil.NoSuchProcess):
        try:
            psutil.Process(service.pid).wait(_STOP_WAIT_S)
        except psutil.TimeoutExpired:
            _signal_session(service, signal.SIGKILL)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def port_from_system() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
