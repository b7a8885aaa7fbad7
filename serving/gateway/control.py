"""Start, find and stop the supervisor of one root from another process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from modelway.errors import (
    InfrastructureError,
    NotReadyError,
    NotRunningError,
    PortInUseError,
    TransitionError,
)
from serving.gateway.desired import Layout, Status
from serving.gateway.files import is_held
from serving.gateway.ports import require_free

_Answer = TypeVar("_Answer")
_POLL_S = 0.05
_STOP_LIMIT_S = 60.0


class Gateway:
    """A handle on the supervisor, be it alive or not."""

    def __init__(self, root: Path, *, runtime: str) -> None:
        """Name the folder; starts and creates nothing."""
        self.layout = Layout(root)
        self._runtime = runtime

    @property
    def running(self) -> bool:
        """A supervisor is alive for this root: it holds the lock, which dies with it."""
        return is_held(self.layout.lock)

    def status(self) -> Status | None:
        """What the supervisor says; None while none is alive or it has said nothing yet."""
        status = self.layout.read_status() if self.running else None
        return status if status is not None and _exists(status.pid) else None

    def require(self) -> Status:
        """What the supervisor says.

        Raises:
            NotRunningError: None is alive.
        """
        status = self.status()
        if status is None:
            raise NotRunningError(
                f"no gateway runs for {self.layout.root}",
                expected="a running supervisor",
                remedy="start one with `modelway serve NAME --detach`",
            )
        return status

    def start(self, *, port: int | None = None, limit_s: float = 60.0) -> Status:
        """Start the supervisor in a session of its own, unless one is alive, and wait until it listens.

        Raises:
            PortInUseError: Somebody else listens on `port`, or the gateway that runs has another.
            NotReadyError: It did not come up within `limit_s`.
            InfrastructureError: It ended at once.
        """
        if not self.running:
            if port is not None:
                require_free(port)
            self._launch(port, limit_s)
        status = self.until(self._listening, limit_s, "the gateway")
        if port is not None and status.port != port:
            raise PortInUseError(
                f"the gateway already runs on port {status.port}",
                expected=f"port {port}",
                remedy="stop it first, or leave the port out",
            )
        return status

    def revive(self) -> Status | None:
        """The status; a supervisor that was killed - it left its status file behind - is started again."""
        if not self.running and self.layout.status.exists():
            self.start()
        return self.status()

    def stop(self, *, limit_s: float = _STOP_LIMIT_S) -> None:
        """Drain and stop the gateway and its predictors. Harmless when none runs.

        Raises:
            NotReadyError: It was still there after `limit_s`.
        """
        status = self.status()
        if status is None:
            self.layout.status.unlink(missing_ok=True)  # whoever left it is dead: not to be revived
            return
        with suppress(ProcessLookupError):
            os.kill(status.pid, signal.SIGTERM)
        self.until(lambda: None if self.running else True, limit_s, "the gateway's end")

    def restart(self, *, limit_s: float = 30.0) -> Status:
        """Put the supervisor's program that is installed now in its place; no request notices.

        Raises:
            NotRunningError: None is alive, or it ended over it.
            TransitionError: The one that runs cannot, or did not want to.
            NotReadyError: Nothing came of it within `limit_s`.
        """
        before = self.require()
        if before.restarts_asked is None:
            raise TransitionError(
                "the gateway that runs is of a version that cannot be restarted in place",
                expected="a supervisor that counts its restarts",
                remedy="stop it and serve again",
            )
        with suppress(ProcessLookupError):
            os.kill(before.pid, signal.SIGHUP)
        self.until(lambda: self._restart_over(before), limit_s, "the gateway's restart")
        after = self.require()
        if after.restart_refused:
            raise TransitionError(
                f"the gateway goes on as it was: {after.restart_refused}",
                expected="a new program that starts",
                remedy=f"see {self.layout.logs / 'gateway.log'}",
            )
        return after

    def _restart_over(self, before: Status) -> bool | None:
        """Whether a restart was done, refused, or the end of it."""
        status = self.status()
        if status is None:
            return None if self.running else True
        return True if status.restarts_asked != before.restarts_asked else None

    def until(self, question: Callable[[], _Answer | None], limit_s: float, what: str) -> _Answer:
        """Ask until there is an answer.

        Raises:
            NotReadyError: There was none within `limit_s`; the message says what the replicas complain of.
        """
        deadline = time.monotonic() + limit_s
        while (answer := question()) is None:
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"waited {limit_s:g} s in vain for {what}{self._complaints()}",
                    expected="ready by then",
                    remedy=f"see the logs in {self.layout.logs}",
                )
            time.sleep(_POLL_S)
        return answer

    def _launch(self, port: int | None, limit_s: float) -> None:
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        log = self.layout.logs / "gateway.log"
        command = [sys.executable, "-m", "serving.gateway", "--root", str(self.layout.root)]
        command += ["--runtime", self._runtime, *(["--port", str(port)] if port is not None else [])]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

        def up_or_over() -> bool | None:
            return True if self._listening() or process.poll() is not None else None

        self.until(up_or_over, limit_s, "the gateway")
        if not self.running:
            raise InfrastructureError(
                f"the gateway ended at once with exit code {process.returncode}",
                expected="a running gateway",
                remedy=f"see {log}",
            )

    def _listening(self) -> Status | None:
        status = self.status()
        return status if status is not None and status.gateway_ready else None

    def _complaints(self) -> str:
        status = self.status()
        replicas = [each for fleet in status.revisions.values() for each in fleet.replicas] if status else []
        said = [*(each.problem for each in replicas), status.problem if status else ""]
        return "".join(f"; {text}" for text in said if text)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
