"""Put a new program in the supervisor's place without a gap: exec keeps the process, and so its children.

The kernel sends a child its death signal when the *thread* that started it ends. An exec from the main
thread does not end it. The lock's file descriptor is inherited, and a lock on it was never let go. Signals
are blocked meanwhile and reach the new program. Whatever dies on the way dies as any supervisor does: the
kernel ends its children, and nobody believes the file that it left.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

from modelway.errors import StorageError
from serving.gateway.desired import Layout
from serving.gateway.files import Holder, put
from serving.gateway.supervisor import Supervisor

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_TRIAL_LIMIT_S = 15.0


def replace_program(
    supervisor: Supervisor, layout: Layout, holder: Holder, module: str, stopping: Callable[[], bool]
) -> str:
    """Become the program that is installed now.

    Args:
        supervisor: Whose children are handed over.
        layout: Where the handover is written.
        holder: Of the supervisor's lock.
        module: The predictors' module, as before.
        stopping: Whether somebody asked for the end meanwhile; then nothing is replaced.

    Returns:
        Why this is still the old program.
    """
    command = [sys.executable, "-m", "serving.gateway", "--root", str(layout.root), "--runtime", module]
    try:
        put(layout.handover, supervisor.left().model_dump_json(indent=2))
        return _fault_of([*command, "--check"]) or _exec(command, holder, stopping)
    except StorageError as error:
        return error.found
    finally:
        layout.handover.unlink(missing_ok=True)


def _fault_of(trial: list[str]) -> str:
    """What keeps the new program from starting: it is asked before the old one is given up."""
    try:
        done = subprocess.run(trial, capture_output=True, timeout=_TRIAL_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the new program cannot be tried: {error}"
    if done.returncode == 0:
        return ""
    lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return f"the new program does not start: {lines[-1][:300]}"


def _exec(command: list[str], holder: Holder, stopping: Callable[[], bool]) -> str:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        if stopping():
            return "the gateway is being stopped"
        with holder.shared() as handle:
            os.execv(command[0], [*command, "--resume", str(handle)])  # noqa: S606 - a list, no shell
    except OSError as error:
        return f"the new program cannot be executed: {error}"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
