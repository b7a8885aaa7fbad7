"""Look at the generator and the server's memory while load is offered. Runs among Locust's greenlets."""

import re
import time
from collections.abc import Callable
from urllib.request import urlopen

import gevent
import psutil

from loadtests.bodies import expected_duration_s
from loadtests.offer import Offer
from loadtests.options import LoadOptions
from loadtests.vitals import Vitals, memory_of

_WAKE_EVERY_S = 0.02
_LOOK_EVERY_S = 0.5
_MOST_LOOKS = 600
_BYTES_PER_MB = 1e6
_RESIDENT = re.compile(r"^process_resident_memory_bytes(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)

MemoryReader = Callable[[], float | None]


class Watch:
    """Keeps `Vitals` from the start of the load until it is stopped."""

    def __init__(self, options: LoadOptions) -> None:
        """Find the processes to watch; looks at nothing yet."""
        self._look_every_s = max(_LOOK_EVERY_S, expected_duration_s(options) / _MOST_LOOKS)
        self._vitals = Vitals()
        self._processes = ProcessMemory(options.watch_pids)
        self._read = _memory_reader(options, self._processes)
        self._mb: list[float | None] = []
        self._greenlets: list[gevent.Greenlet] = []
        self._cpu_s = 0.0
        self._offer: Offer | None = None

    def start(self, offer: Offer) -> None:
        """Begin to look; times count from the start of the offer."""
        self._cpu_s, self._offer = time.process_time(), offer
        self._look(offer)
        self._greenlets = [gevent.spawn(self._keep_looking, offer), gevent.spawn(self._keep_waking, offer)]

    def stop(self) -> Vitals:
        """Look a last time; what was seen."""
        gevent.killall(self._greenlets)
        if self._offer is not None:
            self._look(self._offer)
        if self._read is not None:
            self._vitals.memory = memory_of(self._vitals.at_s, self._mb, self._processes.gone)
        return self._vitals

    def _keep_looking(self, offer: Offer) -> None:
        while True:
            gevent.sleep(self._look_every_s)
            self._look(offer)

    def _look(self, offer: Offer) -> None:
        if self._read is not None:
            self._mb.append(self._read())
        self._vitals.at_s.append(offer.elapsed_s)
        self._vitals.cpu_s.append(time.process_time() - self._cpu_s)

    def _keep_waking(self, offer: Offer) -> None:
        while True:
            asked_s = offer.elapsed_s + _WAKE_EVERY_S
            gevent.sleep(_WAKE_EVERY_S)
            self._vitals.wake_at_s.append(asked_s)
            self._vitals.wake_late_ms.append((offer.elapsed_s - asked_s) * 1000.0)


class ProcessMemory:
    """Resident memory of some processes and of the children they have at the beginning."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        """Find them; one that is not there counts as gone."""
        self.gone: list[int] = []
        self._processes: list[psutil.Process] = []
        for pid in pids:
            self._add(pid)

    def read(self) -> float | None:
        """Megabytes of all together; None once one of them has ended."""
        total = 0.0
        for process in self._processes:
            try:
                total += process.memory_info().rss / _BYTES_PER_MB
            except psutil.Error:
                self._lost(process.pid)
        return None if self.gone else total

    def _add(self, pid: int) -> None:
        try:
            process = psutil.Process(pid)
            self._processes += [process, *process.children(recursive=True)]
        except psutil.Error:
            self._lost(pid)

    def _lost(self, pid: int) -> None:
        if pid not in self.gone:
            self.gone.append(pid)


def _memory_reader(options: LoadOptions, processes: ProcessMemory) -> MemoryReader | None:
    if options.watch_pids:
        return processes.read
    url = options.metrics_url
    return None if url is None else lambda: _scraped_mb(url, options.timeout_s)


def _scraped_mb(url: str, timeout_s: float) -> float | None:
    try:
        with urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - http(s) by the option's pattern
            values = _RESIDENT.findall(answer.read().decode("utf-8", "replace"))
    except OSError:
        return None
    return sum(float(value) for value in values) / _BYTES_PER_MB if values else None
