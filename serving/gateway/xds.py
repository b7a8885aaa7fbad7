"""Envoy's configuration as data: one cluster per revision, arms that fail over, weighted routes. Pure.

An arm is an aggregate cluster: first the revision, then the other revisions with traffic. A process that is
gone or dies over a request therefore costs no client an answer: the request is tried again elsewhere, and
counted against the arm that it was meant for. The answers that a revision does give, errors among them, reach
the client and the judge as they are.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelway.contract import Frozen

Json = dict[str, Any]
ROUTE_CONFIG = "gateway"
STAT_PREFIX = "in"
_TYPES = "type.googleapis.com/envoy"
_REQUEST_TIMEOUT = "15s"
_RETRIES = 2
"""One request ends three processes at most, should it be one that ends them."""
_RESELECTIONS = 32
"""Draws of a replica that was not tried yet. A dead one has the fewest requests and is drawn most."""
_UNSEEN = "connect-failure,refused-stream,reset-before-request"
_LOST = f"{_UNSEEN},reset"
_SCORING = ({"prefix": "/v2/models/"}, {"prefix": "/v1/models/"})
_JOB = {"prefix": "/", "query_parameters": [{"name": "async", "present_match": True}]}
_REST = {"prefix": "/"}
_MOST = {"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 1024}
_BREAKERS = {"circuit_breakers": {"thresholds": [_MOST]}}
_BALANCING = {
    "healthy_panic_threshold": {"value": 0},  # else an ejected sole endpoint keeps its traffic
    "update_merge_window": "0s",  # else Envoy's worker learns of a replica's health a second after we do
}


class Endpoints(Frozen):
    """One revision's replicas on loopback."""

    revision: str
    ports: tuple[int, ...]


def cluster_name(revision: str) -> str:
    """Envoy's name for a revision's replicas; Envoy's counters carry it."""
    return f"rev_{revision.replace('.', '_')}"


def arm_name(revision: str) -> str:
    """Envoy's name for a revision and those that stand in for it."""
    return f"arm_{revision.replace('.', '_')}"


def clusters(endpoints: Sequence[Endpoints], weights: Mapping[str, int]) -> Json:
    """The cluster discovery document."""
    sharing = [revision for revision, weight in sorted(weights.items(), key=_heaviest) if weight]
    known = {each.revision for each in endpoints}
    resources: list[Json] = []
    for each in endpoints:
        others = [name for name in sharing if name != each.revision and name in known]
        resources += [_cluster(each, alone=not others), _arm(each.revision, others)]
    return _discovery(resources)


def routes(weights: Mapping[str, int], pinnable: Sequence[str], mirror: str | None) -> Json:
    """The route discovery document.

    Args:
        weights: Percent per revision; empty answers 503.
        pinnable: Revisions that a request may ask for by the header `x-revision`.
        mirror: Revision that gets a copy of every request and whose answers nobody sees.
    """
    shares = _shares(tuple(sorted(weights.items())))
    return _routed(pinnable, {"weighted_clusters": {"clusters": shares}}, mirror)


def sticky_routes(slots: Sequence[tuple[str, int]], pinnable: Sequence[str], header: str) -> Json:
    """The route discovery document of an a-b test: the hash of a header chooses the arm.

    Envoy takes the hash modulo the sum of all weights and walks the list: whoever stands in the same
    place with the same weights serves the same keys. A request without the header goes by chance.

    Args:
        slots: Revision and percent, in the order of the hash range.
        pinnable: As in `routes`.
        header: Name of the key's header, lower case.
    """
    spread = {
        "weighted_clusters": {"clusters": _shares(slots), "use_hash_policy": True},
        "hash_policy": [{"header": {"header_name": header}}],
    }
    return _routed(pinnable, spread, None)


def _routed(pinnable: Sequence[str], spread: Json, mirror: str | None) -> Json:
    routes = [*map(_pin, pinnable), *_spread(spread, mirror)]
    host = {"name": "all", "domains": ["*"], "routes": routes}
    resource = {
        "@type": f"{_TYPES}.config.route.v3.RouteConfiguration",
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


def _cluster(each: Endpoints, *, alone: bool) -> Json:
    name = cluster_name(each.revision)
    hosts = [{"endpoint": {"address": _address(port)}} for port in each.ports]
    return {
        "@type": f"{_TYPES}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]},
        **_BREAKERS,
        "common_lb_config": _BALANCING,
        "health_checks": [_probe()],
        **_ejection(each, alone=alone),
    }


def _ejection(each: Endpoints, *, alone: bool) -> Json:
    """Eject a replica that fails in a row, unless nobody could stand in for it."""
    share = 50 if alone else 100
    if alone and len(each.ports) < 2:  # noqa: PLR2004 - one replica
        return {}
    rule = {"consecutive_5xx": 20, "consecutive_gateway_failure": 5, "interval": "1s"}
    return {"outlier_detection": {**rule, "base_ejection_time": "5s", "max_ejection_percent": share}}


def _probe() -> Json:
    return {
        "timeout": "1s",
        "interval": "0.5s",
        "no_traffic_interval": "0.5s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/v2/health/ready"},
    }


def _arm(revision: str, others: Sequence[str]) -> Json:
    kind = {
        "@type": f"{_TYPES}.extensions.clusters.aggregate.v3.ClusterConfig",
        "clusters": [cluster_name(name) for name in (revision, *others)],
    }
    return {
        "@type": f"{_TYPES}.config.cluster.v3.Cluster",
        "name": arm_name(revision),
        "connect_timeout": "0.25s",
        "lb_policy": "CLUSTER_PROVIDED",
        **_BREAKERS,  # the arm's breaker counts retries; by default three at a time
        "cluster_type": {"name": "envoy.clusters.aggregate", "typed_config": kind},
    }


def _pin(revision: str) -> Json:
    header = {"name": "x-revision", "string_match": {"exact": revision}}
    return {
        "match": {"prefix": "/", "headers": [header]},
        "route": {"cluster": cluster_name(revision), "timeout": _REQUEST_TIMEOUT},
        "response_headers_to_add": [_names(revision)],
    }


def _shares(weights: Sequence[tuple[str, int]]) -> list[Json]:
    return [
        {"name": arm_name(name), "weight": weight, "response_headers_to_add": [_names(name)]}
        for name, weight in weights
        if weight
    ]


def _spread(spread: Json, mirror: str | None) -> list[Json]:
    """Scoring may be repeated. Handing in or withdrawing a job and loading a model may not."""
    if not spread["weighted_clusters"]["clusters"]:
        text = {"inline_string": "no revision has any traffic\n"}
        return [{"match": _REST, "direct_response": {"status": 503, "body": text}}]
    common = {**spread, "timeout": _REQUEST_TIMEOUT}
    if mirror:
        common["request_mirror_policies"] = [{"cluster": cluster_name(mirror)}]
    kinds = [(_JOB, _UNSEEN), *((match, _LOST) for match in _SCORING), (_REST, _UNSEEN)]
    return [{"match": match, "route": {**common, "retry_policy": _retry(when)}} for match, when in kinds]


def _names(revision: str) -> Json:
    """The arm's name, where the runtime did not say its own: an answer of Envoy's."""
    return {"header": {"key": "x-revision", "value": revision}, "append_action": "ADD_IF_ABSENT"}


def _retry(when: str) -> Json:
    """Try again on the next arm where there is one, else on another replica."""
    extension = f"{_TYPES}.extensions.retry"
    config = {
        "@type": f"{extension}.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        "update_frequency": 1,
    }
    others = {"@type": f"{extension}.host.previous_hosts.v3.PreviousHostsPredicate"}
    return {
        "retry_on": when,
        "num_retries": _RETRIES,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.01s"},
        "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": config},
        "retry_host_predicate": [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": others}
        ],
        "host_selection_retry_max_attempts": _RESELECTIONS,
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _watch(folder: Path, name: str) -> Json:
    source = {"path": str(folder / name), "watched_directory": {"path": str(folder)}}
    return {"path_config_source": source}


def _listener(folder: Path, port: int) -> Json:
    manager = {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        "codec_type": "AUTO",
        "generate_request_id": False,
        "rds": {"route_config_name": ROUTE_CONFIG, "config_source": _watch(folder / "rds", "rds.json")},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"},
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
