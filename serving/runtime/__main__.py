"""`python -m serving.runtime`: serve one bundle, or a repository of them, until SIGTERM."""

import argparse
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from modelway.errors import ConfigError, ModelwayError
from serving.runtime.app import App
from serving.runtime.front import front_of
from serving.runtime.http1.wire import Http1
from serving.runtime.journal import journal
from serving.runtime.link import Report, WorkerLink
from serving.runtime.net.room import room_for
from serving.runtime.net.server import Server
from serving.runtime.net.turn import Turn
from serving.runtime.opening import Opening
from serving.runtime.port import listen
from serving.runtime.repository import REVISION, Folder, OneBundle, Repository
from serving.runtime.served import Served
from serving.runtime.settings import Settings, read_settings
from serving.runtime.tls import server_context
from serving.runtime.transport import Door
from serving.runtime.workers import Supervisor, worker_command

_IN_FLIGHT_WAIT_S = 10.0
_LONGEST_DRAIN_S = 3600.0
_SWITCH_INTERVAL_S = 0.0005
"""How long the log's thread may keep the interpreter from a request; Python's own 5 ms would show at p99."""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line.

    Raises:
        ConfigError: A value cannot be used.
    """
    parser = argparse.ArgumentParser(prog="python -m serving.runtime", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--bundle", type=Path, help="folder of a signed bundle")
    what.add_argument("--repository", type=Path, help="folder of <model>/<version>/, each a signed bundle")
    parser.add_argument(
        "--model-control", action="store_true", help="clients may load and unload: for those you trust"
    )
    parser.add_argument(
        "--verify-key", type=Path, required=True, help="PEM of the key that must have signed it"
    )
    parser.add_argument(
        "--revision",
        default="repository",
        help="name of the revision in answers, metrics and log; versions of a repository have theirs",
    )
    parser.add_argument(
        "--port", type=int, required=True, help="0 takes a free one; the first line of output says which"
    )
    parser.add_argument("--grpc-port", type=int, help="gRPC too; 0 takes a free one, as above")
    parser.add_argument("--host", default="127.0.0.1", help="loopback unless said otherwise")
    parser.add_argument("--log-dir", type=Path, help="folder of the prediction log; none is kept without it")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes behind the one port, one for each core"
    )
    parser.add_argument(
        "--drain-s", type=float, default=0.5, help="not ready, still answering, before the port closes"
    )
    parser.add_argument("--settings", type=Path, help="YAML file of limits, TLS, keys and the like")
    parser.add_argument("--inherited", type=_Inherited.parse, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    _check(options)
    return options


class _Inherited(NamedTuple):
    """What a worker gets from its supervisor: two descriptors and a process id."""

    listening: int
    line: int
    supervisor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The three numbers, colons between."""
        listening, line, supervisor = map(int, text.split(":"))
        return cls(listening, line, supervisor)


def _check(options: argparse.Namespace) -> None:
    if options.workers < 1:
        raise ConfigError(
            f"--workers {options.workers}", expected="1 or more processes", remedy="leave it out for one"
        )
    if not 0 <= options.drain_s <= _LONGEST_DRAIN_S:
        raise ConfigError(
            f"--drain-s {options.drain_s:g}",
            expected=f"seconds, 0 to {_LONGEST_DRAIN_S:g}",
            remedy="leave it out for half a second",
        )
    if options.workers > 1 and options.model_control:
        raise ConfigError(
            "--model-control with --workers",
            expected="one process: a request to load reaches one worker, and the others would not know",
            remedy="use --workers 1, or start the server again to change its models",
        )
    if options.bundle is not None and options.revision == "repository":
        raise ConfigError(
            "--bundle without --revision",
            expected="a name for this revision in answers, metrics and log",
            remedy="add --revision",
        )
    if not REVISION.fullmatch(options.revision):
        raise ConfigError(
            f"--revision {options.revision!r}",
            expected="letters, digits, dot, dash and underscore, at most 63",
            remedy="choose such a name; it becomes part of file names and labels",
        )
    for option, port in (("--port", options.port), ("--grpc-port", options.grpc_port or 0)):
        if not 0 <= port <= 65535:  # noqa: PLR2004 - what a port is
            raise ConfigError(f"{option} {port}", expected="0 to 65535", remedy="0 takes a free one")


def serve(options: argparse.Namespace) -> None:
    """Verify, load, warm up, serve; on SIGTERM drain and return.

    Raises:
        BundleRejectedError: The bundle does not hold, or its graph is not what it says.
        PortInUseError: The address is taken.
        StorageError: The prediction log cannot be written.
        ConfigError: The key is none.
    """
    stopped = _stop_signals()
    settings = _settings(options)
    sock, link = _place(options)
    server = Server(room_for(settings.limits.max_connections))
    repository, models = _models(options, settings, server.turn)
    app = App(models, settings, repository)
    app.sources.append(server.room)
    documents = None if link is None else link.documents(models[0].revision)
    door = front_of(app, settings, app.sources, documents, server.turn)
    tls = server_context(settings.tls, "http/1.1")
    server.listen(sock, partial(Http1, app, door), tls=tls, shared=link is not None)
    ports = _serve_grpc(server, app, door, settings, options.host)
    _settle()
    app.ready = True
    server.start()
    if link is None:
        journal("ready", **_identity(models), address=_address(sock, settings), **ports)
    else:
        identity = _identity(models)
        link.start(lambda: Report(app.ready, identity, app.families()))
    os.read(stopped, 1)
    _drain(app, server, options)
    if door is not None:
        door.close()


def _models(
    options: argparse.Namespace, settings: Settings, turn: Turn
) -> tuple[Repository, Sequence[Served]]:
    """Where models come from, and those that are there now."""
    opener = Opening(options.verify_key, settings, options.log_dir, turn)
    if options.repository is not None:
        repository = Repository(Folder(options.repository), opener, control=options.model_control)
        return repository, repository.begin()
    model = opener(options.bundle, options.revision)
    source = OneBundle(model.name, options.revision, options.bundle)
    repository = Repository(source, opener, control=options.model_control)
    repository.adopt([model])
    return repository, [model]


def _place(options: argparse.Namespace) -> tuple[socket.socket, WorkerLink | None]:
    """Where to listen, and the line to the supervisor where there is one."""
    if options.inherited is None:
        return listen(options.host, options.port), None
    given: _Inherited = options.inherited
    return socket.socket(fileno=given.listening), WorkerLink(given.line, given.supervisor)


def supervise(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Let several workers serve until SIGTERM; 0, or the exit code of a worker that could not start.

    Raises:
        PortInUseError: The address is taken.
        ConfigError: The settings are none, or not for several workers.
    """
    stopped, settings = _stop_signals(), _settings(options)
    if settings.grpc_port is not None:
        raise ConfigError("gRPC with --workers", expected="one process a gRPC port", remedy="use --workers 1")
    sock = listen(options.host, options.port)
    supervisor = Supervisor(worker_command(argv), sock, options.workers, drain_s=options.drain_s)
    return supervisor.run(stopped, _address(sock, settings))


def _serve_grpc(
    server: Server, app: App, door: Door | None, settings: Settings, host: str
) -> Mapping[str, int]:
    """A second port, if it is asked for; what the first line of output says of it."""
    if settings.grpc_port is None:
        return {}
    from serving.runtime.grpc.server import wiring  # noqa: PLC0415 - loaded only where it is asked for
    from serving.runtime.grpc.service import Service  # noqa: PLC0415 - as above

    sock = listen(host, settings.grpc_port)
    server.listen(sock, wiring(Service(app, door)), tls=server_context(settings.tls, "h2"))
    return {"grpc_port": sock.getsockname()[1]}


def _drain(app: App, server: Server, options: argparse.Namespace) -> None:
    journal("draining", revision=options.revision)
    app.ready = False
    time.sleep(options.drain_s)  # so that probes see it before connections are refused
    finished = server.stop(_IN_FLIGHT_WAIT_S)
    app.close()
    journal("stopped", revision=options.revision, in_flight_finished=finished, **app.totals())


def _settings(options: argparse.Namespace) -> Settings:
    settings = read_settings(options.settings) if options.settings else Settings()
    if options.grpc_port is None:
        return settings
    return settings.model_copy(update={"grpc_port": options.grpc_port})


def _stop_signals() -> int:
    """A descriptor that becomes readable with SIGTERM or SIGINT, whenever it comes, to whichever thread.

    An event that a handler sets would not do: handlers run on the main thread once that runs again,
    and a signal that comes just before it sleeps, or to a thread of a library, would not wake it.
    """
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    return readable


def _settle() -> None:
    """What was made so far stays: the collector need not look at it again during a request."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()


def _identity(models: Sequence[Served]) -> dict[str, str]:
    first = models[0]
    return {
        "model": first.name,
        "revision": first.revision,
        "digest": first.bundle.digest,
        "platform": first.model.platform,
        "why_this_platform": first.model.why,
    }


def _address(sock: socket.socket, settings: Settings) -> str:
    host, port = sock.getsockname()[:2]
    scheme = "http" if settings.tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve. Exit codes: 0 drained, 2 usage, 3 the bundle, the machine or the port said no."""
    try:
        options = parse(argv)
        if options.workers > 1 and options.inherited is None:
            return supervise(options, sys.argv[1:] if argv is None else argv)
        serve(options)
    except ModelwayError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the three lines for whoever started us
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
