"""Envoy's configuration as data: one cluster per revision, arms that fail over, weighted routes. Pure.

An arm is an aggregate cluster: first the revision, then the other revisions with traffic. A process that is
gone or dies over a request therefore costs no client an answer: the request is tried again elsewhere, and
counted against the arm that it was meant for. The answers that a revision does give, errors among them, reach
the client and the judge as they are.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelway.contract import Frozen
from serving.gateway.wires import GRPC, HTTP, TYPES, Json, Kind, Wire, retried

ROUTE_CONFIG = "gateway"
STAT_PREFIX = "in"
_REQUEST_TIMEOUT = "15s"
_MOST = {"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 1024}
_BREAKERS = {"circuit_breakers": {"thresholds": [_MOST]}}
_PROBING: Json = {
    "timeout": "1s",
    "interval": "0.5s",
    "no_traffic_interval": "0.5s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
}
_BALANCING = {
    "healthy_panic_threshold": {"value": 0},  # else an ejected sole endpoint keeps its traffic
    "update_merge_window": "0s",  # else Envoy's worker learns of a replica's health a second after we do
}


class Endpoints(Frozen):
    """One revision's replicas on loopback."""

    revision: str
    ports: tuple[int, ...]
    grpc_ports: tuple[int, ...] = ()

    def at(self, wire: Wire) -> tuple[int, ...]:
        """Where they speak this protocol; empty where they do not."""
        return self.grpc_ports if wire is GRPC else self.ports


class Calls(Frozen):
    """How far gRPC is served."""

    pinnable: tuple[str, ...] = ()
    """Revisions that a call may ask for."""
    complete: bool = False
    """Every revision with traffic speaks it; until then calls are answered UNAVAILABLE."""


def cluster_name(revision: str, wire: Wire = HTTP) -> str:
    """Envoy's name for a revision's replicas; Envoy's counters carry it."""
    return f"{wire.prefix}rev_{revision.replace('.', '_')}"


def arm_name(revision: str, wire: Wire = HTTP) -> str:
    """Envoy's name for a revision and those that stand in for it."""
    return f"{wire.prefix}arm_{revision.replace('.', '_')}"


def clusters(endpoints: Sequence[Endpoints], weights: Mapping[str, int]) -> Json:
    """The cluster discovery document."""
    sharing = [revision for revision, weight in sorted(weights.items(), key=_heaviest) if weight]
    resources: list[Json] = []
    for wire in (HTTP, GRPC):
        known = {each.revision: each.at(wire) for each in endpoints if each.at(wire)}
        for revision, ports in known.items():
            others = [name for name in sharing if name != revision and name in known]
            resources += [_cluster(revision, ports, wire, alone=not others), _arm(revision, others, wire)]
    return _discovery(resources)


def routes(
    weights: Mapping[str, int], pinnable: Sequence[str], mirror: str | None, calls: Calls | None = None
) -> Json:
    """The route discovery document.

    Args:
        weights: Percent per revision; empty answers 503.
        pinnable: Revisions that a request may ask for by the header `x-revision`.
        mirror: Revision that gets a copy of every request and whose answers nobody sees.
        calls: How gRPC is served; None where it is not.
    """
    slots = tuple(sorted(weights.items()))

    def spread(wire: Wire) -> Json:
        mirrored = {"request_mirror_policies": [{"cluster": cluster_name(mirror, wire)}]} if mirror else {}
        return {"weighted_clusters": {"clusters": _shares(slots, wire)}, **mirrored}

    return _routed(pinnable, spread, calls)


def sticky_routes(
    slots: Sequence[tuple[str, int]], pinnable: Sequence[str], header: str, calls: Calls | None = None
) -> Json:
    """The route discovery document of an a-b test: the hash of a header chooses the arm.

    Envoy takes the hash modulo the sum of all weights and walks the list: whoever stands in the same
    place with the same weights serves the same keys. A request without the header goes by chance.

    Args:
        slots: Revision and percent, in the order of the hash range.
        pinnable: As in `routes`.
        header: Name of the key's header, lower case; of gRPC its metadata.
        calls: As in `routes`.
    """

    def spread(wire: Wire) -> Json:
        return {
            "weighted_clusters": {"clusters": _shares(slots, wire), "use_hash_policy": True},
            "hash_policy": [{"header": {"header_name": header}}],
        }

    return _routed(pinnable, spread, calls)


def _routed(pinnable: Sequence[str], spread: Callable[[Wire], Json], calls: Calls | None) -> Json:
    """Calls before requests, whose last kind matches everything."""
    pins = [(GRPC, name) for name in (calls.pinnable if calls else ())] + [(HTTP, name) for name in pinnable]
    routes = [route for wire, name in pins for route in _pin(name, wire)]
    if calls is not None:
        routes += (
            _spread(spread(GRPC), GRPC)
            if calls.complete
            else [_nobody(GRPC, "not every revision with traffic speaks gRPC yet")]
        )
    routes += _spread(spread(HTTP), HTTP)
    host = {"name": "all", "domains": ["*"], "routes": routes}
    resource = {
        "@type": f"{TYPES}.config.route.v3.RouteConfiguration",
        "name": ROUTE_CONFIG,
        "virtual_hosts": [host],
    }
    return _discovery([resource])


def bootstrap(folder: Path, *, port: int, admin_port: int) -> Json:
    """What Envoy is started with: the listener, the admin port, and where the rest is watched."""
    return {
        "node": {"id": "modelway", "cluster": "local"},
        "admin": {"address": _address(admin_port)},
        "dynamic_resources": {"cds_config": _watch(folder / "cds", "cds.json")},
        "static_resources": {"listeners": [_listener(folder, port)]},
    }


def _heaviest(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _discovery(resources: list[Json]) -> Json:
    text = json.dumps(resources, sort_keys=True)
    return {"version_info": hashlib.sha256(text.encode()).hexdigest()[:16], "resources": resources}


def _cluster(revision: str, ports: Sequence[int], wire: Wire, *, alone: bool) -> Json:
    name = cluster_name(revision, wire)
    hosts = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {
        "@type": f"{TYPES}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]},
        **_BREAKERS,
        "common_lb_config": _BALANCING,
        "health_checks": [_PROBING | wire.probe],
        **wire.upstream,
        **_ejection(len(ports), alone=alone),
    }


def _ejection(replicas: int, *, alone: bool) -> Json:
    """Eject a replica that fails in a row, unless nobody could stand in for it."""
    share = 50 if alone else 100
    if alone and replicas < 2:  # noqa: PLR2004 - one replica
        return {}
    rule = {"consecutive_5xx": 20, "consecutive_gateway_failure": 5, "interval": "1s"}
    return {"outlier_detection": {**rule, "base_ejection_time": "5s", "max_ejection_percent": share}}


def _arm(revision: str, others: Sequence[str], wire: Wire) -> Json:
    kind = {
        "@type": f"{TYPES}.extensions.clusters.aggregate.v3.ClusterConfig",
        "clusters": [cluster_name(name, wire) for name in (revision, *others)],
    }
    return {
        "@type": f"{TYPES}.config.cluster.v3.Cluster",
        "name": arm_name(revision, wire),
        "connect_timeout": "0.25s",
        "lb_policy": "CLUSTER_PROVIDED",
        **_BREAKERS,  # the arm's breaker counts retries; by default three at a time
        "cluster_type": {"name": "envoy.clusters.aggregate", "typed_config": kind},
    }


def _pin(revision: str, wire: Wire) -> list[Json]:
    header = {"name": "x-revision", "string_match": {"exact": revision}}
    return [
        {
            "match": {**kind.match, "headers": [header]},
            "route": {"cluster": cluster_name(revision, wire), **_limits(kind)},
            "response_headers_to_add": [_names(revision)],
        }
        for kind in wire.pinned
    ]


def _shares(weights: Sequence[tuple[str, int]], wire: Wire) -> list[Json]:
    return [
        {"name": arm_name(name, wire), "weight": weight, "response_headers_to_add": [_names(name)]}
        for name, weight in weights
        if weight
    ]


def _spread(spread: Json, wire: Wire) -> list[Json]:
    if not spread["weighted_clusters"]["clusters"]:
        return [_nobody(wire, "no revision has any traffic")]
    return [
        {
            "match": kind.match,
            "route": {**spread, **_limits(kind), "retry_policy": retried(kind)},
        }
        for kind in wire.kinds
    ]


def _nobody(wire: Wire, why: str) -> Json:
    answer = {"status": 503, "body": {"inline_string": f"{why}\n"}}
    return {"match": wire.kinds[-1].match, "direct_response": answer}


def _limits(kind: Kind) -> Json:
    return {"timeout": _REQUEST_TIMEOUT, **kind.limits}


def _names(revision: str) -> Json:
    """The arm's name, where the runtime did not say its own: an answer of Envoy's."""
    return {"header": {"key": "x-revision", "value": revision}, "append_action": "ADD_IF_ABSENT"}


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _watch(folder: Path, name: str) -> Json:
    source = {"path": str(folder / name), "watched_directory": {"path": str(folder)}}
    return {"path_config_source": source}


def _listener(folder: Path, port: int) -> Json:
    manager = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        "codec_type": "AUTO",
        "generate_request_id": False,
        "rds": {"route_config_name": ROUTE_CONFIG, "config_source": _watch(folder / "rds", "rds.json")},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    # Without reuse_port a second gateway on the same port fails instead of taking half of the traffic.
    return {
        "name": STAT_PREFIX,
        "address": _address(port),
        "enable_reuse_port": False,
        "filter_chains": [{"filters": filters}],
    }
