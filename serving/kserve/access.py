"""One InferenceService in a cluster and what its controller made of it: read, patched, tidied up."""

from collections.abc import Mapping
from typing import NoReturn

from modelway.errors import NotReadyError, NotRunningError, TransitionError
from serving.kserve.changes import Spec, patch_to, promoted
from serving.kserve.client import Cluster, Kind
from serving.kserve.spec import FULL, SERVICE_LABEL, Manifest
from serving.kserve.view import (
    ArmView,
    ServiceView,
    available,
    revision_of_deployment,
    shares,
    surplus,
    view_of,
)
from serving.rollout.target import RevisionId


class Access:
    """Every method asks the cluster anew: nothing is remembered."""

    def __init__(self, cluster: Cluster, service: str) -> None:
        """Name the service; asks nothing yet."""
        self.cluster, self.service = cluster, service
        self._selector = f"{SERVICE_LABEL}={service}"

    def manifest(self) -> Manifest | None:
        """The object; None when it is not there."""
        return self.cluster.get(Kind.INFERENCE_SERVICE, self.service)

    def required(self) -> Manifest:
        """The object.

        Raises:
            NotRunningError: It is not there.
        """
        manifest = self.manifest()
        if manifest is None:
            raise NotRunningError(
                f"there is no InferenceService {self.service} in {self.cluster.namespace}",
                expected="a service that was released once",
                remedy=f"modelway rollout start {self.service}",
            )
        return manifest

    def url(self) -> str:
        """Where KServe says that the service answers.

        Raises:
            NotRunningError: It says nothing.
        """
        return str((self.required().get("status") or {}).get("url") or "") or _nowhere(self.service)

    def patch(self, manifest: Manifest, spec: Spec, *, dry_run: bool = False) -> Manifest:
        """Make `spec` of the object as it was read, in one patch.

        Raises:
            ConflictError: It changed since.
            ConfigError: The rules, the SDK's schema or the cluster refuse the result.
        """
        operations = patch_to(manifest, spec)
        return self.cluster.patch(Kind.INFERENCE_SERVICE, self.service, operations, dry_run=dry_run)

    def deployment(self, arm: ArmView) -> Manifest | None:
        """An arm's Deployment."""
        return self.cluster.get(Kind.DEPLOYMENT, arm.deployment)

    def available(self, arm: ArmView) -> int:
        """Replicas of an arm that serve the newest template."""
        return available(self.deployment(arm))

    def surplus(self, arm: ArmView) -> int:
        """Replicas that an arm's autoscaler added because of the load."""
        return surplus(self.cluster.get(Kind.AUTOSCALER, arm.deployment))

    def pods(self, arm: ArmView) -> list[Manifest]:
        """An arm's pods, those that leave included."""
        return self.cluster.select(Kind.POD, f"app=isvc.{arm.deployment}")

    def weights(self) -> dict[RevisionId, int] | None:
        """Percent of traffic per revision as the HTTPRoute has it; those that leave stand in it with 0.

        The status of the InferenceService would not do: its `observedGeneration` is the Deployment's.

        Returns:
            None when there is no route, or it names a backend that nobody can tell the revision of.
        """
        route, manifest = self.cluster.get(Kind.HTTP_ROUTE, self.service), self.manifest()
        backends = shares(route) if route else None
        if backends is None or manifest is None:
            return None
        revisions = self._revisions(view_of(manifest))
        if not set(backends) <= set(revisions):
            return None
        weights = dict.fromkeys(revisions.values(), 0)
        for backend, weight in backends.items():
            weights[revisions[backend]] += weight
        return weights

    def promote(self, revision: RevisionId) -> bool:
        """One step of making the canary the stable arm; True once nothing is left to do.

        Raises:
            TransitionError: It has not been given all traffic.
            NotReadyError: It was given all traffic, and that is not in effect.
        """
        manifest = self.required()
        view = view_of(manifest)
        if view.canary is None or (view.standby is not None and view.stable.revision == revision):
            return self._tidy(view)
        if view.canary.revision != revision or view.weight != FULL:
            raise TransitionError(
                f"{revision} was not given all traffic of {self.service}",
                expected="a canary with 100 %",
                remedy="finish its rollout first",
            )
        if (self.weights() or {}).get(revision) != FULL:
            raise NotReadyError(f"the gateway does not give {revision} all traffic of {self.service} yet")
        self.patch(manifest, promoted(manifest))
        return False

    def _tidy(self, view: ServiceView) -> bool:
        """Delete autoscalers whose arm is gone, which KServe forgets; False while an arm is still leaving."""
        deployments = self.cluster.select(Kind.DEPLOYMENT, self._selector)
        if {each["metadata"]["name"] for each in deployments} != {arm.deployment for arm in view.arms}:
            return False
        for each in self.cluster.select(Kind.AUTOSCALER, self._selector):
            if each["metadata"]["name"] != view.stable.deployment:
                self.cluster.delete(Kind.AUTOSCALER, each["metadata"]["name"])
        return True

    def _revisions(self, view: ServiceView) -> Mapping[str, RevisionId]:
        """Revision by Deployment."""
        found = self.cluster.select(Kind.DEPLOYMENT, self._selector)
        named = {each["metadata"]["name"]: revision_of_deployment(each) for each in found}
        ours = {name: revision for name, revision in named.items() if revision is not None}
        return ours | {arm.deployment: arm.revision for arm in view.arms}


def _nowhere(service: str) -> NoReturn:
    raise NotRunningError(
        f"KServe has given {service} no URL",
        expected="a gateway that took the route",
        remedy="set `gateway_url` of the model deployer, or look at the Gateway",
    )
