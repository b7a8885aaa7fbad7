"""The whole object at each stop of a rollout, rendered anew: what the patches have to lead to."""

from serving.kserve.manifests import canary_predictor, inference_service, predictor
from serving.kserve.spec import Arm, Manifest, Service


def canary_manifest(service: Service, stable: Arm, canary: Arm, *, weight: int) -> Manifest:
    """Two revisions; `weight` percent of the traffic goes to the second.

    KServe subtracts the canary's ready replicas from the stable arm's `minReplicas`. So that the stable arm
    keeps its own, the sum of both is asked for.
    """
    both = stable.model_copy(update={"replicas": stable.replicas + canary.replicas})
    beside = {"trafficPercent": weight, "predictor": canary_predictor(service, canary)}
    return inference_service(service, {"predictor": predictor(service, both), "canary": [beside]})


def promoted_manifest(service: Service, promoted: Arm) -> Manifest:
    """The canary under its name as the stable arm: the one patch that keeps its pods."""
    return inference_service(service, {"predictor": predictor(service, promoted), "canary": []})


def rolled_back_manifest(service: Service, stable: Arm) -> Manifest:
    """The stable arm alone again."""
    return inference_service(service, {"predictor": predictor(service, stable), "canary": []})
