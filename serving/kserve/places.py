"""What of a cluster's service lies outside of the cluster."""

from pathlib import Path

from modelway.contract import Frozen
from modelway.errors import ConfigError
from serving.kserve.view import ArmView
from serving.rollout.target import Revision


class Places(Frozen):
    """Where a target on a cluster keeps and finds things outside of the cluster."""

    root: Path
    """Folder of the rollouts' records and counts, on this machine."""
    storage: str
    """URL prefix that bundles are uploaded to and pods fetch them from, e.g. `s3://models/modelway`."""
    bundles: Path
    """Folder of signed bundles, one per digest, on this machine."""
    verify_key: Path
    """PEM of the key that must have signed them."""
    gateway_url: str = ""
    """Where clients reach the gateway; empty for the URL that KServe says."""
    predictions: Path | None = None
    """Where the pods' prediction log can be read; None when it is not collected."""

    def revision(self, arm: ArmView) -> Revision:
        """What runs as an arm, by the bundle of its digest on this machine."""
        bundle = self.bundles / arm.digest
        return Revision(id=arm.revision, bundle=bundle, digest=arm.digest, verify_key=self.verify_key)

    def required_predictions(self) -> Path:
        """Where the pods' prediction log can be read.

        Raises:
            ConfigError: It is not collected.
        """
        if self.predictions is None:
            raise ConfigError(
                "the predictions of the cluster's pods are not collected",
                expected="a folder that the pods write to and this machine reads",
                remedy="mount one, pass --log-dir in the ServingRuntime, set `predictions` of the deployer",
            )
        return self.predictions
