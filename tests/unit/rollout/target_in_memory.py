"""A rollout's target in memory, for every test of rollouts that needs no processes."""

from collections import Counter
from collections.abc import Mapping

from modelway.stats.sequential import Counts
from serving.rollout.arms import shares
from serving.rollout.sights import SHIFT_BINS, Pairs, RewardSource, Slot, Smoke
from serving.rollout.target import Observations, Readiness, Revision, RevisionId, Routing, Window


class FakeTarget:
    """A target in memory: what is asked is in effect at once, and each look sees `per_look` requests."""

    def __init__(self, bad: Mapping[RevisionId, float], per_look: int = 400) -> None:
        self.bad, self.per_look = bad, per_look
        self.replicas: dict[RevisionId, int] = {"v1": 1}
        self.weights: dict[RevisionId, int] = {"v1": 100}
        self.mirrored: RevisionId | None = None
        self.counts: dict[str, dict[RevisionId, list[float]]] = {}
        self.restarts = 0
        self.acts: list[str] = []
        self.slots: tuple[tuple[RevisionId, int], ...] = ()
        self.header = ""
        self.changed = 0.0
        self.smoke_fails = False
        self.good: Mapping[RevisionId, float] = {}
        self.looks: Counter[str] = Counter()

    def deploy(self, revision: Revision, *, replicas: int) -> None:
        self.acts.append(f"deploy {revision.id}")
        self.replicas[revision.id] = replicas

    def ready(self, revision: RevisionId) -> Readiness | None:
        wanted = self.replicas.get(revision)
        return Readiness(wanted=wanted, ready=wanted, restarts=self.restarts) if wanted else None

    def route(self, weights: Mapping[RevisionId, int], *, mirror: RevisionId | None = None) -> None:
        assert set(weights) <= set(self.replicas)
        assert sum(weights.values()) == 100
        self.acts.append("route " + " ".join(f"{name}={weight}" for name, weight in sorted(weights.items())))
        self.weights, self.mirrored, self.slots, self.header = dict(weights), mirror, (), ""

    def split(self, slots: tuple[Slot, ...], *, key_header: str) -> None:
        self.route(shares(slots))
        self.slots, self.header = tuple((slot.revision, slot.percent) for slot in slots), key_header

    def routing(self) -> Routing | None:
        weights = {**dict.fromkeys(self.replicas, 0), **self.weights}
        return Routing(weights=weights, mirror=self.mirrored, key_header=self.header, slots=self.slots)

    def pairs(self, window: Window, stable: Revision, canary: Revision) -> Pairs | None:
        self.looks[window.id] += 1
        compared = self.looks[window.id] * 50
        changed = int(compared * self.changed)
        near = [0] * SHIFT_BINS
        near[2] = compared
        return Pairs(compared=compared, changed=changed, shifts=tuple(near))

    def smoke(self, revision: Revision) -> Smoke | None:
        return Smoke(asked=8, wrong=3 if self.smoke_fails else 0)

    def rewards(
        self, window: Window, arms: Mapping[RevisionId, Revision], source: RewardSource
    ) -> Mapping[RevisionId, Counts]:
        self.looks[f"rewards {window.id}"] += 1
        units = self.looks[f"rewards {window.id}"] * 100
        return {name: Counts(trials=units, events=int(units * self.good.get(name, 0.3))) for name in arms}

    def observe(self, window: Window) -> Mapping[RevisionId, Observations]:
        sums = self.counts.get(window.id)
        if sums is None:
            sums = self.counts[window.id] = {name: [0, 0] for name in self.replicas}
        else:
            for name in self.replicas:
                share = 100 if self.mirrored == name else self.weights.get(name, 0)
                requests = self.per_look * share / 100
                sums.setdefault(name, [0, 0])
                sums[name][0] += requests
                sums[name][1] += requests * self.bad.get(name, 0)
        return {name: counted(int(n), int(bad)) for name, (n, bad) in sums.items()}

    def retire(self, revision: RevisionId) -> None:
        assert not self.weights.get(revision)
        self.acts.append(f"retire {revision}")
        self.replicas.pop(revision, None)


def counted(requests: int, errors: int = 0, slow: int = 0, rejected: int = 0) -> Observations:
    return Observations(
        requests=requests, server_errors=errors, answered=requests, slo_exceeded=slow, rejected=rejected
    )
