"""What a rollout changes in an InferenceService: the object as it stands, and the spec it shall have. Pure.

Everything that somebody else set on a predictor stays as it is. Each change is one JSON patch, which applies
to the generation that was read or not at all.
"""

import copy
from typing import Any

from serving.kserve.client import Operation
from serving.kserve.manifests import ONLY_STABLE, canary_predictor
from serving.kserve.rules import require_sound
from serving.kserve.schema import require_valid
from serving.kserve.spec import CANARY, STANDBY, Arm, Manifest, Service
from serving.kserve.view import view_of

Spec = dict[str, Any]
_FOREIGN = frozenset({"name", "labels", "annotations", "minReplicas", "model", *ONLY_STABLE})
"""Fields of a predictor that are an arm's own; what else somebody set on it, both arms have."""
_FOREIGN_MODEL = frozenset({"name", "modelFormat", "protocolVersion", "runtime", "storageUri", "args"})
"""The same of its `model`."""


def next_name(manifest: Manifest, *, standby: bool = False) -> str:
    """A predictor name that was never used: the generation that writing it will make.

    Its letter says what for: a pod template knows nothing of it, so that a promotion restarts no pod.
    """
    return f"{STANDBY if standby else CANARY}{_generation(manifest) + 1}"


def with_canary(manifest: Manifest, service: Service, arm: Arm) -> Spec:
    """A second revision without traffic; the stable arm keeps its replicas."""
    spec, view = _copied(manifest), view_of(manifest)
    shared = {field: value for field, value in spec["predictor"].items() if field not in _FOREIGN}
    predictor = canary_predictor(service, arm) | shared
    stable_model = spec["predictor"].get("model") or {}
    kept = {field: value for field, value in stable_model.items() if field not in _FOREIGN_MODEL}
    predictor["model"] = kept | predictor["model"]
    spec["canary"] = [{"trafficPercent": 0, "predictor": predictor}]
    _ask_stable(spec, view.capacity + arm.replicas)
    return spec


def scaled(manifest: Manifest, replicas: int) -> Spec:
    """The canary at another size, the weights as they are."""
    spec, view = _copied(manifest), view_of(manifest)
    spec["canary"][0]["predictor"]["minReplicas"] = replicas
    _ask_stable(spec, view.capacity + replicas)
    return spec


def weighed(manifest: Manifest, weight: int) -> Spec:
    """Another share for the canary, in percent."""
    spec = _copied(manifest)
    spec["canary"][0]["trafficPercent"] = weight
    return spec


def promoted(manifest: Manifest) -> Spec:
    """The canary as the stable arm, under its name: its pods stay. It inherits what only a stable arm has."""
    spec, view = _copied(manifest), view_of(manifest)
    inherited = {field: spec["predictor"][field] for field in ONLY_STABLE if field in spec["predictor"]}
    spec["predictor"] = {**spec["canary"][0]["predictor"], **inherited, "minReplicas": view.capacity}
    spec["canary"] = []
    return spec


def rolled_back(manifest: Manifest) -> Spec:
    """The stable arm alone, at its own size."""
    spec, view = _copied(manifest), view_of(manifest)
    spec["canary"] = []
    spec["predictor"]["minReplicas"] = view.capacity
    return spec


def without_standby(manifest: Manifest) -> Manifest:
    """The object as it will be once the former revision that is kept loaded has made room."""
    if view_of(manifest).standby is None:
        return manifest
    metadata = {**manifest["metadata"], "generation": _generation(manifest) + 1}
    return {**changed(manifest, rolled_back(manifest)), "metadata": metadata}


def toward(manifest: Manifest, weight: int, *, surplus: int, canary_now: int) -> Spec | None:
    """The next change on the way to a share for the canary: first pods that are ready, then traffic.

    Args:
        manifest: As it stands; has a canary.
        weight: In percent.
        surplus: Replicas that an autoscaler added to the stable arm because of the load.
        canary_now: Replicas of the canary that are available.

    Returns:
        None when there is nothing to change now: it is as wanted, or pods are on their way.
    """
    view = view_of(manifest)
    if view.canary is None or weight == view.weight:
        return None
    needed = view.replicas_for(weight, surplus=surplus)
    if weight > view.weight and view.canary.replicas < needed:
        return scaled(manifest, needed)
    if weight > view.weight and canary_now < view.canary.replicas:
        return None
    return weighed(manifest, weight)


def patch_to(manifest: Manifest, spec: Spec) -> list[Operation]:
    """The one patch that makes `spec` of the object, if nobody changed it meanwhile.

    Raises:
        ConfigError: The cluster would refuse the result, or ignore a part of it.
    """
    require_whole(changed(manifest, spec), before=manifest)
    wanted: list[Operation] = [{"op": "test", "path": "/metadata/generation", "value": _generation(manifest)}]
    wanted += [
        {"op": "add", "path": f"/spec/{field}", "value": spec[field]}
        for field in ("predictor", "canary")
        if field in spec and spec[field] != manifest["spec"].get(field)
    ]
    return wanted


def require_whole(manifest: Manifest, *, before: Manifest | None = None) -> None:
    """Hold an object against the rules and the SDK's schema.

    Raises:
        ConfigError: The first rule it breaks, or every field that does not fit.
    """
    require_sound(manifest, before=before)
    require_valid(manifest)


def changed(manifest: Manifest, spec: Spec) -> Manifest:
    """The object with another spec."""
    return {**manifest, "spec": spec}


def _generation(manifest: Manifest) -> int:
    return int(manifest["metadata"]["generation"])


def _copied(manifest: Manifest) -> Spec:
    spec: Spec = copy.deepcopy(manifest["spec"])
    return spec


def _ask_stable(spec: Spec, replicas: int) -> None:
    predictor = spec["predictor"]
    predictor["minReplicas"] = replicas
    if "maxReplicas" in predictor:
        predictor["maxReplicas"] = max(int(predictor["maxReplicas"]), replicas)
