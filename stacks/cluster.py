"""The rollout's target on a cluster, out of the settings of a `kserve` model deployer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelway.bundle.signing import VERIFY_KEY_FILE
from modelway.errors import ConfigError
from modelway.home import Home
from serving.kserve.changes import require_whole
from serving.kserve.client import Cluster
from serving.kserve.manifests import knative_manifest, stable_manifest
from serving.kserve.places import Places
from serving.kserve.settings import KServeSettings
from serving.kserve.spec import Arm, Manifest, Mode
from serving.kserve.storage import storage_uri
from serving.rollout.kserve import KServeTarget
from serving.rollout.target import Revision, service_of


def whole_object(configuration: Mapping[str, Any], revision: Revision, *, replicas: int) -> Manifest:
    """The InferenceService that serves one revision alone, for `kubectl` or a repository of manifests.

    Asks no cluster and uploads nothing. In Knative mode too, where nothing of ours rolls out.

    Raises:
        ConfigError: A setting, or the result, is one that a cluster would refuse.
    """
    settings = KServeSettings.of(configuration)
    name = service_of(revision.id)
    service = settings.service_of(name)
    arm = Arm(
        storage_uri=storage_uri(settings.storage, name, revision.digest),
        replicas=replicas,
        revision=revision.id,
        digest=revision.digest,
    )
    knative = service.mode is Mode.KNATIVE
    manifest = knative_manifest(service, arm, weight=None) if knative else stable_manifest(service, arm)
    require_whole(manifest)
    return manifest


def kserve_target(configuration: Mapping[str, Any], service: str | None, *, bundles: Path) -> KServeTarget:
    """The target for one service.

    Args:
        configuration: The model deployer's, as the stack file says it.
        service: Name of the model; None takes the one that the settings name.
        bundles: Folder of signed bundles on this machine.

    Raises:
        ConfigError: Nobody names a service, or it is no name that Kubernetes takes.
    """
    settings = KServeSettings.of(configuration)
    name = service or settings.service
    if not name:
        raise ConfigError(
            "which service? a cluster has one for each model",
            expected="the model's name, or `service` in the stack's model deployer",
            remedy="add `service: NAME` to `model_deployer.config`, then `modelway stack apply`",
        )
    kubeconfig = Path(settings.kubeconfig).expanduser() if settings.kubeconfig else None
    cluster = Cluster(settings.namespace, kubeconfig=kubeconfig, context=settings.context or None)
    places = Places(
        root=Path(settings.root),
        storage=settings.storage,
        bundles=bundles,
        verify_key=Home.current().keys / VERIFY_KEY_FILE,
        gateway_url=settings.gateway_url,
        predictions=Path(settings.predictions) if settings.predictions else None,
    )
    return KServeTarget(cluster, settings.service_of(name), places)
