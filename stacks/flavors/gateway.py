"""Model deployer flavor `gateway`: Envoy and our own model servers as processes on this machine.

The component says where the gateway lives; `stacks.active.serving_target` makes the rollout's target of it.
"""

from typing import Any, ClassVar, NoReturn

from zenml.model_deployers import BaseModelDeployer, BaseModelDeployerFlavor
from zenml.model_deployers.base_model_deployer import BaseModelDeployerConfig


class GatewayConfig(BaseModelDeployerConfig):
    """Where the gateway keeps what is wanted, what is, its logs and its predictions."""

    root: str

    @property
    def is_local(self) -> bool:
        """Its processes run on this machine."""
        return True


class GatewayDeployer(BaseModelDeployer):
    """Names the gateway. Models reach it by rollout alone, where a judge watches them."""

    NAME: ClassVar[str] = "gateway"

    @property
    def config(self) -> GatewayConfig:
        """The component's settings."""
        return self._config  # type: ignore[no-any-return]  # ZenML is untyped

    @staticmethod
    def get_model_server_info(service_instance: Any) -> dict[str, str | None]:
        """Not offered: `modelway serve` lists what is served."""
        return _refuse(service_instance)

    def perform_deploy_model(self, id: Any, config: Any, timeout: int = 0) -> NoReturn:  # noqa: A002 - ZenML's name
        """Not offered, see the class."""
        _refuse(id, config, timeout)

    def perform_stop_model(self, service: Any, timeout: int = 0, force: bool = False) -> NoReturn:
        """Not offered, see the class."""
        _refuse(service, timeout, force)

    def perform_start_model(self, service: Any, timeout: int = 0) -> NoReturn:
        """Not offered, see the class."""
        _refuse(service, timeout)

    def perform_delete_model(self, service: Any, timeout: int = 0, force: bool = False) -> NoReturn:
        """Not offered, see the class."""
        _refuse(service, timeout, force)


def _refuse(*_asked: Any) -> NoReturn:
    raise NotImplementedError("models reach the gateway by `modelway rollout start`, never past the judge")


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
