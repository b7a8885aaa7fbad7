"""InferenceServices as data: pure functions from frozen inputs to what `kubectl apply` takes.

Shapes that KServe's controller accepted are in tests/data/kserve/manifests; a test compares.
"""

from typing import Any

from serving.kserve.spec import (
    AUTOSCALER_ANNOTATION,
    DIGEST_ANNOTATION,
    MODE_ANNOTATION,
    REVISION_LABEL,
    Arm,
    Manifest,
    Mode,
    Service,
)

ONLY_STABLE = ("maxReplicas", "scaleMetric", "scaleTarget", "scaleMetricType", "autoScaling", "workerSpec")
"""Fields that a canary must not have: its replicas are fixed."""


def stable_manifest(service: Service, stable: Arm) -> Manifest:
    """One revision with all traffic."""
    return inference_service(service, {"predictor": predictor(service, stable)})


def knative_manifest(service: Service, arm: Arm, *, weight: int | None) -> Manifest:
    """Knative mode: the newest spec gets `weight` percent, the revision before it the rest; None for all."""
    share = {} if weight is None else {"canaryTrafficPercent": weight}
    service = service.model_copy(update={"mode": Mode.KNATIVE})
    spec = {"predictor": share | predictor(service, arm)}
    return inference_service(service, spec, {"serving.kserve.io/enable-tag-routing": "true"})


def predictor(service: Service, arm: Arm) -> dict[str, Any]:
    """A predictor that may be scaled."""
    return _named(arm) | _scaled(service, arm) | _running(service) | {"model": _model(service, arm)}


def canary_predictor(service: Service, arm: Arm) -> dict[str, Any]:
    """A predictor of fixed size, otherwise as it will be when promoted: a difference would restart its pods.

    `model.name` is there and empty: the CRD wants the key, the webhook no value.
    """
    model = {"name": "", **_model(service, arm)}
    return _named(arm) | {"minReplicas": arm.replicas} | _running(service) | {"model": model}


def inference_service(
    service: Service, spec: dict[str, Any], annotations: dict[str, str] | None = None
) -> Manifest:
    """The object around a spec.

    Args:
        service: What all its revisions have in common.
        spec: Predictor, and canary where there is one.
        annotations: Further ones of the service.
    """
    scaler = {AUTOSCALER_ANNOTATION: "hpa" if service.scaling else "none"}
    own = scaler if service.mode is Mode.STANDARD else {}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": service.name,
            "namespace": service.namespace,
            "annotations": {MODE_ANNOTATION: service.mode.value, **own, **(annotations or {})},
        },
        "spec": spec,
    }


def _named(arm: Arm) -> dict[str, Any]:
    named: dict[str, Any] = {"name": arm.name} if arm.name else {}
    if not arm.revision:
        return named
    return named | {
        "labels": {REVISION_LABEL: arm.revision},
        "annotations": {DIGEST_ANNOTATION: arm.digest},
    }


def _scaled(service: Service, arm: Arm) -> dict[str, Any]:
    fixed: dict[str, Any] = {"minReplicas": arm.replicas}
    if service.scaling is None:
        return fixed
    scaling = service.scaling
    return fixed | {
        "maxReplicas": max(scaling.max_replicas, arm.replicas),
        "scaleMetric": scaling.metric,
        "scaleTarget": scaling.target_percent,
    }


def _running(service: Service) -> dict[str, Any]:
    standard = {"timeout": service.timeout_s, "terminationGracePeriodSeconds": service.grace_s}
    account = {"serviceAccountName": service.service_account} if service.service_account else {}
    return (standard if service.mode is Mode.STANDARD else {}) | account


def _model(service: Service, arm: Arm) -> dict[str, Any]:
    """KServe appends `args` to the runtime's: that is how a pod learns its revision."""
    model: dict[str, Any] = {
        "modelFormat": {"name": service.model_format, "version": service.model_format_version},
        "protocolVersion": "v2",
        "runtime": service.runtime,
        "storageUri": arm.storage_uri,
    }
    if arm.revision:
        model["args"] = ["--revision", arm.revision]
    if service.resources:
        model["resources"] = {kind: dict(amounts) for kind, amounts in service.resources.items()}
    return model
