from pathlib import Path
from typing import Any

from serving.gateway import xds
from serving.gateway.xds import Calls, Endpoints
from serving.runtime.grpc.http2 import MAX_STREAMS


def named(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in document["resources"] if each["name"] == name)


def test_the_same_wish_has_the_same_version_and_another_one_another() -> None:
    arms = [Endpoints(revision="v1", ports=(1,))]

    assert xds.clusters(arms, {"v1": 100}) == xds.clusters(arms, {"v1": 100})
    moved = xds.clusters([Endpoints(revision="v1", ports=(2,))], {"v1": 100})
    assert moved["version_info"] != xds.clusters(arms, {"v1": 100})["version_info"]


def test_a_canary_is_stood_in_for_by_the_arm_with_most_traffic() -> None:
    arms = [Endpoints(revision=name, ports=(1,)) for name in ("v1", "v2", "v3", "warm")]

    document = xds.clusters(arms, {"v1": 70, "v2": 5, "v3": 25})

    order = named(document, "arm_v2")["cluster_type"]["typed_config"]["clusters"]
    assert order == ["rev_v2", "rev_v1", "rev_v3"]  # never the warm one, which has no traffic


def test_a_sole_replica_that_nobody_stands_in_for_is_never_ejected() -> None:
    alone = xds.clusters([Endpoints(revision="v1", ports=(1,))], {"v1": 100})
    shared = xds.clusters([Endpoints(revision=n, ports=(1,)) for n in ("v1", "v2")], {"v1": 95, "v2": 5})
    pair = xds.clusters([Endpoints(revision="v1", ports=(1, 2))], {"v1": 100})

    assert "outlier_detection" not in named(alone, "rev_v1")
    assert named(shared, "rev_v2")["outlier_detection"]["max_ejection_percent"] == 100
    assert named(pair, "rev_v1")["outlier_detection"]["max_ejection_percent"] == 50
    assert named(shared, "rev_v2")["common_lb_config"]["healthy_panic_threshold"]["value"] == 0


def test_a_replicas_health_counts_at_once() -> None:
    document = xds.clusters([Endpoints(revision="v1", ports=(1, 2))], {"v1": 100})

    assert named(document, "rev_v1")["common_lb_config"]["update_merge_window"] == "0s"


def test_weights_mirror_and_pins() -> None:
    document = xds.routes({"v1": 95, "v2": 5, "v0": 0}, ["v1", "v2"], "v2")

    *pins, a_job, v2, v1, rest = document["resources"][0]["virtual_hosts"][0]["routes"]
    for spread in (a_job, v2, v1, rest):
        shares = {c["name"]: c["weight"] for c in spread["route"]["weighted_clusters"]["clusters"]}
        assert shares == {"arm_v1": 95, "arm_v2": 5}
        assert spread["route"]["request_mirror_policies"] == [{"cluster": "rev_v2"}]
    assert [pin["match"]["headers"][0]["string_match"]["exact"] for pin in pins] == ["v1", "v2"]


UNSEEN = {"connect-failure", "refused-stream", "reset-before-request"}


def test_scoring_is_repeated_and_jobs_and_loads_are_only_when_no_server_saw_them() -> None:
    routes = xds.routes({"v1": 100}, [], None)["resources"][0]["virtual_hosts"][0]["routes"]

    tried = [
        (each["match"]["prefix"], set(each["route"]["retry_policy"]["retry_on"].split(",")))
        for each in routes
    ]
    assert tried == [
        ("/", UNSEEN),
        ("/v2/models/", {*UNSEEN, "reset"}),
        ("/v1/models/", {*UNSEEN, "reset"}),
        ("/", UNSEEN),
    ]
    assert routes[0]["match"]["query_parameters"] == [{"name": "async", "present_match": True}]


def test_a_request_reaches_three_processes_at_most_and_none_twice_where_there_is_another() -> None:
    for each in xds.routes({"v1": 100}, [], None)["resources"][0]["virtual_hosts"][0]["routes"]:
        policy = each["route"]["retry_policy"]
        assert policy["num_retries"] == 2
        assert [each["name"] for each in policy["retry_host_predicate"]] == [
            "envoy.retry_host_predicates.previous_hosts"
        ]


def test_a_pinned_request_is_never_tried_again() -> None:
    (pin, *_) = xds.routes({"v1": 100}, ["v1"], None)["resources"][0]["virtual_hosts"][0]["routes"]

    assert "retry_policy" not in pin["route"]


def test_an_arm_may_repeat_more_requests_at_a_time_than_envoys_three() -> None:
    document = xds.clusters([Endpoints(revision="v1", ports=(1,))], {"v1": 100})

    for name in ("arm_v1", "rev_v1"):
        assert named(document, name)["circuit_breakers"]["thresholds"][0]["max_retries"] == 1024


def test_nobody_having_traffic_is_said() -> None:
    (only,) = xds.routes({}, [], None)["resources"][0]["virtual_hosts"][0]["routes"]

    assert only["direct_response"]["status"] == 503


def test_the_listener_shares_its_port_with_nobody() -> None:
    (listener,) = xds.bootstrap(Path("/x"), port=1, admin_port=2)["static_resources"]["listeners"]

    assert listener["enable_reuse_port"] is False
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 1}


def test_sticky_routes_hash_the_key_and_keep_the_order_of_the_slots() -> None:
    document = xds.sticky_routes((("v1", 60), ("v1", 20), ("v3", 20)), ["v1"], "x-key")

    route = document["resources"][0]["virtual_hosts"][0]["routes"][-1]["route"]
    clusters = [(c["name"], c["weight"]) for c in route["weighted_clusters"]["clusters"]]
    assert clusters == [("arm_v1", 60), ("arm_v1", 20), ("arm_v3", 20)]
    assert route["weighted_clusters"]["use_hash_policy"] is True
    assert route["hash_policy"] == [{"header": {"header_name": "x-key"}}]


def routed(document: dict[str, Any]) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = document["resources"][0]["virtual_hosts"][0]["routes"]
    return routes


def test_grpc_has_clusters_and_arms_of_its_own_at_ports_of_its_own() -> None:
    arms = [
        Endpoints(revision="v1", ports=(1,), grpc_ports=(11,)),
        Endpoints(revision="v2", ports=(2,), grpc_ports=(12,)),
        Endpoints(revision="old", ports=(3,)),
    ]

    document = xds.clusters(arms, {"v1": 90, "v2": 5, "old": 5})

    cluster = named(document, "grpc_rev_v2")
    (host,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert host["endpoint"]["address"]["socket_address"]["port_value"] == 12
    assert "grpc_health_check" in cluster["health_checks"][0]
    (options,) = cluster["typed_extension_protocol_options"].values()
    streams = options["explicit_http_config"]["http2_protocol_options"]["max_concurrent_streams"]
    assert streams <= MAX_STREAMS / 2  # what a predictor refuses would be its revision's error
    order = named(document, "grpc_arm_v2")["cluster_type"]["typed_config"]["clusters"]
    assert order == ["grpc_rev_v2", "grpc_rev_v1"]  # never one that cannot speak it
    assert not {each["name"] for each in document["resources"]} & {"grpc_rev_old", "grpc_arm_old"}
    assert "typed_extension_protocol_options" not in named(document, "rev_v2")


def test_calls_are_shared_out_as_requests_are_and_told_by_their_content_type() -> None:
    calls = Calls(pinnable=("v1",), complete=True)
    routes = routed(xds.routes({"v1": 95, "v2": 5}, ["v1", "v2"], "v2", calls))

    spread = [each["route"] for each in routes if "grpc" in each["match"] and "headers" not in each["match"]]
    for route in spread:
        shares = {c["name"]: c["weight"] for c in route["weighted_clusters"]["clusters"]}
        assert shares == {"grpc_arm_v1": 95, "grpc_arm_v2": 5}
        assert route["request_mirror_policies"] == [{"cluster": "grpc_rev_v2"}]
    infer, watch, rest = spread
    assert set(infer["retry_policy"]["retry_on"].split(",")) == {*UNSEEN, "reset"}
    assert set(rest["retry_policy"]["retry_on"].split(",")) == UNSEEN
    assert (infer["timeout"], watch["timeout"], watch["idle_timeout"]) == ("15s", "0s", "0s")
    pinned = [each["route"]["cluster"] for each in routes if "headers" in each["match"]]
    assert pinned == ["grpc_rev_v1", "grpc_rev_v1", "rev_v1", "rev_v2"]  # a Watch, any call; requests


def test_calls_are_unavailable_until_everybody_with_traffic_speaks_grpc() -> None:
    routes = routed(xds.routes({"v1": 95, "v2": 5}, ["v1"], None, Calls(pinnable=("v1",))))

    *_, nobody, _, _, _, _ = routes
    assert nobody["match"] == {"prefix": "/", "grpc": {}}
    assert nobody["direct_response"]["status"] == 503


def test_sticky_calls_hash_the_same_key_over_the_same_slots() -> None:
    slots = (("v1", 60), ("v1", 20), ("v3", 20))
    routes = routed(xds.sticky_routes(slots, [], "x-key", Calls(complete=True)))

    first = routes[0]["route"]
    assert first["hash_policy"] == routes[-1]["route"]["hash_policy"]
    found = [(c["name"], c["weight"]) for c in first["weighted_clusters"]["clusters"]]
    assert found == [("grpc_arm_v1", 60), ("grpc_arm_v1", 20), ("grpc_arm_v3", 20)]


def test_without_grpc_the_documents_say_nothing_of_it() -> None:
    arms = [Endpoints(revision="v1", ports=(1,))]

    assert "grpc" not in str(xds.clusters(arms, {"v1": 100}))
    assert "grpc" not in str(xds.routes({"v1": 100}, ["v1"], None))
