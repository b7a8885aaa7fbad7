"""The target on a cluster: KServe's Standard mode, a canary in `spec.canary`, shares in the HTTPRoute.

The cluster's objects are the only memory. Which revision a predictor runs stands in its label, so that
another process, or another machine, goes on where this one was killed.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelway.errors import ConfigError, NotReadyError, TransientError, TransitionError
from serving.gateway.files import get, put
from serving.kserve.access import Access
from serving.kserve.arrivals import Arrivals
from serving.kserve.changes import rolled_back, toward
from serving.kserve.client import Cluster
from serving.kserve.counting import count
from serving.kserve.diff import planned_diff
from serving.kserve.places import Places
from serving.kserve.probing import probe
from serving.kserve.runtimes import HTTP_PORT
from serving.kserve.spec import FULL, Manifest, Mode, Service
from serving.kserve.view import readiness, view_of
from serving.kserve.waiting import until
from serving.rollout.counters import Ledger
from serving.rollout.sights import Smoke
from serving.rollout.target import Observations, Readiness, Revision, RevisionId, Routing, Window

logger = logging.getLogger(__name__)


class KServeTarget:
    """Implements `Target` by patching one InferenceService and reading what came of it.

    What `deploy`, `route` and `retire` ask for and the cluster cannot take now - it does not answer, or
    somebody changed the object meanwhile - is logged, and asked for again at the next look; the plan's
    deadlines end that.
    """

    def __init__(self, cluster: Cluster, service: Service, places: Places) -> None:
        """Name the service; asks the cluster nothing yet.

        Raises:
            ConfigError: The service is in Knative mode.
        """
        if service.mode is not Mode.STANDARD:
            raise ConfigError(
                f"service {service.name} is in {service.mode.value} mode",
                expected="Standard mode: its canaries are Deployments whose pods can be judged one by one",
                remedy="set `mode: Standard`; Knative's canaryTrafficPercent can be rendered, not driven",
            )
        self._service, self._places = service, places
        self._access = Access(cluster, service.name)
        self._arrivals = Arrivals(self._access, service, places)

    @property
    def root(self) -> Path:
        """Folder of `rollouts/` on this machine."""
        return self._places.root

    @property
    def prediction_log_folder(self) -> Path:
        """Where the pods' prediction log can be read.

        Raises:
            ConfigError: It is not collected.
        """
        return self._places.required_predictions()

    @property
    def running(self) -> bool:
        """The InferenceService exists."""
        return self._access.manifest() is not None

    @property
    def gateway_url(self) -> str:
        """Where clients send their requests.

        Raises:
            NotRunningError: There is no such service, or KServe has not given it a URL.
        """
        return self._places.gateway_url or self._access.url()

    def live(self) -> Revision:
        """The revision that has all traffic.

        Raises:
            NotRunningError: There is no such service.
            TransitionError: Traffic is shared, or what the gateway does is not known.
        """
        view, weights = view_of(self._access.required()), self._access.weights() or {}
        arm = next((arm for arm in view.arms if weights.get(arm.revision) == FULL), None)
        if arm is None:
            raise TransitionError(
                f"no revision of {self._service.name} has all traffic: {weights or 'no route is in effect'}",
                expected="one live revision",
                remedy="finish the rollout that is under way, or wait for the gateway",
            )
        return self._places.revision(arm)

    def serve(self, revision: Revision, *, replicas: int = 1, limit_s: float = 600.0) -> str:
        """Give one revision all traffic without a judge, and let the other go. Returns the service's URL.

        Raises:
            NotReadyError: Its pods did not become ready; traffic stayed where it was.
            TransitionError: Another canary stands beside the stable revision.
        """
        try:
            until(lambda: self._complete(revision, replicas), limit_s, f"revision {revision.id}")
        except NotReadyError:
            self._ask("withdraw", lambda: self._withdraw(revision.id))
            raise
        until(lambda: self._has_all(revision.id), limit_s, "the new routes")
        self.promote(revision.id, limit_s=limit_s)
        return self.gateway_url

    def deploy(self, revision: Revision, *, replicas: int) -> None:
        """Upload the bundle and ask for pods; the first revision of a service gets its traffic at once.

        Raises:
            ConfigError: The name already stands for another bundle, or the cluster refuses the object.
            TransitionError: Another canary stands beside the stable revision.
            BundleRejectedError: The bundle does not verify.
            StorageError: It cannot be uploaded.
        """
        self._ask("deploy", lambda: self._arrivals.deploy(revision, replicas))

    def ready(self, revision: RevisionId) -> Readiness | None:
        """How many pods are available, by the Deployment; restarts and the last problem, by the pods."""
        manifest = self._access.manifest()
        view = view_of(manifest) if manifest else None
        arm = view.arm(revision) if view else None
        if view is None or arm is None:
            return None
        wanted = view.capacity if arm == view.stable else arm.replicas
        return readiness(arm, wanted, self._access.deployment(arm), self._access.pods(arm))

    def route(self, weights: Mapping[RevisionId, int], *, mirror: RevisionId | None = None) -> None:
        """Go one step towards the shares: pods first, traffic once they are ready. Call until in effect.

        Raises:
            ConfigError: A mirror is asked for, or a share for a revision that is not deployed.
        """
        if mirror is not None:
            raise ConfigError(
                f"mirror traffic to {mirror}: KServe's controller writes the HTTPRoute and knows no mirror",
                expected="a rollout without a shadow step",
                remedy="leave --shadow out; the first step is 5 % of live traffic",
            )
        self._ask("route", lambda: self._route(weights))

    def routing(self) -> Routing | None:
        """The shares that the HTTPRoute has."""
        weights = self._access.weights()
        return None if weights is None else Routing(weights=weights)

    def observe(self, window: Window) -> Mapping[RevisionId, Observations]:
        """Counts since the window opened, from each pod's `/metrics` through the API server."""
        manifest = self._access.manifest()
        if manifest is None:
            return {}
        pods = {arm.revision: self._access.pods(arm) for arm in view_of(manifest).arms}
        path = self.root / "rollouts" / "windows" / f"{window.id}.json"
        ledger, seen = count(pods, get(path, Ledger), self._scrape)
        put(path, ledger.model_dump_json())
        return seen

    def smoke(self, revision: Revision) -> Smoke | None:
        """Ask all pods of a revision, past the gateway, what its bundle knows the answers to."""
        manifest = self._access.manifest()
        arm = view_of(manifest).arm(revision.id) if manifest else None
        if arm is None:
            return None
        return probe(self._access.cluster, self._access.pods(arm), arm.replicas, revision)

    def capacity(self) -> int:
        """How many pods carry all the traffic now, those of an autoscaler included.

        Raises:
            NotRunningError: There is no such service.
        """
        view = view_of(self._access.required())
        return view.capacity + self._access.surplus(view.stable)

    def retire(self, revision: RevisionId) -> None:
        """Take the canary away; or the stable revision, once the canary has all traffic: by promoting that.

        Raises:
            ConfigError: It still has traffic.
        """
        self._ask("retire", lambda: self._retire(revision))

    def promote(self, revision: RevisionId, *, limit_s: float = 120.0) -> None:
        """Make the canary that has all traffic the stable revision, in one patch; its pods stay.

        Waits until the old one is gone and deletes what KServe leaves of it, the autoscaler. Repeatable.

        Raises:
            TransitionError: It does not have all traffic.
            NotReadyError: The old revision was not gone in time.
        """
        until(lambda: self._access.promote(revision), limit_s, f"the promotion of {revision}")

    def keep(self, revision: Revision | None) -> None:
        """Keep a former revision loaded: without traffic, with as many pods as carry it all. One at most.

        A rollout's canary needs the same place and is left alone. Returns when it was asked for.

        Args:
            revision: Which; None lets go of the one that is kept.

        Raises:
            BundleRejectedError: Its bundle does not verify.
            StorageError: It cannot be uploaded.
        """
        self._ask("keep", lambda: self._arrivals.keep(revision))

    def planned_diff(self, revision: Revision, *, weights: Sequence[int], replicas: int = 1) -> str:
        """What a rollout would change, patch by patch, as YAML diffs. Changes nothing.

        Raises:
            ConfigError: The rules, the SDK's schema or the cluster refuse it.
            TransitionError: Another canary stands beside the stable revision.
        """
        return planned_diff(
            self._access, self._service, self._arrivals.arm(revision, replicas, None), weights
        )

    def _route(self, weights: Mapping[RevisionId, int]) -> None:
        manifest = self._access.required()
        view = view_of(manifest)
        unknown = sorted(name for name, weight in weights.items() if weight and view.arm(name) is None)
        if unknown:
            raise ConfigError(
                f"a share for {', '.join(unknown)}",
                expected=f"shares for {' and '.join(arm.revision for arm in view.arms)}",
                remedy="deploy the revision first",
            )
        if view.canary is None:
            return
        weight = weights.get(view.canary.revision, 0)
        if weight == 0 and view.weight:
            self._access.patch(manifest, rolled_back(manifest))
            return
        surplus, canary_now = self._access.surplus(view.stable), self._access.available(view.canary)
        spec = toward(manifest, weight, surplus=surplus, canary_now=canary_now)
        if spec is not None:
            self._access.patch(manifest, spec)

    def _retire(self, revision: RevisionId) -> None:
        manifest = self._access.manifest()
        view = view_of(manifest) if manifest else None
        if manifest is None or view is None or view.arm(revision) is None:
            return
        if view.canary is not None and revision == view.stable.revision and view.weight == FULL:
            self._access.promote(view.canary.revision)
            return
        if view.canary is None or revision != view.canary.revision or view.weight:
            raise ConfigError(
                f"revision {revision} still has traffic",
                expected="a revision without any",
                remedy="route its traffic elsewhere first",
            )
        self._access.patch(manifest, rolled_back(manifest))

    def _scrape(self, pod: Manifest) -> str | None:
        return self._access.cluster.pod_text(pod["metadata"]["name"], HTTP_PORT, "/metrics")

    def _withdraw(self, revision: RevisionId) -> None:
        view = view_of(self._access.required())
        if view.canary is not None and view.canary.revision == revision and not view.weight:
            self.retire(revision)

    def _complete(self, revision: Revision, replicas: int) -> bool:
        self.deploy(revision, replicas=replicas)
        found = self.ready(revision.id)
        return found is not None and found.complete

    def _has_all(self, revision: RevisionId) -> bool:
        weights = self._access.weights()
        if weights is not None and weights.get(revision) == FULL:
            return True
        self.route({revision: FULL})
        return False

    def _ask(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except TransientError as error:
            logger.warning("%s %s is asked for again: %s", what, self._service.name, error.found)
