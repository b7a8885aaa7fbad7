"""Start servers, check what they answer, and load them in turns."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from measuring.answers import check, check_grpc
from measuring.calls import Call
from measuring.load import Round, h2load, wrk
from measuring.servers import Server, free_port
from measuring.table import Row

Command = Callable[[int], list[str]]
"""Makes a server's command line, given its port."""


class Settings(NamedTuple):
    """How to measure."""

    folder: Path
    expected: float
    """The probability that every server must give."""
    seconds: int
    rounds: int
    connections: int
    cores: tuple[str | None, str | None]
    """For the servers and for the load."""


class Contender:
    """One server, one way of asking it, and what came of it."""

    def __init__(self, server: Server, call: Call, row: Row, *, grpc_port: int | None = None) -> None:
        """With a gRPC port it is asked there."""
        self.server, self.call, self.row = server, call, row
        self._grpc_port = grpc_port

    def check(self, expected: float) -> None:
        """Ask once; stop when the answer is wrong."""
        if self._grpc_port is None:
            check(self.server, self.call, expected)
        else:
            check_grpc(self.row.name, self._grpc_port, self.call, expected)

    def load(self, settings: Settings, seconds: int) -> tuple[Round, float]:
        """One round; and the CPU time a request, microseconds."""
        before_s = self.server.cpu_s()
        one = self._loaded(settings, seconds)
        return one, (self.server.cpu_s() - before_s) / one.requests * 1e6

    def _loaded(self, settings: Settings, seconds: int) -> Round:
        core, connections = settings.cores[1], settings.connections
        if self._grpc_port is None:
            return wrk(self.server.url, self.call, seconds=seconds, connections=connections, core=core)
        url = f"http://127.0.0.1:{self._grpc_port}"
        return h2load(url, self.call, seconds=seconds, connections=connections, core=core)


def start(
    stack: ExitStack, settings: Settings, name: str, command: Command, call: Call
) -> tuple[Server, float]:
    """A server that ends with `stack`, and the seconds until it answered `call`."""
    port = free_port()
    log = settings.folder / f"{name.replace(' ', '-').replace(',', '')}-{port}.log"
    server = Server(name, command(port), port, log, settings.cores[0])
    stack.callback(server.stop)
    return server, server.await_answer(call)


def in_turns(settings: Settings, contenders: Sequence[Contender]) -> None:
    """A second each to warm up, then a second each in turns, there and back, for as long as was asked for.

    Neighbours in the list stand side by side in each turn: what is compared with what belongs there.
    """
    for one in contenders:
        one.load(settings, 1)
    for turn in range(settings.rounds * settings.seconds):
        for one in contenders if turn % 2 == 0 else reversed(contenders):
            found, cpu_us = one.load(settings, 1)
            one.row.rounds.append(found)
            one.row.cpu_us.append(cpu_us)
    for one in contenders:
        one.row.memory_mb = one.server.memory_mb()
