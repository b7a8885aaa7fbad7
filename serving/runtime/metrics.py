"""What happened to the requests, as Prometheus reads it. One process, one model, one revision."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_EDGES_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Family(NamedTuple):
    """One metric and its samples."""

    name: str
    kind: str
    help_text: str
    samples: list[str]
    """Lines of the exposition format."""


class Metrics:
    """Counters and one latency histogram.

    Latency is recorded for every request that reached the model, whether it was answered or failed;
    a client's error is counted by status alone, for it says nothing about the model's speed.
    """

    __slots__ = (
        "_buckets",
        "_edges_s",
        "_exceeded",
        "_invalid",
        "_labels",
        "_limit_s",
        "_lock",
        "_rows",
        "_statuses",
        "_sum_s",
    )

    def __init__(self, *, model: str, revision: str, limit_ms: float) -> None:
        """One bucket edge lies exactly at `limit_ms`, so that exceedances are counted and not guessed."""
        self._labels = f'model="{_escaped(model)}",revision="{_escaped(revision)}"'
        self._limit_s = limit_ms / 1000
        self._edges_s = sorted({*_EDGES_S, self._limit_s})
        self._buckets = [0] * (len(self._edges_s) + 1)
        self._statuses = {200: 0}
        self._sum_s = 0.0
        self._exceeded = 0
        self._invalid = 0
        self._rows = 0
        self._lock = threading.Lock()

    def scored(self, status: int, took_s: float, rows: int) -> None:
        """Count a request that reached the model.

        Args:
            status: 200, or 5xx.
            took_s: From the request's head to its answer, seconds.
            rows: Rows answered.
        """
        with self._lock:
            self._statuses[status] = self._statuses.get(status, 0) + 1
            self._buckets[bisect_left(self._edges_s, took_s)] += 1
            self._sum_s += took_s
            self._rows += rows
            if took_s > self._limit_s:
                self._exceeded += 1

    def answered_invalidly(self) -> None:
        """Count an answer of the graph that was no probability; its request counts as a 500 beside it."""
        with self._lock:
            self._invalid += 1

    def refused(self, status: int) -> None:
        """Count a request that never reached the model: the client's error."""
        with self._lock:
            self._statuses[status] = self._statuses.get(status, 0) + 1

    def families(self) -> list[Family]:
        """Everything that is counted here."""
        with self._lock:
            return [self._requests(), self._latency(), *self._others()]

    def counter(self, name: str, help_text: str, value: int) -> Family:
        """One counter that carries the common labels."""
        return Family(name, "counter", help_text, [f"{name}{{{self._labels}}} {value}"])

    def counters(self, name: str, help_text: str, label: str, values: Mapping[str, int]) -> Family:
        """One counter per value of `label`."""
        samples = [f'{name}{{{self._labels},{label}="{_escaped(k)}"}} {n}' for k, n in values.items()]
        return Family(name, "counter", help_text, samples)

    def gauge(
        self, name: str, help_text: str, value: float, labels: Mapping[str, str] | None = None
    ) -> Family:
        """One gauge that carries the common labels and more."""
        more = "".join(f',{key}="{_escaped(text)}"' for key, text in (labels or {}).items())
        return Family(name, "gauge", help_text, [f"{name}{{{self._labels}{more}}} {value}"])

    def _requests(self) -> Family:
        name = "modelway_requests_total"
        samples = [
            f'{name}{{{self._labels},status="{status}"}} {n}' for status, n in sorted(self._statuses.items())
        ]
        return Family(name, "counter", "Inference requests by HTTP status.", samples)

    def _latency(self) -> Family:
        name, total, samples = "modelway_latency_seconds", 0, []
        for edge, count in zip(self._edges_s, self._buckets, strict=False):
            total += count
            samples.append(f'{name}_bucket{{{self._labels},le="{edge:.12g}"}} {total}')
        total += self._buckets[-1]
        samples += [
            f'{name}_bucket{{{self._labels},le="+Inf"}} {total}',
            f"{name}_sum{{{self._labels}}} {self._sum_s:.9f}",
            f"{name}_count{{{self._labels}}} {total}",
        ]
        text = "Time from a request's head to its answer, requests that reached the model."
        return Family(name, "histogram", text, samples)

    def _others(self) -> list[Family]:
        return [
            self.counter(
                "modelway_slo_exceeded_total", "Requests slower than the SLO's limit.", self._exceeded
            ),
            self.counter(
                "modelway_invalid_outputs_total", "Answers that were no probability.", self._invalid
            ),
            self.counter("modelway_rows_total", "Rows scored.", self._rows),
        ]


def exposition(families: Iterable[Family]) -> bytes:
    """Families as Prometheus reads them: each name's head once, the samples of all models below it."""
    merged: dict[str, Family] = {}
    for family in families:
        known = merged.get(family.name)
        merged[family.name] = (
            family if known is None else known._replace(samples=known.samples + family.samples)
        )
    lines = [line for family in merged.values() for line in (*_head(family), *family.samples)]
    return ("\n".join(lines) + "\n").encode()


def _head(family: Family) -> tuple[str, str]:
    return f"# HELP {family.name} {family.help_text}", f"# TYPE {family.name} {family.kind}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
