"""Blue/green on a cluster: all pods first, our own questions, one switch, and one patch either way."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_controller import DEPLOYMENT, ISVC
from fake_kubelets import InstantKubelet, ProcessKubelet
from fake_kubernetes_api import FakeKubernetesApi

from modelway.bundle.bundle import Bundle
from modelway.errors import ConfigError, NotReadyError
from serving.kserve.places import Places
from serving.rollout import runner
from serving.rollout.kserve import KServeTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Records, run_rollout
from serving.rollout.seeing import require_able
from serving.rollout.sights import ComparesAnswers, Smokes, Splits
from serving.rollout.start import plan_over_live
from serving.rollout.state import Phase, RolloutState
from serving.rollout.target import Revision
from stacks.release import full_capacity

RunsAs = Callable[..., Revision]
REPLICAS = 3


class KilledError(BaseException):
    """Stands for kill -9: nothing may catch it."""


class Mortal:
    """A target whose driver dies after its first act that changes the cluster."""

    def __init__(self, target: KServeTarget, spared: set[str]) -> None:
        self._target, self._spared = target, spared

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name not in {"deploy", "route", "retire", "promote"} - self._spared:
            return found

        def once(*args: Any, **kwargs: Any) -> Any:
            found(*args, **kwargs)
            self._spared |= {"promote"} & {name}  # it is asked for again whenever the rollout is
            raise KilledError

        return once


class World:
    """A cluster whose controllers and users go on whenever the driver sleeps."""

    def __init__(self, api: FakeKubernetesApi, kubelet: InstantKubelet, target: KServeTarget) -> None:
        self.api, self.kubelet, self.target = api, kubelet, target
        self.failing: set[str] = set()
        self.running: list[tuple[int, ...]] = []

    def turn(self, _s: float = 0.0) -> None:
        self.api.settle()
        for revision, weight in (self.target._access.weights() or {}).items():
            pods = self.kubelet.pods(revision)
            for count in range(4 * weight if pods else 0):
                status = 500 if revision in self.failing else 200
                self.kubelet.answer(pods[count % len(pods)], status)

    @property
    def shares(self) -> list[int]:
        """The canary's, each time that somebody wrote another one."""
        found: list[int] = []
        for kind, _, one in self.api.objects.events:
            canaries = one["spec"].get("canary") or [] if kind == ISVC else []
            found += [each["trafficPercent"] for each in canaries]
        return [share for place, share in enumerate(found) if not place or found[place - 1] != share]

    def told(self, _state: RolloutState) -> None:
        ready = [one["status"]["availableReplicas"] for one in self.api.objects.list(DEPLOYMENT)]
        if self.running[-1:] != [tuple(ready)]:
            self.running.append(tuple(ready))

    @property
    def patches(self) -> int:
        return sum(method == "PATCH" for method, _ in self.api.calls)


@pytest.fixture
def world(
    api: FakeKubernetesApi,
    kubelet: InstantKubelet,
    target: KServeTarget,
    runs_as: RunsAs,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """paint-v1 serves with three pods."""
    made = World(api, kubelet, target)
    target.deploy(runs_as("good", 1), replicas=REPLICAS)
    api.settle()
    monkeypatch.setattr(runner.time, "sleep", made.turn)
    return made


def plan_of(target: KServeTarget, canary: Revision, **changes: Any) -> Plan:
    bundle = Bundle.open(canary.bundle, verify_key=canary.verify_key)
    options = full_capacity(target, {"strategy": "blue-green", "replicas": None, "watch_s": 0})
    return plan_over_live(target, bundle, canary, **(options | {"step_deadline_s": 240} | changes))


def stops(state: RolloutState) -> list[str]:
    return [moment.step for moment in state.timeline]


def test_a_good_revision_gets_all_traffic_in_one_switch(world: World, runs_as: RunsAs) -> None:
    canary = runs_as("better", 2)
    plan = plan_of(world.target, canary)
    assert plan.replicas == REPLICAS
    assert [stop.name for stop in plan.steps] == ["smoke", "watch"]

    before = world.patches
    final = run_rollout(world.target, plan, root=world.target.root, on_change=world.told)

    assert final.phase is Phase.PROMOTED, final.cause
    assert stops(final) == ["", "smoke", "watch", ""]
    assert "nothing mirrored" in final.timeline[0].why
    assert world.shares == [0, 100]
    assert world.patches - before == 3  # in, all traffic, promoted
    assert (REPLICAS, REPLICAS) in world.running, "the former one is kept while it is judged"
    asked = {name for name, _ in world.kubelet.asked}
    assert asked == set(world.kubelet.pods("paint-v2"))
    assert {path for _, path in world.kubelet.asked} == {"/v2/models/paint/infer?purpose=probe"}
    assert world.target.live() == canary


@pytest.mark.parametrize("bad", [False, True], ids=["promoted", "rolled-back"])
def test_a_driver_killed_after_every_state_and_every_act_ends_where_it_should(
    world: World, runs_as: RunsAs, monkeypatch: pytest.MonkeyPatch, bad: bool
) -> None:
    world.failing = {"paint-v2"} if bad else set()
    plan, write = plan_of(world.target, runs_as("better", 2)), Records.write

    def mortal(self: Records, record: Any) -> None:
        def turned(each: Any) -> object:
            return each and (each.state.phase, each.state.step, each.state.window is None)

        same = turned(self.read("paint")) == turned(record)
        write(self, record)
        if not same:
            raise KilledError

    monkeypatch.setattr(Records, "write", mortal)
    root, deaths, final, spared = world.target.root, 0, None, set[str]()
    while final is None and deaths < 60:
        try:
            final = run_rollout(Mortal(world.target, spared), plan, root=root)
        except KilledError:
            deaths += 1
            world.turn()

    assert final is not None
    world.api.settle()
    assert final.phase is (Phase.ROLLED_BACK if bad else Phase.PROMOTED)
    assert stops(final) == (["", "smoke", "watch", "", "", ""] if bad else ["", "smoke", "watch", ""])
    assert deaths >= 8
    assert world.shares == [0, 100], "it began nowhere anew"
    assert world.target.live() == (plan.stable if bad else plan.canary)
    assert len(world.api.objects.list(DEPLOYMENT)) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, b'{"error": "boom"}'), 'status 500: {"error": "boom"}'),
        ((200, b'{"outputs": [{"name": "probability", "data": [1.5]}]}'), "no probability"),
        ((200, b'{"outputs": [{"name": "probability", "data": [null]}]}'), "no probability"),
        ((200, b'{"outputs": [{"name": "probability", "data": [0.5, 0.5]}]}'), "2 answers to 1 rows"),
        ((200, b"<html>"), "no probability"),
    ],
)
def test_no_traffic_goes_to_what_answers_our_own_questions_wrongly(
    world: World, runs_as: RunsAs, answer: tuple[int, bytes], said: str
) -> None:
    world.kubelet.says["paint-v2"] = answer

    final = run_rollout(world.target, plan_of(world.target, runs_as("better", 2)), root=world.target.root)

    assert final.phase is Phase.ROLLED_BACK
    assert said in final.cause
    assert f"{REPLICAS} of {REPLICAS} requests of ours" in final.cause
    assert world.shares == [0]


def test_what_could_not_be_asked_is_not_right(world: World, runs_as: RunsAs) -> None:
    canary = runs_as("better", 2)
    world.target.deploy(canary, replicas=REPLICAS)
    world.api.settle()
    found = world.target.smoke(canary)
    assert found is not None
    assert found.asked == REPLICAS

    world.kubelet.silent = {world.kubelet.pods("paint-v2")[0]}
    assert world.target.smoke(canary) is None
    world.kubelet.silent = set()
    world.kubelet.stop(world.kubelet.pods("paint-v2")[0])
    assert world.target.smoke(runs_as("failing", 3)) is None, "it is not there"
    (canary.bundle / "reference.parquet").unlink()
    with pytest.raises(NotReadyError, match="reference rows"):
        world.target.smoke(canary)


def test_missing_pods_end_it_before_any_traffic(world: World, runs_as: RunsAs) -> None:
    world.kubelet.held["paint-r2-predictor"] = REPLICAS - 1

    plan = plan_of(world.target, runs_as("better", 2), ready_deadline_s=0.2)
    final = run_rollout(world.target, plan, root=world.target.root)

    assert final.phase is Phase.ROLLED_BACK
    assert f"{REPLICAS - 1} of {REPLICAS} replicas ready" in final.cause
    assert world.shares == [0]


def test_other_strategies_are_still_refused(target: KServeTarget, runs_as: RunsAs) -> None:
    assert isinstance(target, Smokes)
    assert not isinstance(target, (ComparesAnswers, Splits))
    arms = {"stable": runs_as("good", 1), "canary": runs_as("better", 2)}
    slo = Bundle.open(arms["stable"].bundle, verify_key=arms["stable"].verify_key).slo
    plan = Plan(id="one", service="paint", slo=slo, strategy="shadow-canary", mirror_first=False, **arms)

    with pytest.raises(ConfigError, match="cannot compare answers") as refused:
        require_able(target, plan)
    assert "canary or blue-green" in str(refused.value)


def reference(a: float, b: float) -> bytes:
    rows = [(0.0, 0.5), (1.0, 0.25), (1.0, 1.0)]
    right = [1 / (1 + math.exp(-(a * x + b * y))) for x, y in rows]
    columns = {"amount": [x for x, _ in rows], "months": [y for _, y in rows], "probability": right}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_real_pods_are_asked_the_bundles_own_rows(
    tmp_path: Path, make_target: Any, runs_as: RunsAs, places: Places
) -> None:
    pods = ProcessKubelet(tmp_path / "pods", places.verify_key)
    try:
        with FakeKubernetesApi(pods, auto=True) as api:
            target: KServeTarget = make_target(api)
            right = runs_as("good", 1, reference(0.5, -0.25))
            wrong = right.model_copy(update={"bundle": runs_as("good", 1, reference(-0.5, 0.25)).bundle})
            target.serve(right, replicas=2, limit_s=120)
            found, other = target.smoke(right), target.smoke(wrong)
    finally:
        pods.stop_all()

    assert found is not None
    assert (found.asked, found.wrong) == (6, 0)
    assert other is not None
    assert (other.asked, other.wrong) == (6, 6)
    assert "where the bundle says" in other.problem
