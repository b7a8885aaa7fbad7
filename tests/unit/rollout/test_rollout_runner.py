from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelway.errors import NotFoundError, NotReadyError, NotRunningError, TransitionError
from serving.gateway.files import Holder
from serving.rollout.experiment import Experiment
from serving.rollout.plan import Plan
from serving.rollout.runner import Records, resume_rollout, run_rollout
from serving.rollout.state import Phase, RolloutState

Make = Callable[..., Plan]


class KilledError(BaseException):
    """Stands for kill -9: nothing may catch it."""


class Mortal:
    """Passes every call on, and dies at the n-th: before or after it took effect."""

    def __init__(self, target: Any, dies_at: int, *, after: bool) -> None:
        self._target, self._left, self._after = target, dies_at, after

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._target, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise KilledError
            answer = call(*args, **kwargs)
            if self._left == 0:
                raise KilledError
            return answer

        return counted


def test_a_good_canary_is_promoted_step_by_step(tmp_path: Path, make_plan: Make, fake_target: Any) -> None:
    target, told = fake_target({"v1": 0, "v2": 0}), []

    final = run_rollout(target, make_plan(), root=tmp_path, on_change=told.append)

    assert final.phase is Phase.PROMOTED
    assert target.acts == [
        "deploy v2",
        "route v1=95 v2=5",
        "route v1=75 v2=25",
        "route v1=50 v2=50",
        "route v2=100",
    ]
    assert set(target.replicas) == {"v1", "v2"}  # the old one stays warm
    assert told[-1] == final
    record = Records(tmp_path).read("credit")
    assert record is not None
    assert record.state == final


def test_a_bad_canary_is_rolled_back_and_removed(tmp_path: Path, make_plan: Make, fake_target: Any) -> None:
    target = fake_target({"v2": 0.3})

    final = run_rollout(target, make_plan(), root=tmp_path)

    assert final.phase is Phase.ROLLED_BACK
    assert target.acts[-2:] == ["route v1=100", "retire v2"]
    assert target.weights == {"v1": 100}
    assert set(target.replicas) == {"v1"}
    assert final.seconds_to_restore is not None


A_B = {"strategy": "a-b", "experiment": Experiment(effect=0.2)}


@pytest.mark.parametrize("after", [False, True], ids=["before-the-act", "after-the-act"])
@pytest.mark.parametrize("bad", [0.0, 0.3], ids=["good", "bad"])
@pytest.mark.parametrize(
    "road",
    [
        {"weights": (50, 100)},
        {"weights": (50, 100), "strategy": "shadow-canary"},
        {"strategy": "blue-green", "watch_s": 0},
        A_B,
    ],
    ids=["canary", "shadow-canary", "blue-green", "a-b"],
)
def test_a_driver_killed_at_any_call_ends_where_an_unharmed_one_ends(  # noqa: PLR0913, PLR0917 - three axes
    tmp_path: Path, make_plan: Make, fake_target: Any, bad: float, after: bool, road: dict[str, Any]
) -> None:
    plan = make_plan(look_every_s=1e-6, **road)

    def fake() -> Any:
        target = fake_target({"v2": bad})
        target.good = {"v2": 0.7}
        return target

    unharmed = run_rollout(fake(), plan, root=tmp_path / "unharmed")
    assert unharmed.phase is (Phase.ROLLED_BACK if bad else Phase.PROMOTED)
    deaths = 0
    for dies_at in range(1, 1000):
        target, root = fake(), tmp_path / str(dies_at)
        try:
            run_rollout(Mortal(target, dies_at, after=after), plan, root=root)
            break  # it ended before its hour came: every call was tried
        except KilledError:
            deaths += 1
        final = run_rollout(target, plan, root=root)
        assert final.phase is unharmed.phase
        assert [moment.step for moment in final.timeline] == [m.step for m in unharmed.timeline]
        assert target.weights == ({"v1": 100} if bad else {"v2": 100})
        assert ("v2" in target.replicas) is not bool(bad)
    assert deaths > 10


def test_the_state_is_on_disk_before_anything_is_done(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    target, records = fake_target({}), Records(tmp_path)
    route = target.route

    def checked(weights: dict[str, int], **more: Any) -> None:
        record = records.read("credit")
        assert record is not None
        assert record.state.phase is Phase.STEP
        assert record.plan.steps[record.state.step].weight == weights["v2"]
        route(weights, **more)

    target.route = checked
    run_rollout(target, make_plan(), root=tmp_path)


def test_an_abort_note_is_obeyed_once(tmp_path: Path, make_plan: Make, fake_target: Any) -> None:
    target, records = fake_target({}), Records(tmp_path)

    def ask(state: RolloutState) -> None:
        if state.step == 1:
            records.ask_to_abort("credit", "the boss called")

    final = run_rollout(target, make_plan(), root=tmp_path, on_change=ask)

    assert final.phase is Phase.ABORTED
    assert final.cause == "aborted: the boss called"
    assert target.weights == {"v1": 100}
    assert not records.abort_asked("credit")
    assert run_rollout(target, make_plan(id="v2.2"), root=tmp_path).phase is Phase.PROMOTED


def test_one_rollout_per_service(tmp_path: Path, make_plan: Make, fake_target: Any) -> None:
    with pytest.raises(KilledError):
        run_rollout(Mortal(fake_target({}), 9, after=True), make_plan(), root=tmp_path)

    with pytest.raises(TransitionError, match=r"v2\.1 stands at step"):
        run_rollout(fake_target({}), make_plan(id="another"), root=tmp_path)

    holder = Holder(Records(tmp_path).driver_lock("credit"))
    assert holder.take()
    with pytest.raises(TransitionError, match="another process moves its traffic"):
        run_rollout(fake_target({}), make_plan(), root=tmp_path)
    holder.release()


def test_resume_needs_something_to_resume(tmp_path: Path, fake_target: Any) -> None:
    with pytest.raises(NotFoundError, match="no rollout of credit"):
        resume_rollout(fake_target({}), "credit", root=tmp_path)


def test_a_target_that_does_not_answer_is_no_verdict(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    target = fake_target({})
    observe, calls = target.observe, []

    def flaky(window: Any) -> Any:
        calls.append(window)
        if len(calls) % 2 == 0:
            raise NotRunningError("the gateway is away")
        return observe(window)

    target.observe = flaky

    assert run_rollout(target, make_plan(), root=tmp_path).phase is Phase.PROMOTED


def test_traffic_that_cannot_be_restored_is_an_error_and_not_an_end(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    target = fake_target({"v2": 0.5})
    route = target.route
    target.route = lambda weights, **more: None if weights == {"v1": 100} else route(weights, **more)

    with pytest.raises(NotReadyError, match="not rolled back"):
        run_rollout(target, make_plan(restore_deadline_s=0.05), root=tmp_path)

    target.route = route
    assert resume_rollout(target, "credit", root=tmp_path).phase is Phase.ROLLED_BACK
