"""What happened to the requests of one model and revision, by protocol and status."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

from serving.runtime.exposition import Family, Histogram, written

_EDGES_US = (
    250,
    500,
    1000,
    2500,
    5000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
)
_NO_PROTOCOL = "http"
"""Refusals that came before anybody knew what the request wanted."""


class Meter:
    """The requests of one protocol. Threads may share it.

    Latency is recorded for every request that reached the model, whether it was answered or failed;
    a client's error is counted by status alone, for it says nothing about the model's speed.
    """

    __slots__ = ("_counts", "_edges_ns", "_lock", "latency_ns", "rows", "statuses")

    def __init__(self, edges_ns: tuple[int, ...]) -> None:
        """Count from zero."""
        self.statuses = {200: 0}
        self.latency_ns = Histogram(edges_ns)
        self._edges_ns, self._counts = self.latency_ns.edges, self.latency_ns.counts
        self.rows = 0
        self._lock = threading.Lock()

    def scored(self, status: int, took_ns: int, rows: int) -> None:
        """Count a request that reached the model.

        Args:
            status: 200, or 5xx.
            took_ns: From the request's head to its answer, nanoseconds.
            rows: Rows answered.
        """
        bucket = bisect_left(self._edges_ns, took_ns)
        with self._lock:
            self._counts[bucket] += 1
            self.latency_ns.total += took_ns
            self.rows += rows
            try:
                self.statuses[status] += 1
            except KeyError:
                self.statuses[status] = 1

    def answered(self, starts_ns: Sequence[int], now_ns: int) -> None:
        """Count requests of one row each that were answered at one moment.

        Args:
            starts_ns: `perf_counter_ns` of each one's head; at least one.
            now_ns: The same clock at that moment.
        """
        count = len(starts_ns)
        edges_ns, total_ns = self._edges_ns, now_ns * count - sum(starts_ns)
        fastest = bisect_left(edges_ns, now_ns - max(starts_ns))
        slowest = bisect_left(edges_ns, now_ns - min(starts_ns))
        with self._lock:
            if fastest == slowest:
                self._counts[fastest] += count
            else:
                for start_ns in starts_ns:
                    self._counts[bisect_left(edges_ns, now_ns - start_ns)] += 1
            self.latency_ns.total += total_ns
            self.rows += count
            self.statuses[200] += count

    def refused(self, status: int) -> None:
        """Count a request that never reached the model."""
        with self._lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1

    def copy(self) -> "Meter":
        """All of it at one moment."""
        copy = Meter(self.latency_ns.edges)
        with self._lock:
            copy.statuses, copy.rows = dict(self.statuses), self.rows
            copy.latency_ns.counts, copy.latency_ns.total = (
                list(self.latency_ns.counts),
                self.latency_ns.total,
            )
        return copy


class Metrics:
    """One meter a protocol, and what concerns them all."""

    def __init__(self, *, model: str, revision: str, limit_ms: float) -> None:
        """One bucket edge lies exactly at `limit_ms`, so that exceedances are counted and not guessed."""
        self._labels = {"model": model, "revision": revision}
        self._limit_ns = round(limit_ms * 1e6)
        self._edges_ns = tuple(sorted({*(edge * 1000 for edge in _EDGES_US), self._limit_ns}))
        self._meters: dict[str, Meter] = {}
        self._lock = threading.Lock()
        self._apart: Counter[str] = Counter({"invalid": 0, "expired": 0})

    def meter(self, protocol: str) -> Meter:
        """The one of this protocol."""
        with self._lock:
            return self._meters.setdefault(protocol, Meter(self._edges_ns))

    def refused(self, status: int) -> None:
        """Count a request that was refused before it had a protocol."""
        self.meter(_NO_PROTOCOL).refused(status)

    def answered_invalidly(self) -> None:
        """Count an answer of the graph that was no probability; its request counts as a 500 beside it."""
        with self._lock:
            self._apart["invalid"] += 1

    def expired(self) -> None:
        """Count a request that was not scored because its time was over; it counts as a 504 beside it."""
        with self._lock:
            self._apart["expired"] += 1

    def families(self) -> list[Family]:
        """Everything that is counted here."""
        with self._lock:
            meters = {protocol: meter.copy() for protocol, meter in self._meters.items()}
        return [self._requests(meters), self._latency(meters), *self._others(meters)]

    def counter(
        self, name: str, help_text: str, value: int, labels: Mapping[str, str] | None = None
    ) -> Family:
        """One counter that carries the common labels and more."""
        return Family(name, "counter", help_text, [f"{name}{{{self._written(labels)}}} {value}"])

    def counters(self, name: str, help_text: str, label: str, values: Mapping[str, int]) -> Family:
        """One counter per value of `label`."""
        samples = [f"{name}{{{self._written({label: key})}}} {count}" for key, count in values.items()]
        return Family(name, "counter", help_text, samples)

    def gauge(
        self, name: str, help_text: str, value: float, labels: Mapping[str, str] | None = None
    ) -> Family:
        """One gauge that carries the common labels and more."""
        return Family(name, "gauge", help_text, [f"{name}{{{self._written(labels)}}} {value}"])

    def histogram(self, name: str, help_text: str, histogram: Histogram, unit: float = 1.0) -> Family:
        """One histogram that carries the common labels; `unit` as in `Histogram.samples`."""
        return Family(name, "histogram", help_text, histogram.samples(name, self._written(), unit))

    def _written(self, more: Mapping[str, str] | None = None) -> str:
        return written({**self._labels, **(more or {})})

    def _requests(self, meters: Mapping[str, Meter]) -> Family:
        name = "modelway_requests_total"
        samples = [
            f"{name}{{{self._written({'protocol': protocol, 'status': str(status)})}}} {count}"
            for protocol, meter in meters.items()
            for status, count in sorted(meter.statuses.items())
        ]
        return Family(name, "counter", "Inference requests by protocol and HTTP status.", samples)

    def _latency(self, meters: Mapping[str, Meter]) -> Family:
        name = "modelway_latency_seconds"
        samples = [
            sample
            for protocol, meter in meters.items()
            if protocol != _NO_PROTOCOL
            for sample in meter.latency_ns.samples(name, self._written({"protocol": protocol}), 1e-9)
        ]
        text = "Time from a request's head to its answer, requests that reached the model."
        return Family(name, "histogram", text, samples)

    def _others(self, meters: Mapping[str, Meter]) -> list[Family]:
        beyond = self._edges_ns.index(self._limit_ns) + 1
        slow = sum(sum(meter.latency_ns.counts[beyond:]) for meter in meters.values())
        rows = sum(meter.rows for meter in meters.values())
        invalid, expired = self._apart["invalid"], self._apart["expired"]
        return [
            self.counter("modelway_slo_exceeded_total", "Requests slower than the SLO's limit.", slow),
            self.counter("modelway_invalid_outputs_total", "Answers that were no probability.", invalid),
            self.counter("modelway_rows_total", "Rows scored.", rows),
            self.counter("modelway_expired_total", "Requests whose deadline passed unscored.", expired),
        ]
