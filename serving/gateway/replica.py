"""One predictor process of one revision: started, probed, restarted with growing pauses, drained."""

import http.client
import sys
from pathlib import Path

from serving.gateway.desired import ReplicaStatus, RevisionSpec
from serving.gateway.handover import ReplicaLeft
from serving.gateway.ports import free_port, free_ports
from serving.gateway.process import Child

_PAUSE_S, _MAX_PAUSE_S = 0.5, 15.0
_STEADY_S = 60.0  # after so long a run the next crash counts as the first
_PROBE_TIMEOUT_S = 0.5
_PROBE_EVERY_S = 1.0
_FORGET_S = 0.5  # Envoy's workers take a new configuration over within milliseconds of accepting it
_GRACE_S = 20.0


def runtime_command(
    module: str, revision: str, spec: RevisionSpec, *, port: int, predictions: Path
) -> list[str]:
    """How a predictor is started."""
    options = ["--bundle", str(spec.bundle), "--verify-key", str(spec.verify_key), "--revision", revision]
    place = ["--host", "127.0.0.1", "--port", str(port), "--log-dir", str(predictions)]
    told = [] if spec.settings is None else ["--settings", str(spec.settings)]
    return [sys.executable, "-m", module, *options, *place, *told]


def answers_ready(port: int) -> bool:
    """Whether the readiness probe says 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Replica:
    """A predictor and its history. Times are seconds of a monotonic clock that the caller passes in."""

    def __init__(
        self, module: str, revision: str, spec: RevisionSpec, *, predictions: Path, log: Path
    ) -> None:
        """Choose a port; starts nothing."""
        self.port = free_port()
        self.grpc_port: int | None = None
        self.ready = False
        self._module, self._revision, self._spec = module, revision, spec
        self._predictions, self._log = predictions, log
        self._child: Child | None = None
        self._restarts = 0
        self._failures_in_a_row = 0
        self._problem = ""
        self._started_at_s = 0.0
        self._start_again_at_s = 0.0
        self._probe_at_s = 0.0
        self._leaving_since_s: float | None = None
        self._terminated_at_s: float | None = None

    @property
    def leaving(self) -> bool:
        """It is being drained and gets no more requests."""
        return self._leaving_since_s is not None

    @property
    def gone(self) -> bool:
        """It was drained and its process has ended."""
        return self.leaving and (self._child is None or self._child.exit_code is not None)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._child.pid if self._child is not None and self._child.exit_code is None else None

    def status(self) -> ReplicaStatus:
        """What the status file says of it."""
        return ReplicaStatus(
            port=self.port,
            grpc_port=self.grpc_port,
            pid=self.pid,
            ready=self.ready,
            restarts=self._restarts,
            problem=self._problem,
        )

    def left(self) -> ReplicaLeft:
        """What the program that takes this one's place has to know."""
        return ReplicaLeft(
            port=self.port,
            grpc_port=self.grpc_port,
            pid=self._child.pid if self._child else None,
            log=self._log,
            spec=self._spec,
            ready=self.ready,
            restarts=self._restarts,
            failures_in_a_row=self._failures_in_a_row,
            problem=self._problem,
            started_at_s=self._started_at_s,
            start_again_at_s=self._start_again_at_s,
            leaving_since_s=self._leaving_since_s,
            terminated_at_s=self._terminated_at_s,
        )

    def resume(self, left: ReplicaLeft) -> None:
        """Go on with another program's process. One that died meanwhile shows at the next tick."""
        self.port, self.grpc_port, self.ready = left.port, left.grpc_port, left.ready
        self._child = None if left.pid is None else Child.adopt(left.pid, self._log)
        self._restarts, self._problem = left.restarts, left.problem
        self._failures_in_a_row = left.failures_in_a_row
        self._started_at_s, self._start_again_at_s = left.started_at_s, left.start_again_at_s
        self._leaving_since_s, self._terminated_at_s = left.leaving_since_s, left.terminated_at_s

    def leave(self, now_s: float) -> None:
        """Begin to drain: from now on no configuration names it."""
        if self._leaving_since_s is None:
            self._leaving_since_s = now_s
            self.ready = False

    def speak_grpc(self) -> None:
        """Choose two ports instead; before the first start."""
        self.port, self.grpc_port = free_ports(2)

    def tick(self, now_s: float, *, routed: bool) -> None:
        """Do what is due.

        Args:
            now_s: Monotonic clock, seconds.
            routed: Envoy may still send it requests.
        """
        if self._leaving_since_s is not None:
            self._drain(now_s, routed=routed)
            return
        if self._child is not None and self._child.exit_code is not None:
            self._crashed(now_s)
        if self._child is None and now_s >= self._start_again_at_s:
            self._start(now_s)
        if self._child is not None and now_s >= self._probe_at_s:
            self._probe(now_s)

    def end(self) -> None:
        """Ask the process to end now, whatever it does."""
        if self._child is not None:
            self._child.terminate()

    def wait(self, limit_s: float) -> None:
        """Wait for its end, and enforce it."""
        if self._child is not None and not self._child.wait(limit_s):
            self._child.kill()
            self._child.wait(limit_s)

    def _start(self, now_s: float) -> None:
        command = runtime_command(
            self._module, self._revision, self._spec, port=self.port, predictions=self._predictions
        )
        # Of each its own: it goes before the one that the settings may name.
        calls = [] if self.grpc_port is None else ["--grpc-port", str(self.grpc_port)]
        self._child = Child.start([*command, *calls], self._log)
        self._started_at_s = now_s
        self._probe_at_s = now_s

    def _crashed(self, now_s: float) -> None:
        assert self._child is not None  # noqa: S101 - the caller looked
        self._problem = f"exit code {self._child.exit_code}: {self._child.last_words()}"
        self._child = None
        self.ready = False
        steady = now_s - self._started_at_s >= _STEADY_S
        self._failures_in_a_row = 0 if steady else self._failures_in_a_row
        self._start_again_at_s = now_s + min(_MAX_PAUSE_S, _PAUSE_S * 2.0**self._failures_in_a_row)
        self._failures_in_a_row += 1
        self._restarts += 1

    def _probe(self, now_s: float) -> None:
        self.ready = answers_ready(self.port)
        self._probe_at_s = now_s + (_PROBE_EVERY_S if self.ready else 0.0)

    def _drain(self, now_s: float, *, routed: bool) -> None:
        if routed:
            self._leaving_since_s = now_s
        if self._child is None or self._child.exit_code is not None:
            return
        if self._terminated_at_s is None:
            if now_s - (self._leaving_since_s or now_s) >= _FORGET_S:
                self._child.terminate()
                self._terminated_at_s = now_s
        elif now_s - self._terminated_at_s >= _GRACE_S:
            self._child.kill()
