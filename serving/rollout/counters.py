"""Reads what replicas and the gateway count, and adds it up over a window. Parsing and adding are pure."""

import http.client
import re
from collections.abc import Mapping

from pydantic import Field

from modelway.contract import Frozen
from serving.gateway import xds
from serving.gateway.wires import GRPC, HTTP, Wire
from serving.rollout.target import Observations

Counters = Mapping[str, int]
_SCRAPE_TIMEOUT_S = 1.0
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([0-9.eE+-]+|NaN|[+-]Inf)(?: \d+)?$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_REQUESTS, _SLOW, _LATENCY, _INVALID, _FALLBACK = (
    "modelway_requests_total",
    "modelway_slo_exceeded_total",
    "modelway_latency_seconds",
    "modelway_invalid_outputs_total",
    "modelway_fallback_total",
)
_DATA_REASONS = frozenset({"missing", "stale"})
"""The fallback rule answered for want of stored features: no failure, and not counted as one."""


class Reading(Frozen):
    """One source's counters at one moment: a replica's process, or Envoy's view of a revision."""

    revision: str
    source: str
    """Changes when the counters begin anew: the process id is part of it."""
    counters: dict[str, int] | None
    """None when it could not be read."""


class Ledger(Frozen):
    """Sums over a window, and each source's last reading."""

    totals: dict[str, dict[str, int]] = Field(default_factory=dict)
    """By revision."""
    last: dict[str, dict[str, int] | None] = Field(default_factory=dict)
    """By source; None while it was never readable, so that its first reading is where counting begins."""


def scrape(port: int) -> dict[str, int] | None:
    """A replica's counters; None when it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SCRAPE_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return parse(body) if response.status == http.HTTPStatus.OK else None


def parse(text: str) -> dict[str, int]:
    """Our counters out of Prometheus text.

    Returns:
        A name is missing when the page does not declare its family: not known. A family that is declared
        and has no sample yet counts 0.
    """
    declared = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    found = {name: 0 for name, family in _FAMILIES.items() if family in declared}
    for name, labels, value in _samples(text):
        for key in found.keys() & _keys(name, labels):
            found[key] += int(float(value))
    return found


_FAMILIES = {
    "served": _REQUESTS,
    "failed": _REQUESTS,
    "failed_grpc": _REQUESTS,
    "rejected": _REQUESTS,
    "slow": _SLOW,
    "timed": _LATENCY,
    "invalid": _INVALID,
    "softened": _FALLBACK,
}


def _samples(text: str) -> list[tuple[str, dict[str, str], str]]:
    matches = (_SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#"))
    return [(m[1], dict(_LABEL.findall(m[2] or "")), m[3]) for m in matches if m]


def _keys(name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    if name == _FALLBACK:
        return () if labels.get("reason") in _DATA_REASONS else ("softened",)
    if name != _REQUESTS:
        return {_SLOW: ("slow",), f"{_LATENCY}_count": ("timed",), _INVALID: ("invalid",)}.get(name, ())
    failed = ("failed", "failed_grpc") if labels.get("protocol") == "grpc" else ("failed",)
    return {"4": ("rejected",), "5": failed}.get(labels.get("status", "")[:1], ("served",))


def gateway_view(stats: Mapping[str, int], revision: str) -> dict[str, int]:
    """What Envoy counts for a revision: failed answers, and requests that it could not even hand over.

    A call that the revision itself failed came in an answer of status 200, whatever its `grpc-status`. So
    Envoy's failures of gRPC are calls that no replica has answered.
    """

    def counted(what: str, *wires: Wire) -> int:
        names = [name(revision, wire) for wire in wires for name in (xds.cluster_name, xds.arm_name)]
        return sum(stats.get(f"cluster.{name}.{what}", 0) for name in names)

    return {
        "gateway_failed": counted("upstream_rq_5xx", HTTP),
        "gateway_lost": counted("upstream_rq_5xx", GRPC),
        "gateway_retried": counted("upstream_rq_retry", HTTP, GRPC),
    }


def add(ledger: Ledger | None, readings: tuple[Reading, ...]) -> Ledger:
    """Add what each source counted since its last reading.

    The first call opens the window: whatever was counted before is left out. A source that appears later
    began after the window opened and counts in full; one whose counters fell began anew.
    """
    opening = ledger is None
    totals = {name: dict(sums) for name, sums in (ledger or Ledger()).totals.items()}
    last = dict((ledger or Ledger()).last)
    for each in readings:
        sums = totals.setdefault(each.revision, {})
        begun_before = opening or last.get(each.source, {}) is None
        if each.counters is None:
            last[each.source] = None if begun_before else last.get(each.source, {})
            continue
        base = each.counters if begun_before else last.get(each.source) or {}
        for name, value in each.counters.items():
            before = base.get(name, 0)
            sums[name] = sums.get(name, 0) + (value - before if value >= before else value)
        last[each.source] = dict(each.counters)
    return Ledger(totals=totals, last=last)


def observed(ledger: Ledger, revision: str, *, replicas_known: bool, gateway_known: bool) -> Observations:
    """One revision's window as the judge reads it.

    A request that the runtime never finished shows at the gateway alone: the gateway's failures beyond the
    runtime's own, and the requests that had to be handed to another. A failure that the fallback rule
    softened is one, though its client and the gateway saw a 200. How many of those came over gRPC nobody
    counts: all are taken for HTTP's, so that none hides a request that was lost. Without the gateway's
    view errors are not known; without the replicas' view the latencies are not.
    """
    sums = ledger.totals.get(revision, {})
    failed, served = sums.get("failed", 0), sums.get("served", 0)
    seen_to_fail = max(0, failed - sums.get("failed_grpc", 0) - sums.get("softened", 0))
    lost = max(0, sums.get("gateway_failed", 0) - seen_to_fail) + sums.get("gateway_lost", 0)
    unanswered = lost + sums.get("gateway_retried", 0)
    errors_known = gateway_known and ("failed" in sums or not replicas_known)
    return Observations(
        requests=served + failed + unanswered if errors_known else None,
        server_errors=failed + unanswered if errors_known else None,
        answered=_known(sums, "timed", replicas_known),
        slo_exceeded=_known(sums, "slow", replicas_known),
        rejected=_known(sums, "rejected", replicas_known),
        invalid_outputs=_known(sums, "invalid", replicas_known),
    )


def _known(sums: Mapping[str, int], name: str, readable: bool) -> int | None:
    return sums.get(name) if readable else None
