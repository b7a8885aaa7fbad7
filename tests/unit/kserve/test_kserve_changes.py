"""From one state of the object to the next, and what is read out of a cluster's objects."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve_whole_objects import canary_manifest, promoted_manifest, rolled_back_manifest

from modelway.errors import ConfigError
from serving.kserve.changes import (
    changed,
    next_name,
    patch_to,
    promoted,
    rolled_back,
    scaled,
    toward,
    weighed,
    with_canary,
)
from serving.kserve.manifests import stable_manifest
from serving.kserve.spec import Arm, Scaling, Service
from serving.kserve.view import available, readiness, shares, surplus, view_of

V1 = Arm(storage_uri="s3://m/1", replicas=4, revision="paint-v1", digest="a" * 64)
V2 = Arm(storage_uri="s3://m/2", replicas=1, name="r2", revision="paint-v2", digest="b" * 64)


def applied(manifest: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {**manifest["metadata"], "generation": manifest["metadata"]["generation"] + 1}
    return {**changed(manifest, spec), "metadata": metadata}


def walk(stable: dict[str, Any], weight: int, *, surplus: int = 0) -> list[dict[str, Any]]:
    """Every object on the way from one revision to a share, pods becoming ready in between."""
    service = Service(name="paint")
    objects = [applied(stable, with_canary(stable, service, V2))]
    for _ in range(10):
        canary = view_of(objects[-1]).canary
        spec = toward(objects[-1], weight, surplus=surplus, canary_now=canary.replicas if canary else 0)
        if spec is None:
            return objects
        objects.append(applied(objects[-1], spec))
    raise AssertionError("it never ends")


def test_changes_lead_to_what_would_have_been_rendered(stable: dict[str, Any]) -> None:
    service = Service(name="paint")
    dark = with_canary(stable, service, V2)
    at_5 = weighed(changed(stable, dark), 5)

    assert dark == canary_manifest(service, V1, V2, weight=0)["spec"]
    assert at_5 == canary_manifest(service, V1, V2, weight=5)["spec"]
    assert rolled_back(changed(stable, at_5)) == rolled_back_manifest(service, V1)["spec"]
    four = V2.model_copy(update={"replicas": 4})
    new = promoted(changed(stable, scaled(changed(stable, at_5), 4)))
    expected = promoted_manifest(service, four)["spec"]
    assert new["predictor"].pop("model") == {"name": "", **expected["predictor"].pop("model")}
    assert new == expected


def test_the_canarys_pods_do_not_change_by_promotion(stable: dict[str, Any]) -> None:
    stable["spec"]["predictor"] |= {"nodeSelector": {"disk": "ssd"}, "maxReplicas": 8, "scaleTarget": 70}
    stable["spec"]["predictor"]["model"]["resources"] = {"limits": {"cpu": "2"}}
    shared = changed(stable, with_canary(stable, Service(name="paint"), V2))
    before = shared["spec"]["canary"][0]["predictor"]

    after = promoted(shared)["predictor"]

    scaling = {"minReplicas", "maxReplicas", "scaleTarget"}
    assert {k: v for k, v in after.items() if k not in scaling} == {
        k: v for k, v in before.items() if k != "minReplicas"
    }
    assert (after["maxReplicas"], after["scaleTarget"], after["minReplicas"]) == (8, 70, 4)
    assert before["nodeSelector"] == {"disk": "ssd"}
    assert before["model"]["resources"] == {"limits": {"cpu": "2"}}


def test_pods_come_before_traffic_on_the_way_to_all_of_it(stable: dict[str, Any]) -> None:
    steps = [
        (view.stable.replicas, view.canary.replicas, view.weight) for view in map(view_of, walk(stable, 100))
    ]

    assert steps == [(5, 1, 0), (8, 4, 0), (8, 4, 100)]


def test_traffic_waits_for_every_pod(shared: dict[str, Any]) -> None:
    grown = applied(shared, scaled(shared, 4))

    assert toward(grown, 100, surplus=0, canary_now=3) is None
    assert toward(grown, 100, surplus=0, canary_now=4) == weighed(grown, 100)


def test_a_smaller_share_waits_for_nothing(shared: dict[str, Any]) -> None:
    spec = toward(shared, 1, surplus=0, canary_now=0)

    assert spec == weighed(shared, 1)


@settings(deadline=None)  # the first example builds the SDK's schema
@given(weight=st.integers(1, 100), capacity=st.integers(1, 12), grown=st.integers(0, 12))
def test_each_object_on_the_way_keeps_the_capacity_that_carries_the_traffic(
    weight: int, capacity: int, grown: int
) -> None:
    arm = V1.model_copy(update={"replicas": capacity})
    stable = stable_manifest(Service(name="paint", scaling=Scaling(max_replicas=20)), arm)
    stable["metadata"]["generation"] = 1

    objects = walk(stable, weight, surplus=grown)
    for before, each in zip([stable, *objects], objects, strict=False):
        view = view_of(each)
        assert view.canary is not None
        # KServe runs minReplicas minus the canary's ready replicas: never fewer than before the rollout.
        assert view.stable.replicas - view.canary.replicas == capacity
        assert view.canary.replicas >= math.ceil((capacity + grown) * view.weight / 100)
        assert patch_to(before, each["spec"])


def test_the_autoscalers_pods_are_carried_over_too(shared: dict[str, Any]) -> None:
    spec = toward(shared, 50, surplus=3, canary_now=1)

    assert spec is not None
    assert spec["canary"][0]["predictor"]["minReplicas"] == 4  # half of the seven that carry the traffic now


def test_a_patch_holds_for_the_generation_that_was_read(shared: dict[str, Any]) -> None:
    operations = patch_to(shared, weighed(shared, 25))

    assert operations[0] == {"op": "test", "path": "/metadata/generation", "value": 2}
    assert [(each["op"], each["path"]) for each in operations[1:]] == [("add", "/spec/canary")]


def test_promotion_and_rollback_are_one_patch_each(shared: dict[str, Any]) -> None:
    for spec in (promoted(shared), rolled_back(shared)):
        paths = [each["path"] for each in patch_to(shared, spec)]
        assert paths == ["/metadata/generation", "/spec/predictor", "/spec/canary"]


def test_a_patch_to_something_unsound_is_not_made(shared: dict[str, Any]) -> None:
    spec = weighed(shared, 25)
    spec["predictor"]["canaryTrafficPercent"] = 25

    with pytest.raises(ConfigError, match="does nothing"):
        patch_to(shared, spec)


def test_names_are_new_each_time(stable: dict[str, Any], shared: dict[str, Any]) -> None:
    assert (next_name(stable), next_name(shared)) == ("r2", "r3")
    assert next_name(stable, standby=True) == "s2"


def test_a_service_of_somebody_else_is_left_alone(stable: dict[str, Any]) -> None:
    stable["spec"]["predictor"].pop("labels")

    with pytest.raises(ConfigError, match="none of ours"):
        view_of(stable)


def route(*rules: dict[str, int | None], **status: Any) -> dict[str, Any]:
    refs = [
        [{"name": name} | ({} if weight is None else {"weight": weight}) for name, weight in rule.items()]
        for rule in rules
    ]
    return {"spec": {"rules": [{"backendRefs": each} for each in refs]}, "status": status}


def refused(status: str) -> dict[str, Any]:
    return {"parents": [{"conditions": [{"type": "Accepted", "status": status}]}]}


@pytest.mark.parametrize(
    ("httproute", "expected"),
    [
        pytest.param(route({"a": 1}), {"a": 100}, id="one-backend-has-weight-1"),
        pytest.param(route({"a": None}), {"a": 100}, id="no-weight-is-1"),
        pytest.param(route({"a": 95, "b": 5}), {"a": 95, "b": 5}, id="two"),
        pytest.param(route({"a": 0, "b": 100}), {"a": 0, "b": 100}, id="all-to-the-second"),
        pytest.param(route({"a": 95, "b": 5}, {"a": 100}), None, id="rules-that-differ"),
        pytest.param(route(), None, id="no-rules"),
        pytest.param(route({"a": 0}), None, id="nobody"),
        pytest.param(route({"a": 1, "b": 2}), None, id="no-whole-percentage"),
        pytest.param(route({"a": 1}, **refused("False")), None, id="refused-by-the-gateway"),
        pytest.param(route({"a": 1}, **refused("True")), {"a": 100}, id="accepted"),
    ],
)
def test_shares_are_read_from_the_route_or_are_not_known(httproute, expected) -> None:
    assert shares(httproute) == expected


def deployment(generation: int = 2, **status: int) -> dict[str, Any]:
    return {"metadata": {"name": "d", "generation": generation}, "status": status}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(None, 0, id="no-deployment"),
        pytest.param(deployment(observedGeneration=2, availableReplicas=3, updatedReplicas=3), 3, id="ready"),
        pytest.param(
            deployment(observedGeneration=1, availableReplicas=3, updatedReplicas=3), 0, id="not-seen-yet"
        ),
        pytest.param(
            deployment(observedGeneration=2, availableReplicas=3, updatedReplicas=1), 1, id="old-pods"
        ),
        pytest.param(deployment(), 0, id="no-status"),
    ],
)
def test_a_replica_counts_once_it_serves_the_newest_template(found, expected: int) -> None:
    assert available(found) == expected


@pytest.mark.parametrize(
    ("autoscaler", "expected"),
    [
        pytest.param(None, 0, id="none"),
        pytest.param({"spec": {"minReplicas": 4}, "status": {"desiredReplicas": 4}}, 0, id="at-its-bound"),
        pytest.param({"spec": {"minReplicas": 4}, "status": {"desiredReplicas": 7}}, 3, id="under-load"),
        pytest.param({"spec": {"minReplicas": 4}}, 0, id="not-looked-yet"),
    ],
)
def test_what_the_load_asks_for_beyond_the_bound_is_surplus(autoscaler, expected: int) -> None:
    assert surplus(autoscaler) == expected


def test_a_pod_that_cannot_start_says_why(shared: dict[str, Any]) -> None:
    canary = view_of(shared).canary
    ended = {"reason": "Error", "message": "starting\nerror: bundle rejected: model.onnx was altered"}
    statuses = [
        {"name": "storage-initializer", "restartCount": 0, "state": {"terminated": {"reason": "Completed"}}},
    ]
    crashed = [{"name": "kserve-container", "restartCount": 3, "lastState": {"terminated": ended}}]
    pod = {
        "metadata": {"name": "p", "uid": "1"},
        "status": {"initContainerStatuses": statuses, "containerStatuses": crashed},
    }
    leaving = {"metadata": {"name": "q", "uid": "2", "deletionTimestamp": "now"}, "status": pod["status"]}
    assert canary is not None

    found = readiness(canary, 1, deployment(observedGeneration=2), [pod, leaving])

    assert (found.wanted, found.ready, found.restarts) == (1, 0, 3)
    assert found.problem == "kserve-container: Error error: bundle rejected: model.onnx was altered"


def test_a_pod_that_no_node_takes_says_why(shared: dict[str, Any]) -> None:
    canary = view_of(shared).canary
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
    assert canary is not None

    found = readiness(canary, 1, None, [{"metadata": {}, "status": {"conditions": [condition]}}])

    assert found.problem == "Unschedulable: no GPU"
    assert readiness(canary, 1, None, []).problem == "Deployment paint-r2-predictor is not there yet"
