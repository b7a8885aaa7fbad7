"""Whose turn it is: one process a service and one model a gateway, and who has to wait is told for whom."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

import stacks.interrupted
import stacks.settling
from modelway.contract import Slo
from modelway.errors import TransitionError
from serving.gateway.files import Holder, is_held
from serving.rollout.driver import begin
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Record, Records
from serving.rollout.state import Phase
from serving.rollout.target import Revision
from serving.rollout.turns import Turn
from stacks.guards import alone

SLO = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.01, rate_rps=100)


def revision(name: str) -> Revision:
    return Revision(id=name, bundle=Path(name), digest=name, verify_key=Path("key.pem"))


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalTarget:
    """A gateway of which nothing runs."""
    found = LocalTarget(tmp_path)
    for module in (stacks.interrupted, stacks.settling):
        monkeypatch.setattr(module, "serving_target", lambda _name: found)
        monkeypatch.setattr(module, "registry", SimpleNamespace)
    return found


@pytest.fixture
def begun(target: LocalTarget) -> Callable[[str], Plan]:
    """A rollout of a model that was left at its beginning, its revisions deployed."""

    def make(model: str) -> Plan:
        arms = {"stable": revision(f"{model}-v1"), "canary": revision(f"{model}-v2")}
        plan = Plan(id=f"{model}-v2.1", service=model, slo=SLO, **arms)
        Records(target.root).write(Record(plan=plan, state=begin(plan, datetime.now(UTC))))
        for arm in arms.values():
            target.deploy(arm, replicas=1)
        target.route({f"{model}-v1": 100})
        return plan

    return make


@pytest.fixture
def taken_over(target: LocalTarget, begun: Callable[[str], Plan]) -> LocalTarget:
    """paint's rollout was left, and varnish has the gateway since."""
    begun("paint")
    target.deploy(revision("varnish-v7"), replicas=1)
    target.route({"varnish-v7": 100})
    return target


def test_resume_takes_no_traffic_from_the_model_that_has_it_since(taken_over: LocalTarget) -> None:
    with pytest.raises(TransitionError, match=r"varnish-v7 has the traffic of this gateway since") as refused:
        stacks.interrupted.resume("paint", who="ada")

    assert "`modelway rollout abort paint` closes it and moves nothing" in str(refused.value)
    assert taken_over.idle() == {"paint-v1", "paint-v2"}
    assert not Records(taken_over.root).require("paint").state.finished


def test_abort_closes_a_rollout_whose_gateway_is_gone_and_moves_nothing(taken_over: LocalTarget) -> None:
    ended = stacks.interrupted.abort("paint", who="ada", why="over")

    assert ended.phase is Phase.ABORTED
    assert "varnish-v7 has the traffic" in ended.cause
    assert taken_over.deployed() == {"paint-v1", "varnish-v7"}, "the challenger is let go"
    assert taken_over.idle() == {"paint-v1"}
    assert not taken_over.running, "nothing was started for it"
    records = Records(taken_over.root)
    assert records.require("paint").state == ended
    assert not records.abort_asked("paint")
    with alone(taken_over, "varnish", "this test"):
        pass


def test_nothing_begins_beside_another_models_unfinished_rollout(
    target: LocalTarget, begun: Callable[[str], Plan]
) -> None:
    begun("paint")

    with (
        pytest.raises(TransitionError, match=r"paint: rollout paint-v2\.1 stands at deploying") as refused,
        alone(target, "varnish", "the rollout of varnish@2"),
    ):
        pass
    assert "`modelway rollout abort paint`" in str(refused.value)
    assert not is_held(Records(target.root).driver_lock("varnish"))


def test_of_two_models_that_begin_at_once_no_two_go_on(target: LocalTarget) -> None:
    inside: list[int] = []
    most: list[int] = []
    start = threading.Barrier(2)

    def begin_one(model: str) -> None:
        start.wait()
        for _ in range(10):
            try:
                with alone(target, model, f"the rollout of {model}"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except TransitionError:
                pass

    threads = [threading.Thread(target=begin_one, args=(model,)) for model in ("paint", "varnish")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) <= {1}


def test_who_has_to_wait_is_told_for_whom(target: LocalTarget) -> None:
    with (
        alone(target, "paint", "`modelway serve`"),
        pytest.raises(TransitionError, match=rf"paint: `modelway serve` \(process {os.getpid()}\) moves its"),
        alone(target, "paint", "`modelway rollout back`"),
    ):
        pass
    with (
        alone(target, "paint", "the rollout of paint@2", drives=True),
        pytest.raises(TransitionError, match="rollout of paint@2") as refused,
        alone(target, "varnish", "`modelway serve`"),
    ):
        pass
    assert "`modelway rollout abort paint` ends it" in str(refused.value)


def test_an_abort_names_who_drives_and_waits_for_nobody_who_does_not(
    target: LocalTarget, begun: Callable[[str], Plan]
) -> None:
    begun("paint")
    records = Records(target.root)
    with records.turn("paint", "the rollout of paint@2", drives=True):
        asked = stacks.interrupted.abort("paint", who="ada", why="over")
    assert str(asked) == f"the rollout of paint@2 (process {os.getpid()})"

    with (
        records.turn("paint", "`modelway serve`"),
        pytest.raises(TransitionError, match=r"paint: `modelway serve` \(process"),
    ):
        stacks.interrupted.abort("paint", who="ada", why="over")
    assert records.abort_asked("paint") == "over (ada)"


def test_a_name_left_by_a_process_that_was_killed_is_not_believed(tmp_path: Path) -> None:
    records, lock = Records(tmp_path), Records(tmp_path).driver_lock("paint")
    lock.parent.mkdir()
    lock.write_text(Turn(what="a rollout", pid=2**22 + 1, drives=True).model_dump_json())
    assert records.holder("paint") is None

    holder = Holder(lock)
    assert holder.take()
    assert records.holder("paint") == Turn(what="another process")
    holder.release()


def test_two_that_only_look_do_not_take_each_other_for_a_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    found: list[bool] = []
    looks = [threading.Thread(target=lambda: found.extend(is_held(lock) for _ in range(300))) for _ in "ab"]
    for look in looks:
        look.start()
    for look in looks:
        look.join()
    assert found == [False] * 600
