"""What a manifest is made of, in the cluster's own terms. Frozen and closed."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from modelway.contract import Frozen

REVISION_LABEL = "modelway-revision"
"""On every pod: which revision runs in it. Set on the predictor, never on the InferenceService: KServe copies
those labels and annotations into every pod template, so that a change restarts all pods of both arms."""
DIGEST_ANNOTATION = "modelway-digest"
"""On every pod: the digest of its bundle. An annotation, for a label ends at 63 characters."""
SERVICE_LABEL = "serving.kserve.io/inferenceservice"
MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
AUTOSCALER_ANNOTATION = "serving.kserve.io/autoscalerClass"
NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAMESPACE_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""An RFC 1123 label, which may begin with a digit; names of Services (RFC 1035) may not."""
MAX_NAME_LENGTH = 63
CANARY, STANDBY = "r", "s"
"""First letter of a predictor's name: of a rollout's canary, and of a former revision that is kept loaded."""
FULL = 100
"""All traffic, in percent."""

Manifest = dict[str, Any]
"""A Kubernetes object as YAML or JSON holds it."""


class Mode(StrEnum):
    """How KServe runs a service."""

    STANDARD = "Standard"
    """Deployments behind weighted HTTPRoutes; canaries in `spec.canary`."""
    KNATIVE = "Knative"
    """Knative revisions; the canary's share in `spec.predictor.canaryTrafficPercent`."""


class Scaling(Frozen):
    """Autoscaling of the stable arm. A canary's replicas are always fixed."""

    max_replicas: int = Field(ge=1)
    metric: Literal["cpu", "memory"] = "cpu"
    target_percent: int = Field(default=70, ge=1, le=100)


class Service(Frozen):
    """What all revisions of one InferenceService have in common."""

    name: str = Field(pattern=NAME_PATTERN, max_length=40)
    namespace: str = Field(default="default", pattern=NAMESPACE_PATTERN, max_length=MAX_NAME_LENGTH)
    mode: Mode = Mode.STANDARD
    runtime: str = Field(default="modelway", pattern=NAME_PATTERN)
    """Name of the ServingRuntime."""
    model_format: str = "modelway"
    model_format_version: str = "1"
    scaling: Scaling | None = None
    timeout_s: int = Field(default=15, ge=1)
    grace_s: int = Field(default=60, ge=1)
    """What a pod has from SIGTERM to SIGKILL."""
    service_account: str = ""
    """Whose credentials the storage initializer uses; empty for the namespace's default."""
    resources: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    """`requests` and `limits` as Kubernetes writes them."""


class Arm(Frozen):
    """One revision as a predictor."""

    storage_uri: str
    """Where the pods fetch it from."""
    replicas: int = Field(ge=1)
    name: str | None = Field(default=None, pattern=NAME_PATTERN, max_length=20)
    """The predictor's name in the cluster; None for the first stable one. Never used twice."""
    revision: str = Field(default="", pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")
    """Our name for it. Empty for a model that no bundle holds."""
    digest: str = ""


def deployment_name(service: str, predictor: str | None) -> str:
    """Name of the Deployment, Service and HPA of one predictor."""
    return f"{service}-{predictor}-predictor" if predictor else f"{service}-predictor"
