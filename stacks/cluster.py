"""The rollout's target on a cluster, out of the settings of a `kserve` model deployer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelway.bundle.signing import VERIFY_KEY_FILE
from modelway.errors import ConfigError
from modelway.home import Home
from serving.kserve.client import Cluster
from serving.kserve.places import Places
from serving.kserve.settings import KServeSettings
from serving.rollout.kserve import KServeTarget


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
