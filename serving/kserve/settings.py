"""The settings of a cluster's model deployer, as a stack file says them."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, ValidationError

from modelway.contract import Frozen, finding
from modelway.errors import ConfigError
from serving.kserve.spec import Mode, Scaling, Service


class KServeSettings(Frozen):
    """Closed: a misspelt key is an error that names it."""

    root: str
    """Folder of the rollouts' records on this machine."""
    storage: str = Field(pattern=r"^[a-z][a-z0-9+.-]*://.+")
    """URL prefix that bundles are uploaded to and pods fetch them from."""
    namespace: str = "default"
    runtime: str = "modelway"
    """Name of the ServingRuntime in the cluster."""
    mode: Mode = Mode.STANDARD
    service: str = ""
    """The model that commands mean when they name none."""
    kubeconfig: str = ""
    """Empty: the pod's own credentials, then `KUBECONFIG`."""
    context: str = ""
    gateway_url: str = Field(default="", pattern=r"^(https?://[^\s/?#]+(/\S*)?)?$")
    """Where clients reach the gateway; empty takes the URL that KServe says."""
    service_account: str = ""
    max_replicas: int = Field(default=0, ge=0)
    """Upper bound of the autoscaler; 0 for none."""
    predictions: str = ""
    """Folder where the pods' prediction log can be read."""

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> Self:
        """Read them.

        Raises:
            ConfigError: A key or value that does not fit.
        """
        try:
            return cls.model_validate(dict(configuration))
        except ValidationError as error:
            raise ConfigError(
                f"model deployer `kserve`: {finding(error.errors()[0], whole='')}",
                expected=f"of: {', '.join(cls.model_fields)}",
                remedy="correct the stack file, then `modelway stack apply`",
            ) from error

    def service_of(self, name: str) -> Service:
        """What all revisions of one service have in common.

        Raises:
            ConfigError: Kubernetes would not take the name.
        """
        scaling = Scaling(max_replicas=self.max_replicas) if self.max_replicas else None
        try:
            return Service(
                name=name,
                namespace=self.namespace,
                mode=self.mode,
                runtime=self.runtime,
                scaling=scaling,
                service_account=self.service_account,
            )
        except ValidationError as error:
            raise ConfigError(
                f"service `{name}` in namespace `{self.namespace}`: {error.errors()[0]['msg'].lower()}",
                expected="lower-case letters, digits and `-`; the name a letter first, 40 characters at most",
                remedy="name the use case or the namespace so",
            ) from error
