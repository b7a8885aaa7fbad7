"""An InferenceService as a rollout sees it: two arms, their replicas, the canary's share. Pure."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from modelway.contract import Frozen
from modelway.errors import ConfigError
from serving.kserve.spec import DIGEST_ANNOTATION, FULL, REVISION_LABEL, STANDBY, Manifest, deployment_name
from serving.rollout.target import Readiness, RevisionId

_EVERYDAY = frozenset({"", "PodInitializing", "ContainerCreating", "Completed"})
"""Reasons for which a container does not run that are no problem."""


class ArmView(Frozen):
    """One predictor of ours, as the object says it."""

    revision: RevisionId
    digest: str
    deployment: str
    """Name of its Deployment and Service, and of the backend in the HTTPRoute."""
    replicas: int = Field(ge=0)
    kept: bool = False
    """It was brought in to be kept loaded, not by a rollout."""


class ServiceView(Frozen):
    """The whole object."""

    generation: int
    stable: ArmView
    canary: ArmView | None
    weight: int = Field(ge=0, le=FULL)
    """The canary's share, in percent, as asked for. What is in effect stands in the HTTPRoute."""

    @property
    def capacity(self) -> int:
        """Replicas that carry all the traffic: the stable arm's without what was added for the canary."""
        return self.stable.replicas - (self.canary.replicas if self.canary else 0)

    @property
    def standby(self) -> ArmView | None:
        """The former revision that is kept loaded without traffic; None where there is none."""
        return self.canary if self.canary and self.canary.kept and not self.weight else None

    @property
    def arms(self) -> tuple[ArmView, ...]:
        """Those there are."""
        return (self.stable, self.canary) if self.canary else (self.stable,)

    def arm(self, revision: RevisionId) -> ArmView | None:
        """The arm of a revision; None when it has none."""
        return next((arm for arm in self.arms if arm.revision == revision), None)

    def replicas_for(self, weight: int, *, surplus: int) -> int:
        """Canary replicas that carry `weight` percent of what all carry now; never fewer than it has.

        Args:
            weight: In percent.
            surplus: Replicas that an autoscaler added to the stable arm because of the load.
        """
        has = self.canary.replicas if self.canary else 1
        return max(has, math.ceil((self.capacity + surplus) * weight / FULL))


def view_of(manifest: Manifest) -> ServiceView:
    """Read an InferenceService that Modelway made.

    Raises:
        ConfigError: A predictor has no revision of ours, or there is more than one canary.
    """
    name, spec = manifest["metadata"]["name"], manifest["spec"]
    canaries = spec.get("canary") or []
    if len(canaries) > 1:
        raise ConfigError(
            f"InferenceService {name} has {len(canaries)} canaries",
            expected="one at most: a rollout compares two revisions",
            remedy="remove those that somebody else added",
        )
    canary = canaries[0] if canaries else None
    return ServiceView(
        generation=int(manifest["metadata"].get("generation", 0)),
        stable=_arm(name, spec["predictor"]),
        canary=_arm(name, canary["predictor"]) if canary else None,
        weight=int(canary.get("trafficPercent", 0)) if canary else 0,
    )


def _arm(service: str, predictor: Mapping[str, Any]) -> ArmView:
    revision = (predictor.get("labels") or {}).get(REVISION_LABEL)
    if not revision:
        raise ConfigError(
            f"predictor {predictor.get('name') or 'default'} of InferenceService {service} is none of ours",
            expected=f"the label {REVISION_LABEL}",
            remedy="choose another name for the service, or delete this one and serve the model again",
        )
    return ArmView(
        revision=revision,
        digest=(predictor.get("annotations") or {}).get(DIGEST_ANNOTATION, ""),
        deployment=deployment_name(service, predictor.get("name")),
        replicas=int(predictor.get("minReplicas", 1)),
        kept=str(predictor.get("name") or "").startswith(STANDBY),
    )


def available(deployment: Manifest | None) -> int:
    """Replicas that serve the newest template. 0 while the controller has not seen the newest spec."""
    if deployment is None:
        return 0
    status = deployment.get("status") or {}
    if int(status.get("observedGeneration", 0)) < int(deployment["metadata"].get("generation", 0)):
        return 0
    return min(int(status.get("availableReplicas") or 0), int(status.get("updatedReplicas") or 0))


def surplus(autoscaler: Manifest | None) -> int:
    """Replicas that the load alone asks for: beyond the autoscaler's lower bound, which KServe moves about.

    Counting pods would not do: while a canary comes up, KServe runs more stable pods than carry the traffic.
    """
    if autoscaler is None:
        return 0
    least = int((autoscaler.get("spec") or {}).get("minReplicas") or 1)
    return max(0, int((autoscaler.get("status") or {}).get("desiredReplicas") or 0) - least)


def revision_of_deployment(deployment: Manifest) -> RevisionId | None:
    """Which revision a Deployment runs; None for one that is not ours."""
    labels = deployment["spec"]["template"]["metadata"].get("labels") or {}
    revision: RevisionId | None = labels.get(REVISION_LABEL)
    return revision


def shares(route: Manifest) -> dict[str, int] | None:
    """Percent of traffic per backend, as the HTTPRoute has them in effect.

    Returns:
        None when nothing can be said: no rules, rules that differ, a route that a gateway refused, or
        weights that are no whole percentages.
    """
    rules = [
        {ref["name"]: int(ref.get("weight", 1)) for ref in rule.get("backendRefs") or []}
        for rule in route["spec"].get("rules") or []
    ]
    if not rules or any(rule != rules[0] for rule in rules) or _refused(route):
        return None
    total = sum(rules[0].values())
    if total <= 0 or any(weight * FULL % total for weight in rules[0].values()):
        return None
    return {name: weight * FULL // total for name, weight in rules[0].items()}


def _refused(route: Manifest) -> bool:
    parents = (route.get("status") or {}).get("parents") or []
    conditions = [condition for parent in parents for condition in parent.get("conditions") or []]
    return any(each.get("type") == "Accepted" and each.get("status") == "False" for each in conditions)


def readiness(arm: ArmView, wanted: int, deployment: Manifest | None, pods: Iterable[Manifest]) -> Readiness:
    """How far an arm's pods have come."""
    living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    problems = [problem for pod in living for problem in _problems(pod)]
    missing = "" if deployment is not None else f"Deployment {arm.deployment} is not there yet"
    return Readiness(
        wanted=wanted,
        ready=min(available(deployment), wanted),
        restarts=sum(restarts(pod) for pod in living),
        problem=problems[-1] if problems else missing,
    )


def restarts(pod: Manifest) -> int:
    """How often the pod's containers began anew, those that fetch the bundle included."""
    return sum(int(status.get("restartCount", 0)) for status in _containers(pod))


def _containers(pod: Manifest) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _problems(pod: Manifest) -> list[str]:
    stopped = [text for status in _containers(pod) for text in _why_not_running(status)]
    unplaced = [
        f"{condition.get('reason')}: {condition.get('message')}"
        for condition in (pod.get("status") or {}).get("conditions") or []
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    ]
    return stopped + unplaced


def _why_not_running(status: Mapping[str, Any]) -> list[str]:
    ended = (status.get("lastState") or {}).get("terminated") or {}
    waiting = (status.get("state") or {}).get("waiting") or {}
    return [
        f"{status.get('name')}: {each['reason']} {_told(str(each.get('message') or ''))}".strip()
        for each in (waiting, ended)
        if each.get("reason", "") not in _EVERYDAY
    ]


def _told(message: str) -> str:
    """The line that says what went wrong: our programs begin it with `error:`; of others, the last."""
    lines = message.strip().splitlines()
    return next((line for line in lines if line.startswith("error:")), lines[-1] if lines else "")
