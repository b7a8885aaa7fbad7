"""A model deployer that ZenML cannot deploy to: models arrive by rollout alone, under a judge's eyes."""

from typing import Any, NoReturn

from zenml.model_deployers import BaseModelDeployer


class ByRolloutAlone(BaseModelDeployer):
    """Names a place. What ZenML would do to it past the judge is refused."""

    @staticmethod
    def get_model_server_info(service_instance: Any) -> dict[str, str | None]:
        """Not offered: `modelway rollout status` says what is served."""
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
    raise NotImplementedError("models are served by `modelway rollout start`, never past the judge")
