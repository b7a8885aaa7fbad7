"""What is rendered is what a real installation accepted, by the SDK's schema and by the CRDs."""

from collections.abc import Callable
from typing import Any

import pytest
from kserve_whole_objects import canary_manifest, promoted_manifest, rolled_back_manifest

from modelway.errors import ConfigError
from serving.kserve.manifests import knative_manifest, stable_manifest
from serving.kserve.rules import problems
from serving.kserve.runtimes import (
    HTTP_PORT,
    ModelwayRuntime,
    TritonRuntime,
    modelway_runtime,
    triton_runtime,
    verify_key_map,
)
from serving.kserve.schema import require_valid, violations
from serving.kserve.spec import Arm, Scaling, Service

Errors = Callable[[dict[str, Any]], list[str]]
Accepted = Callable[[str], dict[str, Any]]
Altered = Callable[..., dict[str, Any]]
TRITON = Service(name="iris", runtime="triton-gpu", model_format="onnx", scaling=Scaling(max_replicas=8))
ONE, TWO = "s3://models/iris/1", "s3://models/iris/2"
OURS = Service(
    name="paint",
    namespace="models",
    scaling=Scaling(max_replicas=6),
    service_account="reader",
    resources={"requests": {"cpu": "500m"}},
)
V1 = Arm(storage_uri="s3://m/1", replicas=2, revision="paint-v1", digest="a" * 64)
V2 = Arm(storage_uri="s3://m/2", replicas=1, name="r2", revision="paint-v2", digest="b" * 64)
RENDERED = {
    "stable": stable_manifest(OURS, V1),
    "canary": canary_manifest(OURS, V1, V2, weight=25),
    "promoted": promoted_manifest(OURS, V2),
    "rolled-back": rolled_back_manifest(OURS, V1),
    "knative": knative_manifest(OURS.model_copy(update={"scaling": None}), V2, weight=5),
    "our-runtime": modelway_runtime(ModelwayRuntime(image="registry/modelway:1")),
    "triton": triton_runtime(TritonRuntime(image="registry/triton:25.08")),
    "triton-without-gpu": triton_runtime(TritonRuntime(image="registry/triton:25.08", gpus=0)),
}


def anywhere(manifest: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    return {**manifest, "metadata": metadata}


@pytest.mark.parametrize("name", RENDERED)
def test_what_is_rendered_holds_against_sdk_crd_and_rules(name: str, crd_errors: Errors) -> None:
    manifest = RENDERED[name]

    assert list(violations(manifest)) == []
    assert crd_errors(manifest) == []
    if manifest["kind"] == "InferenceService":
        assert list(problems(manifest)) == []


def test_a_stable_service_is_the_one_that_was_accepted(accepted: Accepted) -> None:
    rendered = stable_manifest(TRITON, Arm(storage_uri=ONE, replicas=4))

    assert anywhere(rendered) == accepted("20-isvc-stable")


def test_a_canary_is_the_accepted_one_and_built_like_its_successor(accepted: Accepted) -> None:
    rendered = canary_manifest(
        TRITON,
        Arm(storage_uri=ONE, replicas=4),
        Arm(storage_uri=TWO, replicas=1, name="v2"),
        weight=5,
    )

    # These two go into the pod template: without them here, promotion would restart every pod.
    canary = rendered["spec"]["canary"][0]["predictor"]
    assert (canary.pop("timeout"), canary.pop("terminationGracePeriodSeconds")) == (15, 60)
    assert anywhere(rendered) == accepted("30-isvc-canary-5")


def test_a_promoted_service_is_the_one_that_was_accepted(accepted: Accepted) -> None:
    rendered = promoted_manifest(TRITON, Arm(storage_uri=TWO, replicas=4, name="v2"))

    assert anywhere(rendered) == accepted("40-isvc-promoted")


def test_knatives_share_stands_in_its_own_field(accepted: Accepted) -> None:
    knative = TRITON.model_copy(update={"name": "iris-kn", "scaling": None})

    rendered = knative_manifest(knative, Arm(storage_uri=TWO, replicas=1), weight=5)
    whole = knative_manifest(knative, Arm(storage_uri=TWO, replicas=1), weight=None)

    assert anywhere(rendered) == accepted("31-isvc-knative-canary-5")
    assert "canaryTrafficPercent" not in whole["spec"]["predictor"]


def test_tritons_runtime_is_the_one_that_was_accepted(accepted: Accepted) -> None:
    rendered = triton_runtime(TritonRuntime(image="nvcr.io/nvidia/tritonserver:25.08-py3"))

    assert anywhere(rendered) == accepted("10-servingruntime-triton")


def test_our_runtime_starts_what_the_container_starts() -> None:
    from serving.runtime.__main__ import parse  # noqa: PLC0415 - the server's own reading of its flags

    container = RENDERED["our-runtime"]["spec"]["containers"][0]
    options = parse(
        [*container["args"], *RENDERED["canary"]["spec"]["canary"][0]["predictor"]["model"]["args"]]
    )

    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert options.revision == "paint-v2"
    assert options.port == container["ports"][0]["containerPort"] == HTTP_PORT
    assert str(options.verify_key.parent) == mounts["verify-key"]
    key_map = verify_key_map("PEM", "models")
    assert list(key_map["data"]) == [options.verify_key.name]
    assert RENDERED["our-runtime"]["spec"]["volumes"][0]["configMap"]["name"] == key_map["metadata"]["name"]


def test_nothing_that_changes_stands_on_the_service_where_it_would_restart_all_pods() -> None:
    before, after = RENDERED["stable"]["metadata"], RENDERED["promoted"]["metadata"]

    assert before == after
    assert "labels" not in before


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        pytest.param(
            "spec.predictor.canaryTraficPercent", 5, "'canaryTraficPercent' was unexpected", id="typo"
        ),
        pytest.param(
            "spec.predictor.minReplicas", "2", "spec/predictor/minReplicas: '2'", id="text-for-number"
        ),
        pytest.param("spec.canary.0.trafficPercent", "x", "spec/canary/0/trafficPercent", id="share-as-text"),
        pytest.param(
            "spec.canary.0.predictor", None, "'predictor' is a required property", id="no-predictor"
        ),
        pytest.param("spec.predictor.model.storageUri", 5, "storageUri: 5 is not", id="number-for-text"),
        pytest.param("kind", "Pod", "kind Pod", id="another-kind"),
    ],
)
def test_the_sdks_schema_refuses_what_its_models_let_pass(
    shared: dict[str, Any], altered: Altered, path: str, value: object, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        require_valid(altered(shared, path, value))


def test_the_crd_knows_ranges_that_the_sdk_does_not(
    shared: dict[str, Any], altered: Altered, crd_errors: Errors
) -> None:
    too_much = altered(shared, "spec.canary.0.trafficPercent", 150)

    assert list(violations(too_much)) == []
    assert any("150 is greater than the maximum" in each for each in crd_errors(too_much))
    assert list(problems(too_much))
