"""ServingRuntimes as data: our own container, and Triton's."""

from typing import Any

from pydantic import Field

from modelway.contract import Frozen
from serving.kserve.pods import GRPC_PORT, PodExtras
from serving.kserve.spec import NAME_PATTERN, NAMESPACE_PATTERN, Manifest

HTTP_PORT = 8080
TRITON_METRICS_PORT = 8002
VERIFY_KEY_MAP = "modelway-verify-key"
"""The ConfigMap with the public half of the signing key."""
_BUNDLE = "/mnt/models"
_KEY_FOLDER = "/etc/modelway"
_KEY_FILE = "verify.pem"
_DRAIN_S = 10
_LOCKED_DOWN = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}


class ModelwayRuntime(Frozen):
    """What is ours to choose about the container of the Dockerfile."""

    image: str = Field(min_length=1)
    """With a tag or digest: two pulls of one revision must not differ."""
    name: str = Field(default="modelway", pattern=NAME_PATTERN)
    namespace: str = Field(default="default", pattern=NAMESPACE_PATTERN)
    cpu: str = "1"
    memory: str = "512Mi"
    extras: PodExtras = PodExtras()


class TritonRuntime(Frozen):
    """What is ours to choose about Triton."""

    image: str = Field(min_length=1)
    """TensorRT's major.minor in it must be the one that built a `model.plan`."""
    name: str = Field(default="triton-gpu", pattern=NAME_PATTERN)
    namespace: str = Field(default="default", pattern=NAMESPACE_PATTERN)
    gpus: int = Field(default=1, ge=0)
    cpu_request: str = "2"
    cpu_limit: str = "4"
    memory: str = "8Gi"
    cache_size: str = "4Gi"
    shared_memory: str = "1Gi"


def modelway_runtime(runtime: ModelwayRuntime) -> Manifest:
    """Our model server.

    KServe appends the predictor's `--revision`. The port is open for some seconds after SIGTERM, until every
    proxy has heard that the pod leaves; readiness fails at once.
    """
    extras = runtime.extras
    container = {
        "name": "kserve-container",
        "image": runtime.image,
        "args": [*_modelway_args(), *extras.args],
        **({"env": extras.env} if extras.env else {}),
        "ports": [_port("http1", HTTP_PORT), *extras.ports],
        **_probes(HTTP_PORT, start_failures=60),
        "securityContext": {**_LOCKED_DOWN, "runAsUser": 10001, "readOnlyRootFilesystem": True},
        "resources": _same({"cpu": runtime.cpu, "memory": runtime.memory}),
        "volumeMounts": [
            {"name": "verify-key", "mountPath": _KEY_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
            *extras.mounts,
        ],
    }
    volumes = [
        {"name": "verify-key", "configMap": {"name": VERIFY_KEY_MAP}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        *extras.volumes,
    ]
    formats = [{"name": "modelway", "version": "1", "autoSelect": True, "priority": 1}]
    spec = _runtime_spec(HTTP_PORT, formats, container, volumes)
    return _serving_runtime(runtime.name, runtime.namespace, {}, spec)


def _modelway_args() -> list[str]:
    return [
        f"--bundle={_BUNDLE}",
        f"--verify-key={_KEY_FOLDER}/{_KEY_FILE}",
        "--host=0.0.0.0",
        f"--port={HTTP_PORT}",
        f"--drain-s={_DRAIN_S}",
    ]


def triton_runtime(runtime: TritonRuntime) -> Manifest:
    """Triton with probes, metrics and a cache for engines. KServe's own runtime has none of them."""
    container = {
        "name": "kserve-container",
        "image": runtime.image,
        "args": _triton_args(),
        "ports": [_port("http1", HTTP_PORT)],
        # Triton resets open connections on SIGTERM: it gets the signal once no proxy sends any more.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(_DRAIN_S)]}}},
        **_probes(HTTP_PORT, start_failures=120),
        "securityContext": {**_LOCKED_DOWN, "runAsUser": 1000},
        "resources": _triton_resources(runtime),
        "volumeMounts": [
            {"name": "trt-cache", "mountPath": "/tmp/trt-cache"},  # noqa: S108 - a volume of the pod's own
            {"name": "dshm", "mountPath": "/dev/shm"},  # noqa: S108 - as above
        ],
    }
    volumes = [
        {"name": "trt-cache", "emptyDir": {"sizeLimit": runtime.cache_size}},
        {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": runtime.shared_memory}},
    ]
    formats = [
        {"name": name, "version": version, "autoSelect": True, "priority": 2}
        for name, version in (("onnx", "1"), ("tensorrt", "10"), ("triton", "2"))
    ]
    kind = {"serving.kserve.io/server-type": "tritonserver"}
    spec = _runtime_spec(TRITON_METRICS_PORT, formats, container, volumes)
    return _serving_runtime(runtime.name, runtime.namespace, kind, spec)


def _triton_args() -> list[str]:
    return [
        "tritonserver",
        f"--model-repository={_BUNDLE}",
        f"--http-port={HTTP_PORT}",
        f"--grpc-port={GRPC_PORT}",
        f"--metrics-port={TRITON_METRICS_PORT}",
        "--metrics-config=summary_latencies=true",
        "--strict-readiness=true",
        "--exit-timeout-secs=30",
    ]


def _triton_resources(runtime: TritonRuntime) -> dict[str, Any]:
    gpus = {"nvidia.com/gpu": str(runtime.gpus)} if runtime.gpus else {}
    return {
        "requests": {"cpu": runtime.cpu_request, "memory": runtime.memory, **gpus},
        "limits": {"cpu": runtime.cpu_limit, "memory": runtime.memory, **gpus},
    }


def verify_key_map(pem: str, namespace: str) -> Manifest:
    """The ConfigMap that our runtime mounts: with it a pod refuses a bundle that somebody else signed."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": VERIFY_KEY_MAP, "namespace": namespace},
        "data": {_KEY_FILE: pem},
    }


def _runtime_spec(
    metrics_port: int, formats: list[Any], container: dict[str, Any], volumes: list[Any]
) -> dict[str, Any]:
    scraped = {"prometheus.kserve.io/port": str(metrics_port), "prometheus.kserve.io/path": "/metrics"}
    speaks_grpc = metrics_port == TRITON_METRICS_PORT or len(container["ports"]) > 1
    return {
        "annotations": scraped,
        "supportedModelFormats": formats,
        "protocolVersions": ["v2", "grpc-v2"] if speaks_grpc else ["v2"],
        "containers": [container],
        "volumes": volumes,
    }


def _serving_runtime(
    name: str, namespace: str, annotations: dict[str, str], spec: dict[str, Any]
) -> Manifest:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": metadata,
        "spec": spec,
    }


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def _probes(port: int, *, start_failures: int) -> dict[str, Any]:
    """A pod that loads slowly is not killed for it: liveness begins once the start-up probe was answered."""
    ready, live = {"path": "/v2/health/ready", "port": port}, {"path": "/v2/health/live", "port": port}
    return {
        "readinessProbe": {"httpGet": ready, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {"httpGet": live, "periodSeconds": 10, "failureThreshold": 3},
        "startupProbe": {"httpGet": ready, "periodSeconds": 5, "failureThreshold": start_failures},
    }


def _same(amounts: dict[str, str]) -> dict[str, Any]:
    return {"requests": dict(amounts), "limits": dict(amounts)}
