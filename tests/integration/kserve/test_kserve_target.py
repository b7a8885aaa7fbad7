"""The target against the API: the order of its patches, what it sees, and what it does when it is told no."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fake_controller import DEPLOYMENT, HPA, ISVC, POD, ROUTE
from fake_kubelets import InstantKubelet
from fake_kubernetes_api import FakeKubernetesApi

from modelway.errors import BundleRejectedError, ConfigError, NotReadyError, TransitionError
from serving.kserve.client import Cluster
from serving.kserve.places import Places
from serving.kserve.spec import Mode, Service
from serving.rollout.kserve import KServeTarget
from serving.rollout.target import Revision, Routing, Window

RunsAs = Callable[[str, int], Revision]
WINDOW = Window(id="w1", opened_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def served(api: FakeKubernetesApi, target: KServeTarget, runs_as: RunsAs) -> KServeTarget:
    """paint-v1 with four replicas and all traffic."""
    target.deploy(runs_as("good", 1), replicas=4)
    api.settle()
    return target


@pytest.fixture
def shared(api: FakeKubernetesApi, served: KServeTarget, runs_as: RunsAs) -> KServeTarget:
    """paint-v2 beside it with 25 %."""
    served.deploy(runs_as("better", 2), replicas=1)
    api.settle()
    served.route({"paint-v1": 75, "paint-v2": 25})
    api.settle()
    return served


def spec(api: FakeKubernetesApi) -> dict[str, Any]:
    found = api.objects.get(ISVC, "paint")
    assert found is not None
    return found["spec"]


def asked(api: FakeKubernetesApi) -> tuple[int, int | None, int | None]:
    """What stands in the object: stable minReplicas, canary minReplicas, canary share."""
    canary = (spec(api).get("canary") or [None])[0]
    mine = (canary["predictor"]["minReplicas"], canary["trafficPercent"]) if canary else (None, None)
    return (spec(api)["predictor"]["minReplicas"], *mine)


def running(api: FakeKubernetesApi) -> dict[str, int]:
    return {
        one["metadata"]["name"]: one["status"]["availableReplicas"] for one in api.objects.list(DEPLOYMENT)
    }


def patches(api: FakeKubernetesApi) -> int:
    return sum(method == "PATCH" for method, _ in api.calls)


def test_the_first_revision_is_made_with_its_bundle_uploaded(
    api: FakeKubernetesApi, served: KServeTarget, runs_as: RunsAs, tmp_path: Path
) -> None:
    revision = runs_as("good", 1)

    model = spec(api)["predictor"]["model"]
    assert model["storageUri"] == f"file://{tmp_path}/store/paint/{revision.digest}"
    stored = tmp_path / "store" / "paint" / revision.digest
    assert {one.name for one in stored.iterdir()} == {one.name for one in revision.bundle.iterdir()}
    assert running(api) == {"paint-predictor": 4}
    assert served.live() == revision
    assert served.gateway_url == "http://paint-default.example.com"


def test_a_rollout_to_all_traffic_never_leaves_too_few_pods(
    api: FakeKubernetesApi, served: KServeTarget, runs_as: RunsAs
) -> None:
    served.deploy(runs_as("better", 2), replicas=1)
    api.settle()
    assert asked(api) == (5, 1, 0)
    history = []
    for share in (5, 25, 50, 100):
        weights = {"paint-v1": 100 - share, "paint-v2": share}
        for _ in range(5):
            served.route(weights)
            api.do(api.controller.reconcile)
            history.append(
                (*running(api).values(), (served.routing() or Routing(weights={})).weights["paint-v2"])
            )
        assert served.routing() == Routing(weights=weights)

    assert all(stable >= 4 for stable, _, _ in history)
    assert all(canary >= 4 * share / 100 for _, canary, share in history)
    assert [share for _, _, share in history] == sorted(share for _, _, share in history)


def test_traffic_waits_until_the_pods_it_needs_are_there(
    api: FakeKubernetesApi, kubelet: InstantKubelet, shared: KServeTarget
) -> None:
    kubelet.held["paint-r2-predictor"] = 2

    for _ in range(4):
        shared.route({"paint-v2": 100})
        api.settle()

    readiness = shared.ready("paint-v2")
    assert asked(api) == (8, 4, 25)
    assert readiness is not None
    assert (readiness.wanted, readiness.ready, readiness.complete) == (4, 2, False)


def test_pods_that_the_load_called_for_are_carried_over(api: FakeKubernetesApi, shared: KServeTarget) -> None:
    grown = {"desiredReplicas": 6}
    api.objects.mutate(HPA, "paint-predictor", lambda one: one.update(status=grown))

    for _ in range(4):
        shared.route({"paint-v2": 100})
        api.settle()

    assert asked(api) == (10, 6, 100)


def test_a_canary_that_never_becomes_ready_is_seen_though_kserve_says_ready(
    api: FakeKubernetesApi, kubelet: InstantKubelet, served: KServeTarget, runs_as: RunsAs
) -> None:
    kubelet.held["paint-r2-predictor"] = 0
    served.deploy(runs_as("better", 2), replicas=1)
    api.settle()

    status = (api.objects.get(ISVC, "paint") or {})["status"]
    assert {"type": "Ready", "status": "True"} in status["conditions"]
    readiness = served.ready("paint-v2")
    assert readiness is not None
    assert (readiness.wanted, readiness.ready) == (1, 0)


def test_rolling_back_is_one_patch_and_gives_the_replicas_back(
    api: FakeKubernetesApi, shared: KServeTarget
) -> None:
    before = patches(api)

    shared.route({"paint-v1": 100})
    api.settle()

    assert patches(api) - before == 1
    assert asked(api) == (4, None, None)
    assert running(api) == {"paint-predictor": 4}
    assert shared.routing() == Routing(weights={"paint-v1": 100})
    assert shared.ready("paint-v2") is None
    shared.retire("paint-v2")
    assert patches(api) - before == 1


def test_promotion_is_one_patch_keeps_the_pods_and_removes_the_old_autoscaler(
    api: FakeKubernetesApi, busy_api: FakeKubernetesApi, make_target: Any, runs_as: RunsAs
) -> None:
    target = make_target(busy_api)
    target.serve(runs_as("good", 1), replicas=2, limit_s=10)
    assert [one["metadata"]["name"] for one in busy_api.objects.list(HPA)] == ["paint-predictor"]
    target.serve(runs_as("better", 2), replicas=1, limit_s=10)

    assert spec(busy_api)["predictor"]["name"] == "r2"
    assert spec(busy_api)["canary"] == []
    assert asked(busy_api) == (2, None, None)
    assert spec(busy_api)["predictor"]["maxReplicas"] == 8
    assert [one["metadata"]["name"] for one in busy_api.objects.list(HPA)] == ["paint-r2-predictor"]
    made = [one for kind, event, one in busy_api.objects.events if (kind, event) == (POD, "ADDED")]
    names = [one["metadata"]["name"] for one in made if one["metadata"]["name"].startswith("paint-r2")]
    assert sorted(names) == sorted(one["metadata"]["name"] for one in busy_api.objects.list(POD))


def test_a_revision_that_has_no_traffic_cannot_be_promoted(shared: KServeTarget) -> None:
    with pytest.raises(TransitionError, match="not given all traffic"):
        shared.promote("paint-v2", limit_s=1)


def test_a_promotion_left_undone_is_done_by_the_next_rollout(
    api: FakeKubernetesApi, shared: KServeTarget, runs_as: RunsAs
) -> None:
    for _ in range(3):
        shared.route({"paint-v2": 100})
        api.settle()
    third = runs_as("failing", 3)
    assert shared.live().id == "paint-v2"

    for _ in range(3):
        shared.deploy(third, replicas=1)
        api.settle()

    assert spec(api)["predictor"]["labels"] == {"modelway-revision": "paint-v2"}
    assert spec(api)["canary"][0]["predictor"]["labels"] == {"modelway-revision": "paint-v3"}
    names = {spec(api)["predictor"]["name"], spec(api)["canary"][0]["predictor"]["name"]}
    assert len(names) == 2


def test_retiring_the_old_revision_promotes_the_new_one(api: FakeKubernetesApi, shared: KServeTarget) -> None:
    with pytest.raises(ConfigError, match="still has traffic"):
        shared.retire("paint-v1")
    for _ in range(3):
        shared.route({"paint-v2": 100})
        api.settle()

    shared.retire("paint-v1")
    api.settle()

    assert shared.routing() == Routing(weights={"paint-v2": 100})


def test_asking_again_changes_nothing(api: FakeKubernetesApi, shared: KServeTarget, runs_as: RunsAs) -> None:
    before = api.objects.get(ISVC, "paint")

    shared.deploy(runs_as("better", 2), replicas=1)
    shared.route({"paint-v1": 75, "paint-v2": 25})
    shared.retire("paint-v9")

    assert api.objects.get(ISVC, "paint") == before


def test_another_process_reads_everything_from_the_cluster(
    api: FakeKubernetesApi, shared: KServeTarget, make_target: Any
) -> None:
    other = make_target(api)

    assert other.routing() == Routing(weights={"paint-v1": 75, "paint-v2": 25})
    readiness = other.ready("paint-v2")
    assert readiness is not None
    assert readiness.complete
    with pytest.raises(TransitionError, match="'paint-v2': 25"):
        other.live()


def test_somebody_elses_change_in_between_is_never_overwritten(
    api: FakeKubernetesApi, shared: KServeTarget
) -> None:
    def scale() -> None:
        api.objects.mutate(ISVC, "paint", lambda one: one["spec"]["predictor"].update(minReplicas=9))

    api.before_write = scale
    shared.route({"paint-v1": 100})
    assert spec(api)["predictor"]["minReplicas"] == 9
    assert spec(api)["canary"]

    shared.route({"paint-v1": 100})
    assert asked(api) == (8, None, None)  # 9 with one replica for the canary among them


def test_an_api_server_that_fails_for_a_moment_ends_no_rollout(
    api: FakeKubernetesApi, shared: KServeTarget
) -> None:
    api.refusals = [500, 503]
    assert shared.routing() == Routing(weights={"paint-v1": 75, "paint-v2": 25})

    api.refusals = [500] * 3
    shared.route({"paint-v1": 100})
    assert spec(api)["canary"]
    shared.route({"paint-v1": 100})
    assert not spec(api)["canary"]


def test_a_share_is_in_effect_when_the_route_has_it_not_when_it_was_asked_for(
    api: FakeKubernetesApi, shared: KServeTarget
) -> None:
    shared.route({"paint-v1": 90, "paint-v2": 10})

    assert asked(api) == (5, 1, 10)
    assert shared.routing() == Routing(weights={"paint-v1": 75, "paint-v2": 25})
    api.do(api.controller.reconcile)
    assert shared.routing() == Routing(weights={"paint-v1": 90, "paint-v2": 10})


def test_a_backend_that_nobody_knows_makes_the_shares_unknown(
    api: FakeKubernetesApi, shared: KServeTarget
) -> None:
    stranger = {"name": "somebody", "port": 80, "weight": 0}
    api.objects.mutate(ROUTE, "paint", lambda one: one["spec"]["rules"][0]["backendRefs"].append(stranger))

    assert shared.routing() is None


def test_counts_begin_with_the_window_and_come_from_every_pod(
    kubelet: InstantKubelet, shared: KServeTarget
) -> None:
    one, two, *_ = kubelet.pods("paint-v1")
    kubelet.answer(one, 200)
    shared.observe(WINDOW)
    for pod in (one, two):
        kubelet.answer(pod, 200)
    kubelet.answer(two, 500, took_ms=100)
    kubelet.counts[two].refused(422)

    seen = shared.observe(WINDOW)

    stable, canary = seen["paint-v1"], seen["paint-v2"]
    assert (stable.requests, stable.server_errors, stable.answered) == (3, 1, 3)
    assert (stable.slo_exceeded, stable.rejected, stable.invalid_outputs) == (1, 1, 0)
    assert (canary.requests, canary.server_errors) == (0, 0)


def test_a_pod_that_cannot_be_read_makes_its_revision_unknown_and_no_other(
    kubelet: InstantKubelet, shared: KServeTarget
) -> None:
    shared.observe(WINDOW)
    kubelet.silent.add(kubelet.pods("paint-v2")[0])

    seen = shared.observe(WINDOW)

    assert seen["paint-v2"].requests is None
    assert seen["paint-v2"].answered is None
    assert seen["paint-v1"].requests == 0


def test_a_crash_within_the_window_makes_the_errors_unknown(
    api: FakeKubernetesApi, kubelet: InstantKubelet, shared: KServeTarget
) -> None:
    shared.observe(WINDOW)
    kubelet.crash(kubelet.pods("paint-v2")[0])
    api.settle()

    seen = shared.observe(WINDOW)
    readiness = shared.ready("paint-v2")

    assert (seen["paint-v2"].requests, seen["paint-v2"].server_errors) == (None, None)
    assert readiness is not None
    assert readiness.restarts == 1
    later = shared.observe(Window(id="w2", opened_at=WINDOW.opened_at))
    assert later["paint-v2"].requests == 0


def test_a_mirror_is_refused(shared: KServeTarget) -> None:
    with pytest.raises(ConfigError, match="mirror"):
        shared.route({"paint-v1": 100}, mirror="paint-v2")


def test_knative_mode_is_refused(cluster: Cluster, places: Places) -> None:
    with pytest.raises(ConfigError, match="Knative"):
        KServeTarget(cluster, Service(name="paint", mode=Mode.KNATIVE), places)


def test_a_share_for_nobody_is_refused(served: KServeTarget) -> None:
    with pytest.raises(ConfigError, match="a share for paint-v7"):
        served.route({"paint-v1": 95, "paint-v7": 5})


def test_the_same_bundle_under_another_name_is_refused_before_anything_runs(
    served: KServeTarget, runs_as: RunsAs
) -> None:
    with pytest.raises(ConfigError, match="serves already"):
        served.deploy(runs_as("good", 2), replicas=1)


def test_a_name_never_gets_another_bundle(served: KServeTarget, runs_as: RunsAs) -> None:
    with pytest.raises(ConfigError, match="already runs bundle"):
        served.deploy(runs_as("better", 1), replicas=1)


def test_a_second_canary_is_refused(shared: KServeTarget, runs_as: RunsAs) -> None:
    with pytest.raises(TransitionError, match="stands beside"):
        shared.deploy(runs_as("failing", 3), replicas=1)


def test_an_altered_bundle_is_never_uploaded(served: KServeTarget, runs_as: RunsAs, tmp_path: Path) -> None:
    revision = runs_as("better", 2)
    model = revision.bundle / "model.onnx"
    model.chmod(0o644)
    model.write_bytes(b"x")

    with pytest.raises(BundleRejectedError):
        served.deploy(revision, replicas=1)
    assert not (tmp_path / "store" / "paint" / revision.digest).exists()


def test_a_first_release_that_never_comes_up_is_an_error(
    busy_api: FakeKubernetesApi, kubelet: InstantKubelet, make_target: Any, runs_as: RunsAs
) -> None:
    kubelet.held["paint-predictor"] = 0

    with pytest.raises(NotReadyError, match="revision paint-v1 did not come within 1 s"):
        make_target(busy_api).serve(runs_as("good", 1), limit_s=1)
