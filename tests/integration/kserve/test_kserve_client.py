"""The client's border: an answer, nothing there, or an error of ours that says what to do."""

from pathlib import Path

import pytest
from fake_kubernetes_api import FakeKubernetesApi

from modelway.errors import ConfigError, ConflictError, NotRunningError
from serving.kserve.client import Cluster, Kind
from serving.kserve.manifests import stable_manifest
from serving.kserve.spec import Arm, Manifest, Service

SHARE = "/spec/predictor/minReplicas"


@pytest.fixture
def manifest(cluster: Cluster) -> Manifest:
    arm = Arm(storage_uri="s3://m/1", replicas=2, revision="paint-v1", digest="a")
    return cluster.create(Kind.INFERENCE_SERVICE, stable_manifest(Service(name="paint"), arm))


def test_what_is_not_there_is_an_answer(cluster: Cluster) -> None:
    assert cluster.get(Kind.INFERENCE_SERVICE, "paint") is None
    assert cluster.select(Kind.POD, "app=x") == []
    assert cluster.delete(Kind.AUTOSCALER, "paint-predictor") is False


def test_what_is_made_can_be_read_selected_and_deleted(cluster: Cluster, manifest: Manifest) -> None:
    found = cluster.get(Kind.INFERENCE_SERVICE, "paint")

    assert found is not None
    assert found["metadata"]["uid"] == manifest["metadata"]["uid"]
    assert [one["metadata"]["name"] for one in cluster.select(Kind.INFERENCE_SERVICE, "")] == ["paint"]
    assert cluster.delete(Kind.INFERENCE_SERVICE, "paint") is True


def test_a_patch_whose_test_fails_is_a_conflict(cluster: Cluster, manifest: Manifest) -> None:
    replace = {"op": "replace", "path": SHARE, "value": 3}
    stale = {"op": "test", "path": "/metadata/generation", "value": 7}

    with pytest.raises(ConflictError):
        cluster.patch(Kind.INFERENCE_SERVICE, "paint", [stale, replace])
    patched = cluster.patch(Kind.INFERENCE_SERVICE, "paint", [{**stale, "value": 1}, replace])
    assert patched["metadata"]["generation"] == 2


def test_making_the_same_twice_is_a_conflict(cluster: Cluster, manifest: Manifest) -> None:
    with pytest.raises(ConflictError, match="already exists"):
        cluster.create(Kind.INFERENCE_SERVICE, manifest)


def test_a_dry_run_is_answered_and_kept_by_nobody(cluster: Cluster, manifest: Manifest) -> None:
    more = [{"op": "replace", "path": SHARE, "value": 3}]

    answer = cluster.patch(Kind.INFERENCE_SERVICE, "paint", more, dry_run=True)

    assert answer["spec"]["predictor"]["minReplicas"] == 3
    kept = cluster.get(Kind.INFERENCE_SERVICE, "paint")
    assert kept is not None
    assert kept["spec"]["predictor"]["minReplicas"] == 2


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        pytest.param(
            {"op": "add", "path": "/spec/predictor/canaryTraficPercent", "value": 5},
            'unknown field "spec.predictor.canaryTraficPercent"',
            id="a-misspelt-field-is-not-dropped-without-a-word",
        ),
        pytest.param(
            {
                "op": "add",
                "path": "/spec/canary",
                "value": [{"trafficPercent": 150, "predictor": {"name": "v2"}}],
            },
            "should be less than or equal to 100",
            id="schema",
        ),
        pytest.param(
            {"op": "add", "path": "/spec/canary", "value": [{"trafficPercent": 5, "predictor": {}}]},
            "predictor.name is required",
            id="webhook",
        ),
    ],
)
def test_what_the_cluster_refuses_is_said_in_its_words(
    cluster: Cluster, manifest: Manifest, operation: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        cluster.patch(Kind.INFERENCE_SERVICE, "paint", [operation])

    assert said in caught.value.found


def test_rights_that_are_missing_are_named(api: FakeKubernetesApi, cluster: Cluster) -> None:
    api.refusals = [403]

    with pytest.raises(ConfigError, match="denies GET /apis/serving"):
        cluster.get(Kind.INFERENCE_SERVICE, "paint")


def test_reading_is_tried_again_and_then_given_up(api: FakeKubernetesApi, cluster: Cluster) -> None:
    api.refusals = [500, 429]
    assert cluster.get(Kind.INFERENCE_SERVICE, "paint") is None

    api.refusals = [500] * 3
    with pytest.raises(NotRunningError, match="answers 500"):
        cluster.get(Kind.INFERENCE_SERVICE, "paint")


def test_a_cluster_that_nobody_answers_for_is_named(cluster: Cluster, api: FakeKubernetesApi) -> None:
    with FakeKubernetesApi(api.kubelet) as gone:
        kubeconfig = gone.kubeconfig(Path(str(cluster._kubeconfig)).parent)

    with pytest.raises(NotRunningError, match="does not answer GET"):
        Cluster("default", kubeconfig=kubeconfig).get(Kind.POD, "p")


def test_without_credentials_it_says_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no credentials"):
        Cluster("default", kubeconfig=tmp_path / "none").get(Kind.POD, "p")


def test_an_unknown_pod_says_nothing(cluster: Cluster) -> None:
    assert cluster.pod_text("nobody", 8080, "/metrics") is None
