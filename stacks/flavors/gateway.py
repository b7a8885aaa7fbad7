"""Model deployer flavor `gateway`: Envoy and our own model servers as processes on this machine.

The component says where the gateway lives; `stacks.active.serving_target` makes the rollout's target of it.
"""

from typing import ClassVar

from zenml.model_deployers import BaseModelDeployerFlavor
from zenml.model_deployers.base_model_deployer import BaseModelDeployerConfig

from stacks.flavors.by_rollout import ByRolloutAlone


class GatewayConfig(BaseModelDeployerConfig):
    """Where the gateway keeps what is wanted, what is, its logs and its predictions."""

    root: str

    @property
    def is_local(self) -> bool:
        """Its processes run on this machine."""
        return True


class GatewayDeployer(ByRolloutAlone):
    """Names the gateway. Models reach it by rollout alone, where a judge watches them."""

    NAME: ClassVar[str] = "gateway"

    @property
    def config(self) -> GatewayConfig:
        """The component's settings."""
        return self._config  # type: ignore[no-any-return]  # ZenML is untyped


class GatewayFlavor(BaseModelDeployerFlavor):
    """Registers the deployer with ZenML under the name `gateway`."""

    @property
    def name(self) -> str:
        """Name in stack files."""
        return GatewayDeployer.NAME

    @property
    def config_class(self) -> type[GatewayConfig]:
        """Its settings."""
        return GatewayConfig

    @property
    def implementation_class(self) -> type[GatewayDeployer]:
        """The component's class."""
        return GatewayDeployer


GatewayDeployer.FLAVOR = GatewayFlavor  # ZenML wants it on the class; the flavor is defined after it
