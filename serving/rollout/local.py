"""The target on this machine: predictor processes behind Envoy, kept by one supervisor."""

import time
from collections.abc import Mapping
from pathlib import Path

from modelway.errors import ConfigError, NotReadyError, PortInUseError, TransitionError
from modelway.stats.sequential import Counts
from serving.gateway.control import Gateway
from serving.gateway.desired import Desired, Status, Sticky
from serving.gateway.files import get, put
from serving.rollout.arms import shares
from serving.rollout.counters import Ledger, add, observed
from serving.rollout.local_readings import (
    answered,
    gateway_readings,
    readiness_of,
    replica_readings,
    signature_of,
)
from serving.rollout.local_wishes import grpc_asked, spec_of, with_revision
from serving.rollout.pairing import Pairing
from serving.rollout.rewards import Rewards
from serving.rollout.sights import Pairs, RewardSource, Slot, Smoke
from serving.rollout.smoking import smoke
from serving.rollout.strategies import FULL
from serving.rollout.target import Observations, Readiness, Revision, RevisionId, Routing, Window


class LocalTarget:
    """Implements `Target` by editing desired.json and reading status.json and `/metrics`."""

    def __init__(self, root: Path, *, runtime: str = "serving.runtime") -> None:
        """Name the folder of one gateway; starts and creates nothing.

        Args:
            root: Folder of desired.json, status.json, logs, predictions and rollouts.
            runtime: Module that is started per replica.
        """
        self._gateway = Gateway(root, runtime=runtime)
        self._layout = self._gateway.layout
        self._pairings: dict[str, Pairing] = {}
        self._rewards: dict[str, Rewards] = {}

    @property
    def root(self) -> Path:
        """The gateway's folder."""
        return self._layout.root

    @property
    def prediction_log_folder(self) -> Path:
        """Where the predictors write what they saw and answered, as Parquet."""
        return self._layout.predictions

    @property
    def running(self) -> bool:
        """A supervisor is alive for this root."""
        return self._gateway.running

    @property
    def gateway_url(self) -> str:
        """Where clients send their requests.

        Raises:
            NotRunningError: No supervisor is alive.
        """
        return self._gateway.require().url

    def status(self) -> Status | None:
        """What the supervisor says; None while none is alive."""
        return self._gateway.status()

    def start(self, *, port: int | None = None) -> str:
        """Start the supervisor, detached, unless one is alive. Returns the gateway's URL.

        Raises:
            PortInUseError: Somebody else listens on `port`, or the gateway that runs has another.
            NotReadyError: It did not come up.
        """
        return self._gateway.start(port=port).url

    def stop(self) -> None:
        """Drain and stop the gateway and its predictors. Harmless when none runs."""
        self._gateway.stop()

    def serve(
        self,
        revision: Revision,
        *,
        replicas: int = 1,
        port: int | None = None,
        limit_s: float = 60.0,
        grpc: bool | None = None,
    ) -> str:
        """Give one revision all traffic, at once, and let the others go. Returns the gateway's URL.

        Raises:
            NotReadyError: Its replicas did not become ready; traffic stayed where it was.
            PortInUseError: As `start`.
            ConfigError: As `deploy`.
        """
        self.deploy(
            revision, replicas=replicas, grpc=grpc
        )  # first: a gateway that starts begins with what it finds
        try:
            url = self.start(port=port)
            self._gateway.until(lambda: self._complete(revision.id), limit_s, f"revision {revision.id}")
        except (NotReadyError, PortInUseError):
            self._withdraw(revision.id)
            raise
        self.route({revision.id: FULL})
        self._gateway.until(lambda: self._alone(revision.id), limit_s, "the new routes")
        self._gateway.until(self._calls_answered, limit_s, "gRPC's routes")
        for other in sorted(set(self._layout.read_desired().revisions) - {revision.id}):
            self.retire(other)
        return url

    def live(self) -> Revision:
        """The revision that has all traffic.

        Raises:
            NotRunningError: No gateway runs.
            TransitionError: Traffic is shared, or nobody has any.
        """
        self._gateway.require()
        wish = self._layout.read_desired()
        alone = [name for name, weight in wish.weights.items() if weight == FULL]
        if not alone:
            raise TransitionError(
                f"no revision has all traffic: {wish.weights or 'nothing is served'}",
                expected="one live revision",
                remedy="serve a model first, or finish the rollout that is under way",
            )
        spec = wish.revisions[alone[0]]
        return Revision(id=alone[0], bundle=spec.bundle, digest=spec.digest, verify_key=spec.verify_key)

    def replicas(self, revision: RevisionId) -> int:
        """How many predictors a deployed revision is meant to have; 1 where it is not known."""
        spec = self._layout.read_desired().revisions.get(revision)
        return spec.replicas if spec else 1

    def capacity(self) -> int:
        """How many predictors the live revision is meant to have."""
        return self.replicas(self.live().id)

    def deployed(self) -> frozenset[RevisionId]:
        """Revisions that are meant to run, with traffic or without."""
        return frozenset(self._layout.read_desired().revisions)

    def idle(self) -> frozenset[RevisionId]:
        """Deployed revisions that nobody's requests go to, mirrored ones included."""
        wish = self._layout.read_desired()
        busy = {name for name, weight in wish.weights.items() if weight} | {wish.mirror}
        return frozenset(wish.revisions) - busy

    def meant(self) -> frozenset[RevisionId]:
        """Who shall have requests, also while the gateway cannot say who has; nobody once it was stopped.

        One that was killed left its status: whatever starts it again gives them their requests back.
        """
        left = self.running or self._layout.status.exists()
        return self.deployed() - self.idle() if left else frozenset()

    def rate_rps(self, over_s: float = 1.0) -> float | None:
        """Requests answered per second now, by all revisions; None while no gateway runs."""
        first = answered(self.status())
        time.sleep(over_s)
        second = answered(self.status())
        return None if first is None or second is None else max(0, second - first) / over_s

    def deploy(self, revision: Revision, *, replicas: int, grpc: bool | None = None) -> None:
        """Ask for replicas of a revision; with `grpc` also for gRPC at the gateway, or for none of it.

        Raises:
            ConfigError: The name already stands for another bundle, or the settings do not hold.
        """
        spec, calls = spec_of(revision, replicas, self._layout), grpc_asked(self._layout.settings, grpc)
        self._layout.edit(lambda wish: with_revision(wish, revision, spec, grpc=calls))

    def ready(self, revision: RevisionId) -> Readiness | None:
        """How far it has come; starts a supervisor that was killed."""
        status = self._gateway.revive()
        found, wish = status.revisions.get(revision) if status else None, self._layout.read_desired()
        if found is None or revision not in wish.revisions:
            return None
        return readiness_of(found, grpc=wish.grpc)

    def route(self, weights: Mapping[RevisionId, int], *, mirror: RevisionId | None = None) -> None:
        """Ask for shares of traffic; `routing` says when they are in effect."""
        wanted = {"weights": dict(weights), "mirror": mirror, "sticky": None}
        self._layout.edit(lambda wish: wish.model_copy(update=wanted))

    def split(self, slots: tuple[Slot, ...], *, key_header: str) -> None:
        """Share keys out by the hash of a header; `routing` says when it is in effect."""
        sticky = Sticky(header=key_header, slots=tuple((slot.revision, slot.percent) for slot in slots))
        wanted = {"weights": shares(slots), "mirror": None, "sticky": sticky}
        self._layout.edit(lambda wish: wish.model_copy(update=wanted))

    def routing(self) -> Routing | None:
        """The shares that Envoy follows; every deployed revision is named."""
        status = self.status()
        if status is None or status.weights is None or not status.gateway_ready:
            return None
        deployed = dict.fromkeys((*status.revisions, *self._layout.read_desired().revisions), 0)
        sticky = status.sticky
        return Routing(
            weights={**deployed, **status.weights},
            mirror=status.mirror,
            key_header=sticky.header if sticky else "",
            slots=sticky.slots if sticky else (),
        )

    def observe(self, window: Window) -> Mapping[RevisionId, Observations]:
        """Counts since the window opened, from each replica's `/metrics` and from Envoy.

        Empty while no supervisor is alive.
        """
        status = self.status()
        if status is None:
            return {}
        path = self._layout.rollouts / "windows" / f"{window.id}.json"
        # The gateway first: an answer is counted by the replica before it is counted there.
        gateway, replicas = gateway_readings(status), replica_readings(status)
        ledger = add(get(path, Ledger), (*gateway, *replicas))
        put(path, ledger.model_dump_json())
        dark = {each.revision for each in replicas if each.counters is None}
        seen = all(each.counters is not None for each in gateway)
        return {
            name: observed(ledger, name, replicas_known=name not in dark, gateway_known=seen)
            for name in status.revisions
        }

    def pairs(self, window: Window, stable: Revision, canary: Revision) -> Pairs | None:
        """Answers to the same requests, out of both revisions' prediction logs.

        Raises:
            NotReadyError: The log cannot be read now.
        """
        if window.id not in self._pairings:
            thresholds = {each.id: signature_of(each).threshold for each in (stable, canary)}
            folder, since = self.prediction_log_folder, window.opened_at
            pairing = Pairing(folder, since, thresholds, stable=stable.id, canary=canary.id)
            self._pairings = {window.id: pairing}
        return self._pairings[window.id].totals()

    def smoke(self, revision: Revision) -> Smoke | None:
        """Ask one revision, through the gateway, what its bundle knows the answers to."""
        status = self.status()
        return smoke(status.port, revision, signature_of(revision)) if status is not None else None

    def rewards(
        self, window: Window, arms: Mapping[RevisionId, Revision], source: RewardSource
    ) -> Mapping[RevisionId, Counts]:
        """Rewarded units per arm, out of the prediction log and the rewards file.

        Raises:
            NotReadyError: Log or file cannot be read now.
            ConfigError: The rewards file has another form.
        """
        if window.id not in self._rewards:
            thresholds = {name: signature_of(arm).threshold for name, arm in arms.items()}
            folder = self.prediction_log_folder
            self._rewards = {window.id: Rewards(folder, window.opened_at, thresholds, source)}
        return self._rewards[window.id].totals()

    def retire(self, revision: RevisionId) -> None:
        """Drain a revision's replicas and stop them.

        Raises:
            ConfigError: It still has traffic.
        """

        def change(wish: Desired) -> Desired:
            if wish.weights.get(revision) or wish.mirror == revision:
                raise ConfigError(
                    f"revision {revision} still has traffic",
                    expected="a revision without any",
                    remedy="route its traffic elsewhere first",
                )
            others = {name: spec for name, spec in wish.revisions.items() if name != revision}
            weights = {name: weight for name, weight in wish.weights.items() if name != revision}
            return wish.model_copy(update={"revisions": others, "weights": weights})

        self._layout.edit(change)

    def _withdraw(self, revision: RevisionId) -> None:
        if not self._layout.read_desired().weights.get(revision):
            self.retire(revision)

    def _complete(self, revision: RevisionId) -> bool | None:
        return ((found := self.ready(revision)) is not None and found.complete) or None

    def _alone(self, revision: RevisionId) -> bool | None:
        return ((found := self.routing()) is not None and found.weights.get(revision) == FULL) or None

    def _calls_answered(self) -> bool | None:
        status = self.status()
        return (status is not None and status.grpc == self._layout.read_desired().grpc) or None
