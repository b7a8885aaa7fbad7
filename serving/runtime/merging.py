"""Figures of several processes as one page: counters and histograms are added, gauges as they mean it."""

from collections.abc import Iterable, Sequence

from serving.runtime.exposition import Family

_ADDED_KINDS = ("counter", "histogram")
_LEAST = frozenset({"modelway_ready", "modelway_start_time_seconds"})
_MOST = frozenset({"modelway_bundle_info", "modelway_keys", "modelway_backend_info", "modelway_jobs"})
"""Said alike by all; the jobs of all lie in one file."""


def merged(pages: Iterable[Sequence[Family]]) -> list[Family]:
    """One page of many. Samples with the same name and labels become one."""
    families: dict[str, Family] = {}
    values: dict[str, dict[str, str]] = {}
    for page in pages:
        for family in page:
            families.setdefault(family.name, family)
            known = values.setdefault(family.name, {})
            for sample in family.samples:
                key, _, value = sample.rpartition(" ")
                known[key] = value if key not in known else _joined(family, known[key], value)
    return [
        family._replace(samples=[f"{key} {value}" for key, value in values[name].items()])
        for name, family in families.items()
    ]


def lasting(page: Iterable[Family]) -> list[Family]:
    """What goes on counting when its process has ended: a gauge ends with it."""
    return [family for family in page if family.kind in _ADDED_KINDS]


def _joined(family: Family, one: str, other: str) -> str:
    if family.name in _LEAST:
        return min(one, other, key=float)
    if family.name in _MOST:
        return max(one, other, key=float)
    if one.isdecimal() and other.isdecimal():
        return str(int(one) + int(other))  # exact beyond what a float counts
    return f"{float(one) + float(other):.9f}"
