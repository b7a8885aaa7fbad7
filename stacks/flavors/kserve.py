"""Model deployer flavor `kserve`: our model servers as pods of KServe, canaries by its own `spec.canary`.

The component says which cluster, namespace and store; `stacks.active.serving_target` makes the rollout's
target of it.
"""

from typing import ClassVar, Self

from pydantic import model_validator
from zenml.model_deployers import BaseModelDeployerFlavor
from zenml.model_deployers.base_model_deployer import BaseModelDeployerConfig

from serving.kserve.settings import KServeSettings
from stacks.flavors.by_rollout import ByRolloutAlone


class KServeConfig(BaseModelDeployerConfig):
    """As `serving.kserve.settings.KServeSettings`, which checks them."""

    root: str
    storage: str
    namespace: str = "default"
    runtime: str = "modelway"
    mode: str = "Standard"
    service: str = ""
    kubeconfig: str = ""
    context: str = ""
    gateway_url: str = ""
    service_account: str = ""
    max_replicas: int = 0
    predictions: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse a value when the stack is applied, not at the first rollout."""
        KServeSettings.of(self.model_dump(include=set(KServeSettings.model_fields)))
        return self

    @property
    def is_local(self) -> bool:
        """Its pods run elsewhere."""
        return False


class KServeDeployer(ByRolloutAlone):
    """Names the cluster. Models reach it by rollout alone, where a judge watches them."""

    NAME: ClassVar[str] = "kserve"

    @property
    def config(self) -> KServeConfig:
        """The component's settings."""
        return self._config  # type: ignore[no-any-return]  # ZenML is untyped


class KServeFlavor(BaseModelDeployerFlavor):
    """Registers the deployer with ZenML under the name `kserve`."""

    @property
    def name(self) -> str:
        """Name in stack files."""
        return KServeDeployer.NAME

    @property
    def config_class(self) -> type[KServeConfig]:
        """Its settings."""
        return KServeConfig

    @property
    def implementation_class(self) -> type[KServeDeployer]:
        """The component's class."""
        return KServeDeployer


KServeDeployer.FLAVOR = KServeFlavor  # ZenML wants it on the class; the flavor is defined after it
