"""Several processes behind one port, with one page of figures: `--workers N`.

The supervisor listens and serves nothing itself. Every worker takes connections from the same socket, so that
one that is busy or gone takes none and none is lost in a queue of its own. See docs/adr/0055.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from serving.runtime.exposition import Family, exposition
from serving.runtime.journal import journal
from serving.runtime.link import Line, Message, Report
from serving.runtime.merging import lasting, merged
from serving.runtime.port import deafen

_TICK_S, _POLL_S = 0.05, 1.0
_PAUSE_S, _MAX_PAUSE_S, _STEADY_S = 0.5, 15.0, 60.0
_MOST_DOUBLINGS = 10  # a float that is doubled a thousand times overflows
_REPORT_WAIT_S = 1.0
_GRACE_S = 45.0
"""From SIGTERM until a worker is killed: draining, what is under way, the log."""


class Worker:
    """One worker process and what it last said."""

    def __init__(self, command: Sequence[str], sock: socket.socket) -> None:
        """Start it."""
        ours, theirs = socket.socketpair()
        inherited = f"{sock.fileno()}:{theirs.fileno()}:{os.getpid()}"
        self.process = subprocess.Popen(
            [*command, "--inherited", inherited], pass_fds=(sock.fileno(), theirs.fileno())
        )
        theirs.close()
        self.line = Line(ours)
        self.report: Report | None = None
        self.heard = threading.Condition()
        self.reports = 0
        self.gone = False
        self.started_s = time.monotonic()

    @property
    def ready(self) -> bool:
        """Whether it said so and is there."""
        return not self.gone and self.report is not None and self.report.ready

    def hear(self, report: Report | None) -> None:
        """Take its report; None when its line was cut."""
        with self.heard:
            self.reports += 1
            self.gone = report is None or self.gone
            self.report = report or self.report
            self.heard.notify_all()

    def wait_for_report(self, after: int, until_s: float) -> bool:
        """Whether it reported since `after` reports, or ended: then its last report stands."""
        with self.heard:
            patience_s = max(0.0, until_s - time.monotonic())
            return self.heard.wait_for(lambda: self.gone or self.reports > after, patience_s)


class Supervisor:
    """Starts the workers, starts them again, adds up their figures, ends them."""

    def __init__(self, command: Sequence[str], sock: socket.socket, count: int, *, drain_s: float) -> None:
        """Start nothing yet.

        Args:
            command: How one worker is started.
            sock: Listening; the workers inherit it.
            count: How many, 2 or more.
            drain_s: How long workers go on answering after SIGTERM before they take no more connections.
        """
        self._command, self._sock, self._drain_s = command, sock, drain_s
        self._slots: list[Worker | None] = [None] * count
        self._start_at_s = [0.0] * count
        self._failures = [0] * count
        self._past: list[Family] = []
        """What workers that ended had counted."""
        self._lock = threading.Lock()
        self._restarts = 0
        self._draining = False

    def run(self, stopped: int, address: str) -> int:
        """Serve until `stopped` is readable; 0, or the exit code of a worker that could not even start.

        Args:
            stopped: Descriptor that becomes readable with the signal to end.
            address: What the ready line says.
        """
        announced, poll_at_s = False, 0.0
        while not select.select([stopped], [], [], _TICK_S)[0]:
            code = self._tick(announced)
            if code is not None:
                self._end()
                return code
            if time.monotonic() >= poll_at_s:
                self._ask_all()
                poll_at_s = time.monotonic() + _POLL_S
            if not announced and self.ready:
                announced = True
                journal("ready", **self._identity(), address=address, workers=self._pids())
        journal("draining", workers=self._pids())
        self._end()
        journal("stopped", restarts=self._restarts)
        return 0

    @property
    def ready(self) -> bool:
        """Whether all of them are."""
        return not self._draining and all(worker is not None and worker.ready for worker in self._slots)

    def page(self) -> str | None:
        """The figures of all, ended workers included; None when one that lives does not answer."""
        until_s = time.monotonic() + _REPORT_WAIT_S
        workers = [worker for worker in self._slots if worker is not None and worker.report is not None]
        asked = [(worker, worker.reports) for worker in workers]
        for worker in workers:
            worker.line.send(Message(ask="report"))
        if not all(worker.wait_for_report(after, until_s) for worker, after in asked):
            return None
        with self._lock:
            pages = [self._past, *(_figures(worker) for worker in self._slots if worker is not None)]
        return exposition(merged([*pages, self._own()])).decode()

    def _tick(self, announced: bool) -> int | None:
        """Start what is to be started; the exit code of a worker that ended before all were ever ready."""
        for at, worker in enumerate(self._slots):
            if worker is None:
                if time.monotonic() >= self._start_at_s[at]:
                    self._start(at)
            elif (code := worker.process.poll()) is not None:
                if not announced:
                    return code or 1
                self._crashed(at, worker, code)
        return None

    def _start(self, at: int) -> None:
        worker = Worker(self._command, self._sock)
        self._slots[at] = worker
        threading.Thread(target=self._read, args=(worker,), name=f"worker-{at}", daemon=True).start()

    def _crashed(self, at: int, worker: Worker, code: int) -> None:
        steady = time.monotonic() - worker.started_s >= _STEADY_S
        self._failures[at] = 0 if steady else self._failures[at]
        pause_s = min(_MAX_PAUSE_S, _PAUSE_S * 2.0 ** min(self._failures[at], _MOST_DOUBLINGS))
        self._failures[at] += 1
        self._restarts += 1
        worker.line.close()
        worker.hear(None)
        with self._lock:
            self._past = merged([self._past, lasting(_figures(worker))])
            self._slots[at] = None
        self._start_at_s[at] = time.monotonic() + pause_s
        journal("worker_ended", pid=worker.process.pid, code=code, again_in_s=pause_s)

    def _read(self, worker: Worker) -> None:
        while (message := worker.line.receive()) is not None:
            if message.ask is None:
                worker.hear(message.report)
            else:  # on a thread of its own: the answer needs the report of this very worker
                threading.Thread(target=self._reply, args=(worker, message.ask), daemon=True).start()
        worker.hear(None)

    def _reply(self, worker: Worker, asked: str) -> None:
        if asked == "ready":
            worker.line.send(Message(ready=self.ready))
        else:
            worker.line.send(Message(page=self.page()))

    def _ask_all(self) -> None:
        """Hear from each: what a worker counts after its last report is lost when it crashes."""
        for worker in self._slots:
            if worker is not None and worker.report is not None:
                worker.line.send(Message(ask="report"))

    def _end(self) -> None:
        self._draining = True
        workers = [worker for worker in self._slots if worker is not None]
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
        time.sleep(self._drain_s)
        deafen(self._sock)  # only now, and only here: the workers take what has come before
        until_s = time.monotonic() + _GRACE_S
        for worker in workers:
            try:
                worker.process.wait(max(0.0, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    def _own(self) -> list[Family]:
        states = {"ready": sum(worker is not None and worker.ready for worker in self._slots)}
        states["not_ready"] = len(self._slots) - states["ready"]
        samples = [f'modelway_workers{{state="{state}"}} {count}' for state, count in states.items()]
        restarts = [f'modelway_worker_restarts_total{{of="all"}} {self._restarts}']
        return [
            Family("modelway_workers", "gauge", "Worker processes by state.", samples),
            Family("modelway_worker_restarts_total", "counter", "Workers that ended unasked.", restarts),
        ]

    def _identity(self) -> Mapping[str, str]:
        first = self._slots[0]
        return {} if first is None or first.report is None else first.report.identity

    def _pids(self) -> list[int]:
        return [worker.process.pid for worker in self._slots if worker is not None]


def _figures(worker: Worker) -> list[Family]:
    return [] if worker.report is None else worker.report.families


def worker_command(argv: Sequence[str]) -> list[str]:
    """How a worker is started that serves what its supervisor was told to."""
    return [sys.executable, "-m", "serving.runtime", *argv]
