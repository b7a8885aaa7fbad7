"""How fast does the model server answer? Ours, its peers, and servers that do nothing, in one run.

The same gradient-boosted trees (scikit-learn -> ONNX), one row a request, one worker on the same core for
every server and another core for the load; a second each in turns, there and back, so that a busy moment
hits neighbours alike, and the median of many seconds decides.
Every server must first give what ONNX Runtime gives. CPU time a request is that of all of a server's
processes, read from the kernel: it barely notices what else the machine does.

`python benchmarks/serving.py [--quick] [--peers kserve,mosec] [--soak 600] [--json FILE]` exits 1 when a
promise is broken.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from measuring import contenders as who
from measuring.calls import Call, binary, grpc, matrix, named, nothing
from measuring.cores import cores
from measuring.gateway import CONNECTIONS, RATE_RPS, gateway, overhead
from measuring.graph import bundle_of, expected_probability, train
from measuring.latency import Soak, calm_tail, side_by_side, soak, stood_still, tail
from measuring.load import require_tools
from measuring.paced import Pace
from measuring.servers import Server, free_port
from measuring.stage import Contender, Settings, in_turns, start
from measuring.table import (
    Bound,
    Row,
    cpu_ratio,
    exit_code,
    machine,
    print_bounds,
    print_rows,
    ratio,
    write_json,
)

LEAST_OF_NOOP, LEAST_BINARY, LEAST_GRPC = 0.5, 1.0, 3.0
MOST_TAIL, MOST_ADDED_MS, MOST_READY_S, MOST_MIB = 3.0, 0.2, 1.5, 200.0
MOST_GROWTH = 0.02
HALF, SOAK_SHARE, STARTS = 0.5, 0.7, 3


class Benchmark:
    """One run: rows, promises and notes gather as it goes."""

    def __init__(self, settings: Settings, bundle: tuple[Path, Path], model: Path) -> None:
        """Measures nothing yet."""
        self.settings, self._bundle, self._model = settings, bundle, model
        self.rows: list[Row] = []
        self.bounds: list[Bound] = []
        self.notes: dict[str, Any] = {}

    def begin(self, stack: ExitStack) -> Server:
        """Start ours some times over, to see how long it takes; the last one stays."""
        command = partial(who.ours, self._bundle)
        ready_s = []
        for at in range(STARTS):
            with ExitStack() as short:
                server, took_s = start(short, self.settings, "Modelway", command, matrix())
                ready_s.append(took_s)
                if at == STARTS - 1:
                    stack.push(short.pop_all())
        self.notes["ready_s"] = ready_s
        self._at_most("ready after its start", median(ready_s), MOST_READY_S, "s")
        return server

    def own(self, server: Server) -> float:
        """Ours in its ways next to servers that do nothing. Returns its saturation, requests a second."""
        with ExitStack() as stack:
            log = ["--log-dir", str(self.settings.folder / "log")]
            logged, _ = start(
                stack, self.settings, "logged", lambda port: who.ours(self._bundle, port, *log), matrix()
            )
            plain = self._contender(server, matrix(), "Modelway, matrix")
            limit = self._noop(stack, "noop", "our transport doing nothing")
            others = [
                limit,
                self._noop(stack, "granian", "Granian doing nothing, asyncio"),
                self._contender(server, named(), "Modelway, named columns"),
                self._contender(logged, matrix(), "Modelway, prediction log"),
            ]
            packed = self._binary(server)
            self._measure([*packed, plain, *others])
        self._judge_own(plain, limit, packed)
        return plain.row.rate_rps

    def _judge_own(self, plain: Contender, limit: Contender, packed: Sequence[Contender]) -> None:
        self._at_least("share of our transport doing nothing", ratio(plain.row, limit.row), LEAST_OF_NOOP)
        found = ratio(packed[0].row, plain.row) if packed else None
        self._at_least("V2 binary to V2 JSON", found, LEAST_BINARY, "" if packed else "not served yet")
        self._at_most("memory under load", plain.row.memory_mb, MOST_MIB, "MiB")

    def peer(self, server: Server, peer: who.Peer) -> None:
        """Ours and one peer in turns; the peer runs no longer than that."""
        with ExitStack() as stack:
            command = partial(self._peer_command, peer)
            other, ready_s = start(stack, self.settings, peer.key, command, peer.call)
            theirs = self._contender(other, peer.call, peer.title, peer.speaks, ready_s)
            ours = self._contender(server, matrix(), "Modelway, matrix")
            self._measure([ours, theirs], keep=[theirs])
        if peer.least_ratio is not None:
            note = cpu_ratio(ours.row, theirs.row)
            self._at_least(f"to {peer.title}", ratio(ours.row, theirs.row), peer.least_ratio, note)

    def grpc(self) -> None:
        """Ours and KServe's SDK over gRPC."""
        with ExitStack() as stack:
            port = free_port()
            peer = who.kserve_grpc(port)
            other, ready_s = start(
                stack, self.settings, peer.key, partial(self._peer_command, peer), matrix()
            )
            other.await_port(port)
            theirs = Contender(other, grpc(), self._row(peer.title, peer.speaks, ready_s), grpc_port=port)
            ours = self._own_grpc(stack) if who.serves_grpc() else []
            self._measure([*ours, theirs])
        found = ratio(ours[0].row, theirs.row) if ours else None
        note = cpu_ratio(ours[0].row, theirs.row) if ours else "not served yet"
        self._at_least("gRPC to KServe's", found, LEAST_GRPC, note)

    def _own_grpc(self, stack: ExitStack) -> list[Contender]:
        port = free_port()
        options = ("--grpc-port", str(port))
        server, ready_s = start(
            stack, self.settings, "grpc", lambda http: who.ours(self._bundle, http, *options), matrix()
        )
        server.await_port(port)
        row = self._row("Modelway, gRPC", "gRPC", ready_s)
        return [Contender(server, grpc(), row, grpc_port=port)]

    def latency(self, server: Server, saturation_rps: float) -> None:
        """The tail at half of saturation; a server that does nothing shows what the machine adds."""
        pace = self._pace(HALF * saturation_rps)
        with ExitStack() as stack:
            limit = self._noop(stack, "noop", "").server
            pair = [(server, matrix()), (limit, nothing())]
            ours, idle = side_by_side(pair, pace, self.settings.rounds)
        self.notes["half_of_saturation"] = {
            "modelway": [vars(one) for one in ours],
            "doing_nothing": [vars(one) for one in idle],
        }
        name = "p99 to p50 at half of saturation"
        note = (
            f"in the median tenth of a second {calm_tail(ours):.1f} x; doing nothing {tail(idle):.1f} x; "
            f"the client's core stood still {stood_still([*ours, *idle]):.1%} of the time"
        )
        self._at_most(name, tail(ours), MOST_TAIL, "x", note=note)

    def gateway(self) -> None:
        """What the gateway adds, beside what any Envoy does."""
        pace = self._pace(RATE_RPS)._replace(connections=CONNECTIONS)
        with gateway(self.settings.folder, self._bundle, matrix(), self.settings.cores[0]) as ports:
            found = overhead(ports, matrix(), pace, self.settings.rounds)
        self.notes["gateway"] = found._asdict()
        note = (
            f"{found.direct_p50_ms:.2f} to {found.through_p50_ms:.2f} ms; "
            f"a bare Envoy adds {found.bare_added_ms:.2f} ms"
        )
        self._at_most("p50 that the gateway adds", found.added_p50_ms, MOST_ADDED_MS, "ms", note=note)
        self._at_most("errors through the gateway", float(found.errors), 0, "")

    def soak(self, server: Server, saturation_rps: float, seconds: int) -> None:
        """Long, at 70 % of saturation."""
        found: Soak | None = None
        note = "needs --soak 600"
        if seconds:
            found = soak(server, matrix(), self._pace(SOAK_SHARE * saturation_rps)._replace(seconds=seconds))
            self.notes["soak"] = {**found._asdict(), "load": vars(found.load)}
            sizes = f"{found.memory_start_mb:.1f} to {found.memory_end_mb:.1f} MiB"
            note = f"{sizes}, {found.load.requests} requests"
        self._at_most("errors in the soak", found and float(found.load.errors), 0, "", note=note)
        self._at_most("growth of memory in the soak", found and found.growth, MOST_GROWTH, "of it", note=note)

    def _pace(self, rate_rps: float) -> Pace:
        return Pace(rate_rps, self.settings.seconds, self.settings.cores[1])

    def _peer_command(self, peer: who.Peer, port: int) -> list[str]:
        return peer.command(port, self._model)

    def _noop(self, stack: ExitStack, kind: str, title: str) -> Contender:
        server, ready_s = start(stack, self.settings, kind, lambda port: who.noop(port, kind), nothing())
        return Contender(server, nothing(), self._row(title, "nothing", ready_s))

    def _binary(self, server: Server) -> list[Contender]:
        """Ours with binary tensors; none while it does not understand them."""
        if server.ask(binary())[0] != 200:
            return []
        return [self._contender(server, binary(), "Modelway, binary", "V2 binary")]

    def _contender(
        self, server: Server, call: Call, title: str, speaks: str = "V2 JSON", ready_s: float | None = None
    ) -> Contender:
        return Contender(server, call, self._row(title, speaks, ready_s))

    @staticmethod
    def _row(title: str, speaks: str, ready_s: float | None) -> Row:
        return Row(title, speaks, ready_s=ready_s)

    def _measure(self, found: Sequence[Contender], keep: Sequence[Contender] | None = None) -> None:
        for one in found:
            if one.row.speaks != "nothing":
                one.check(self.settings.expected)
        in_turns(self.settings, found)
        for one in found:
            print(f"{one.row.name}: {one.row.rate_rps:.0f} req/s", file=sys.stderr)
        self.rows += [one.row for one in (found if keep is None else keep)]

    def _at_least(self, name: str, found: float | None, required: float, note: str = "") -> None:
        self.bounds.append(Bound(name, found, required, at_least=True, note=note))

    def _at_most(self, name: str, found: float | None, required: float, unit: str, *, note: str = "") -> None:
        self.bounds.append(Bound(name, found, required, at_least=False, unit=unit, note=note))


def chosen(names: str) -> list[who.Peer]:
    """The peers to measure."""
    known = {peer.key: peer for peer in who.peers()}
    keys = list(known) if names == "all" else [name for name in names.split(",") if name]
    unknown = sorted(set(keys) - set(known))
    if unknown:
        raise SystemExit(f"no peer {unknown}\nexpected: some of {','.join(known)}\nto do: mend --peers")
    return [known[key] for key in keys]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=3, help="of a round; closed loops measure one by one")
    parser.add_argument("--rounds", type=int, default=3, help="as many times")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="one round of one second: a look, no figures")
    parser.add_argument("--peers", default="all", help="names with commas between; an empty one for none")
    parser.add_argument("--soak", type=int, default=0, metavar="SECONDS", help="at 70 %% of saturation")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for the documentation")
    options = parser.parse_args()
    if options.quick:
        options.seconds = options.rounds = 1
    return options


def run(benchmark: Benchmark, options: argparse.Namespace, peers: Sequence[who.Peer]) -> None:
    """Everything that was asked for."""
    with ExitStack() as stack:
        server = benchmark.begin(stack)
        saturation_rps = benchmark.own(server)
        benchmark.latency(server, saturation_rps)
        for peer in peers:
            benchmark.peer(server, peer)
        if any(peer.key == "kserve" for peer in peers):
            benchmark.grpc()
        benchmark.gateway()
        benchmark.soak(server, saturation_rps, options.soak)


def main() -> int:
    """Measure and print; 1 when a promise is broken."""
    options = parse()
    peers = chosen(options.peers)
    require_tools("wrk", "h2load")
    before = machine()
    with tempfile.TemporaryDirectory(prefix="modelway-benchmark-") as name:
        folder = Path(name)
        model = train(folder)
        expected = expected_probability(model)
        settings = Settings(folder, expected, options.seconds, options.rounds, options.connections, cores())
        benchmark = Benchmark(settings, bundle_of(folder, model), model)
        run(benchmark, options, peers)
    print_rows(benchmark.rows)
    print_bounds(benchmark.bounds)
    print(f"load average {before['load_average']} before, {machine()['load_average']} after")
    if options.json:
        write_json(options.json, benchmark.rows, benchmark.bounds, machine=before, notes=benchmark.notes)
    return exit_code(benchmark.bounds)


if __name__ == "__main__":
    sys.exit(main())
