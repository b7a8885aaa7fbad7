"""What Prometheus reads: families of samples, and the text they become."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol


class Family(NamedTuple):
    """One metric and its samples."""

    name: str
    kind: str
    help_text: str
    samples: list[str]
    """Lines of the exposition format."""


class Source(Protocol):
    """Something that counts."""

    def families(self) -> Iterable[Family]:
        """What it counted."""


class Histogram:
    """Counts by upper edge, and a sum, in whole units. Not locked: its owner is."""

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: Sequence[int]) -> None:
        """Edges in ascending order; one more bucket takes what lies beyond the last."""
        self.edges = tuple(edges)
        self.counts = [0] * (len(self.edges) + 1)
        self.total = 0

    def add(self, value: int) -> None:
        """Count a value."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    def samples(self, name: str, labels: str, unit: float = 1.0) -> list[str]:
        """Cumulative buckets, sum and count.

        Args:
            name: Of the family.
            labels: Already written, without braces.
            unit: What one whole unit is in the unit of the exposition: 1e-9 for nanoseconds.
        """
        running, lines = 0, []
        for edge, count in zip(self.edges, self.counts, strict=False):
            running += count
            lines.append(f'{name}_bucket{{{labels},le="{edge * unit:.12g}"}} {running}')
        running += self.counts[-1]
        lines.append(f'{name}_bucket{{{labels},le="+Inf"}} {running}')
        return [
            *lines,
            f"{name}_sum{{{labels}}} {self.total * unit:.9f}",
            f"{name}_count{{{labels}}} {running}",
        ]


def written(labels: Mapping[str, str]) -> str:
    """Labels as the format wants them, without braces."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


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
