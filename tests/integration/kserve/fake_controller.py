"""KServe's controller and Kubernetes' own, as far as a canary's life goes; replica counts as recorded."""

import math
from collections.abc import Callable
from typing import Any, Protocol

from fake_objects import Object, Objects

ISVC, DEPLOYMENT, ROUTE, POD, HPA = (
    "inferenceservices",
    "deployments",
    "httproutes",
    "pods",
    "horizontalpodautoscalers",
)
FINALIZER = "inferenceservice.finalizers"
SERVICE_LABEL = "serving.kserve.io/inferenceservice"
KNOWN_RUNTIMES = {"kserve-tritonserver", "modelway"}


class Kubelet(Protocol):
    """Runs pods. The one without processes calls every pod ready at once."""

    def start(self, pod: Object) -> None: ...
    def stop(self, name: str) -> None: ...
    def status(self, pod: Object) -> Object: ...
    def metrics(self, name: str) -> str | None: ...
    def ask(self, name: str, path: str, body: bytes) -> tuple[int, bytes] | None: ...


class Controller:
    """One call of `reconcile` is one round of all controllers. Rounds lag behind writes, as in a cluster."""

    def __init__(self, objects: Objects, kubelet: Kubelet) -> None:
        self._objects, self._kubelet = objects, kubelet
        self._serial = 0

    def settle(self, rounds: int = 6) -> None:
        for _ in range(rounds):
            self.reconcile()

    def reconcile(self) -> None:
        for service in self._objects.list(ISVC):
            if "deletionTimestamp" in service["metadata"]:
                self._finish(service)
            elif service["spec"]["predictor"]["model"].get("runtime") not in {None, *KNOWN_RUNTIMES}:
                self._not_recognized(service)
            else:
                self._serve(service)
        for deployment in self._objects.list(DEPLOYMENT):
            self._run_pods(deployment)

    def adopt(self, service: Object) -> None:
        """The first thing the controller does with a new service."""
        self._objects.mutate(
            ISVC, service["metadata"]["name"], lambda one: one["metadata"].update(finalizers=[FINALIZER])
        )

    def _finish(self, service: Object) -> None:
        name = service["metadata"]["name"]
        for kind in (DEPLOYMENT, HPA, ROUTE, POD):
            for each in self._objects.list(kind, f"{SERVICE_LABEL}={name}"):
                self._objects.delete(kind, each["metadata"]["name"])
                if kind == POD:
                    self._kubelet.stop(each["metadata"]["name"])
        self._objects._all[ISVC, name]["metadata"].pop("finalizers", None)
        self._objects.delete(ISVC, name)

    def _not_recognized(self, service: Object) -> None:
        failure = {"message": "Waiting for runtime to become available", "reason": "RuntimeNotRecognized"}
        states = {"activeModelState": "", "targetModelState": "FailedToLoad"}
        model = {"lastFailureInfo": failure, "states": states, "transitionStatus": "InvalidSpec"}

        def change(one: Object) -> None:
            status = one.setdefault("status", {})
            for canary in status.get("canaryStatuses", []):
                canary.setdefault("modelStatus", {"transitionStatus": ""})
            status |= {"deploymentMode": "Standard", "modelStatus": model}

        self._objects.mutate(ISVC, service["metadata"]["name"], change)

    def _serve(self, service: Object) -> None:
        name, spec = service["metadata"]["name"], service["spec"]
        stable, canaries = spec["predictor"], spec.get("canary") or []
        wanted, ready = {}, 0
        for canary in canaries:
            own = deployment_name(name, canary["predictor"].get("name"))
            wanted[own] = (canary["predictor"], _canary_replicas(canary, stable))
            ready += self._available(own)
        first = deployment_name(name, stable.get("name"))
        wanted[first] = (stable, max(1, stable.get("minReplicas", 1) - ready))
        for own, (predictor, replicas) in wanted.items():
            self._deploy(service, own, predictor, replicas)
        self._scale_by_itself(service, first)
        self._drop_others(name, set(wanted))
        backends = self._backends(name, stable, canaries)
        for host in (name, f"{name}-predictor"):
            self._route(name, host, backends)
        self._report(service, first, canaries)

    def _deploy(self, service: Object, name: str, predictor: Object, replicas: int) -> None:
        labels = {
            "app": f"isvc.{name}",
            "component": "predictor",
            SERVICE_LABEL: service["metadata"]["name"],
            **service["metadata"].get("labels", {}),
            **predictor.get("labels", {}),
        }
        inherited = {**service["metadata"].get("annotations", {}), **predictor.get("annotations", {})}
        model = predictor["model"]
        container = {
            "name": "kserve-container",
            "image": model.get("runtime", "") or "any",
            "args": list(model.get("args", [])),
            "env": [{"name": "STORAGE_URI", "value": model["storageUri"]}],
        }
        template = {
            "metadata": {"labels": labels, "annotations": inherited},
            "spec": {
                "containers": [container],
                "terminationGracePeriodSeconds": predictor.get("terminationGracePeriodSeconds", 30),
            },
        }
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": f"isvc.{name}"}},
            "template": template,
        }
        if self._objects.get(DEPLOYMENT, name) is None:
            body = {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "labels": labels},
            }
            self._objects.create(DEPLOYMENT, {**body, "spec": spec, "status": {}})
        else:
            self._objects.mutate(DEPLOYMENT, name, lambda one: one.update(spec=spec))

    def _scale_by_itself(self, service: Object, name: str) -> None:
        """An HPA per stable arm. Nobody deletes that of an arm that is gone: recorded behaviour."""
        wanted = service["metadata"].get("annotations", {}).get("serving.kserve.io/autoscalerClass") == "hpa"
        if wanted and self._objects.get(HPA, name) is None:
            labels = {SERVICE_LABEL: service["metadata"]["name"]}
            kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
            bounds = {"minReplicas": service["spec"]["predictor"]["minReplicas"]}
            status = {"desiredReplicas": bounds["minReplicas"]}
            body = {**kind, "metadata": {"name": name, "labels": labels}, "spec": bounds, "status": status}
            self._objects.create(HPA, body)

    def _drop_others(self, service: str, wanted: set[str]) -> None:
        for each in self._objects.list(DEPLOYMENT, f"{SERVICE_LABEL}={service}"):
            name = each["metadata"]["name"]
            if name not in wanted:
                self._objects.delete(DEPLOYMENT, name)
                for pod in self._objects.list(POD, f"app=isvc.{name}"):
                    self._remove(pod)

    def _backends(self, name: str, stable: Object, canaries: list[Object]) -> list[Object]:
        """A canary gets its weight with the first ready pod; one without pods stands in no route."""
        first = deployment_name(name, stable.get("name"))
        shares = [
            (deployment_name(name, canary["predictor"]["name"]), canary.get("trafficPercent", 0))
            for canary in canaries
        ]
        shares = [(own, share) for own, share in shares if self._available(own)]
        rest = 100 - sum(share for _, share in shares)
        backends = [(first, rest if canaries else 1), *shares]
        return [{"name": own, "port": 80, "weight": weight} for own, weight in backends]

    def _route(self, service: str, host: str, backends: list[Object]) -> None:
        spec = {"hostnames": [f"{host}.example.com"], "rules": [{"backendRefs": backends}]}
        if self._objects.get(ROUTE, host) is None:
            kind = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}
            metadata = {"name": host, "labels": {SERVICE_LABEL: service}}
            self._objects.create(ROUTE, {**kind, "metadata": metadata, "spec": spec})
        else:
            self._objects.mutate(ROUTE, host, lambda one: one.update(spec=spec))

    def _report(self, service: Object, stable: str, canaries: list[Object]) -> None:
        name = service["metadata"]["name"]
        up = str(self._available(stable) > 0)
        statuses = [
            {
                "modelStatus": {"transitionStatus": ""},
                "name": canary["predictor"]["name"],
                "ready": self._available(deployment_name(name, canary["predictor"]["name"])) > 0,
                "trafficPercent": canary.get("trafficPercent", 0),
            }
            for canary in canaries
        ]
        conditions = {"IngressReady": "True", "PredictorReady": up, "Ready": up, "Stopped": "False"}
        if canaries:  # a canary that is not ready leaves Ready as it is
            conditions["CanaryPredictorReady"] = str(all(each["ready"] for each in statuses))
        deployment = self._objects.get(DEPLOYMENT, stable)
        status = {
            "conditions": [{"type": kind, "status": conditions[kind]} for kind in sorted(conditions)],
            "deploymentMode": "Standard",
            "observedGeneration": deployment["metadata"]["generation"] if deployment else 0,
            "url": f"http://{name}-default.example.com",
            "modelStatus": {"states": {"activeModelState": "Loaded", "targetModelState": "Loaded"}},
        }
        if canaries:
            status["canaryStatuses"] = statuses
        self._objects.mutate(ISVC, name, lambda one: one.update(status=status))

    def _available(self, deployment: str) -> int:
        found = self._objects.get(DEPLOYMENT, deployment)
        return int(found["status"].get("availableReplicas", 0)) if found else 0

    def _run_pods(self, deployment: Object) -> None:
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        pods = self._objects.list(POD, f"app=isvc.{name}")
        for pod in pods:
            if (
                pod["spec"] != spec["template"]["spec"]
                or pod["metadata"]["annotations"] != spec["template"]["metadata"]["annotations"]
            ):
                self._remove(pod)  # a rolling update in one go: what matters is that pods restarted
        pods = self._objects.list(POD, f"app=isvc.{name}")
        for pod in pods[spec["replicas"] :]:
            self._remove(pod)
        for _ in range(spec["replicas"] - len(pods)):
            self._add(name, spec["template"])
        ready = 0
        for pod in self._objects.list(POD, f"app=isvc.{name}"):
            status = self._kubelet.status(pod)
            self._objects.mutate(POD, pod["metadata"]["name"], _setting("status", status))
            ready += any(one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"])
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": spec["replicas"],
            "updatedReplicas": spec["replicas"],
            "availableReplicas": ready,
        }
        self._objects.mutate(DEPLOYMENT, name, _setting("status", status))

    def _add(self, deployment: str, template: Object) -> None:
        self._serial += 1
        metadata = {**template["metadata"], "name": f"{deployment}-{self._serial}"}
        kind = {"apiVersion": "v1", "kind": "Pod"}
        pod = self._objects.create(
            POD, {**kind, "metadata": metadata, "spec": template["spec"], "status": {}}
        )
        self._kubelet.start(pod)

    def _remove(self, pod: Object) -> None:
        self._objects.delete(POD, pod["metadata"]["name"])  # a pod that ends leaves its endpoints at once
        self._kubelet.stop(pod["metadata"]["name"])


def _setting(field: str, value: Any) -> Callable[[Object], None]:
    return lambda one: one.update({field: value})


def deployment_name(service: str, predictor: str | None) -> str:
    return f"{service}-{predictor}-predictor" if predictor else f"{service}-predictor"


def _canary_replicas(canary: Object, stable: Object) -> int:
    asked = canary["predictor"].get("minReplicas")
    if asked is not None:
        return int(asked)
    return math.ceil(stable.get("minReplicas", 1) * canary.get("trafficPercent", 0) / 100)
