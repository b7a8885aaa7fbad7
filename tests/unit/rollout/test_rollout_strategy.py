import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelway.contract import Outcome
from modelway.errors import ConfigError
from modelway.stats.sequential import Counts
from serving.rollout.arms import ArmTrial, Conclusion, Trial, reward, shares, slots
from serving.rollout.experiment import Experiment
from serving.rollout.outputs import output_reasons
from serving.rollout.plan import Plan
from serving.rollout.runner import run_rollout
from serving.rollout.sights import SHIFT_BINS, Pairs, RewardKind, RewardSource
from serving.rollout.state import Phase, RolloutState
from serving.rollout.strategies import Strategy
from serving.rollout.target import Revision

Make = Callable[..., Plan]


def arm(name: str) -> Revision:
    return Revision(id=name, bundle=Path(name), digest=name, verify_key=Path("key.pem"))


def near(compared: int, *, shift_bin: int = 0, **fields: int) -> Pairs:
    shifts = [0] * SHIFT_BINS
    shifts[shift_bin] = compared
    return Pairs(compared=compared, shifts=tuple(shifts), **{"changed": 0, **fields})


def stops(final: RolloutState) -> list[str]:
    return [moment.step for moment in final.timeline]


@pytest.mark.parametrize(
    ("strategy", "names"),
    [
        (Strategy.CANARY, ["5 %", "25 %", "50 %", "100 %"]),
        (Strategy.SHADOW_CANARY, ["shadow", "5 %", "25 %", "50 %", "100 %"]),
        (Strategy.BLUE_GREEN, ["smoke", "shadow", "watch"]),
    ],
)
def test_the_stops_of_each_strategy(make_plan: Make, strategy: Strategy, names: list[str]) -> None:
    assert [step.name for step in make_plan(strategy=strategy).steps] == names


def test_blue_green_asks_the_shadow_for_the_evidence_of_full_traffic(make_plan: Make) -> None:
    plan = make_plan(strategy="blue-green")

    assert plan.limits(1).rates == plan.limits(2).rates
    assert plan.limits(1).outputs is not None
    assert plan.limits(2).outputs is None


def test_the_error_budget_is_shared_by_all_tests_that_are_made(make_plan: Make) -> None:
    # 1 % over: 4 x 5 for a canary; 5 x 5 + 2 with a compared shadow; 2 x 5 + 2 for blue-green, whose smoke
    # step is no test; (2 arms + the last step) x 5 for an a-b test with two challengers.
    two = Experiment(more_arms=(arm("v3"),), effect=0.1)
    budgets = [
        make_plan(**road).limits(0).log_fail
        for road in (
            {},
            {"strategy": "shadow-canary"},
            {"strategy": "blue-green"},
            {"strategy": "a-b", "experiment": two},
        )
    ]

    assert [round(math.exp(budget) * 0.01) for budget in budgets] == [20, 27, 12, 15]


def test_blue_green_smokes_shadows_switches_once_and_keeps_the_old_warm(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    target = fake_target({})

    final = run_rollout(target, make_plan(strategy="blue-green", watch_s=0.02), root=tmp_path)

    assert final.phase is Phase.PROMOTED
    assert stops(final) == ["", "smoke", "shadow", "watch", ""]
    assert [act for act in target.acts if act.startswith("route")] == ["route v1=100", "route v2=100"]
    assert (final.timeline[-1].at - final.timeline[-2].at).total_seconds() >= 0.02
    assert set(target.replicas) == {"v1", "v2"}


def test_a_failed_smoke_test_is_rolled_back_before_any_traffic(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    target = fake_target({})
    target.smoke_fails = True

    final = run_rollout(target, make_plan(strategy="blue-green"), root=tmp_path)

    assert final.phase is Phase.ROLLED_BACK
    assert "3 of 8 requests of ours" in final.cause
    assert not [act for act in target.acts if "v2=" in act]


def test_a_shadow_that_decides_otherwise_is_rolled_back(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    target = fake_target({})
    target.changed = 0.6

    final = run_rollout(target, make_plan(strategy="shadow-canary"), root=tmp_path)

    assert final.phase is Phase.ROLLED_BACK
    assert "decisions differ" in final.cause


def test_without_pairs_a_shadow_is_never_passed(tmp_path: Path, make_plan: Make, fake_target: Any) -> None:
    target = fake_target({})
    target.pairs = lambda *_: None

    final = run_rollout(target, make_plan(strategy="shadow-canary", step_deadline_s=0.05), root=tmp_path)

    assert final.phase is Phase.ROLLED_BACK
    assert "no answer to the same request" in final.cause


def test_a_target_without_eyes_for_a_strategy_is_refused(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    class Plain:
        def __init__(self, target: Any) -> None:
            for name in ("deploy", "ready", "route", "routing", "observe", "retire"):
                setattr(self, name, getattr(target, name))

    with pytest.raises(ConfigError, match="Plain cannot compare answers or ask a revision directly"):
        run_rollout(Plain(fake_target({})), make_plan(strategy="blue-green"), root=tmp_path)
    assert run_rollout(Plain(fake_target({})), make_plan(), root=tmp_path).phase is Phase.PROMOTED


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        (None, Outcome.INCONCLUSIVE),
        (near(0), Outcome.INCONCLUSIVE),
        (near(20), Outcome.INCONCLUSIVE),
        (near(2000, unpaired=500), Outcome.INCONCLUSIVE),
        (near(2000), Outcome.PASS),
        (near(2000, changed=600), Outcome.FAIL),
        (near(2000, shift_bin=SHIFT_BINS // 2), Outcome.FAIL),
    ],
    ids=["none", "no-pair", "too-few", "partners-missing", "alike", "decides-otherwise", "shifted"],
)
def test_compared_answers(make_plan: Make, pairs: Pairs | None, outcome: Outcome) -> None:
    reasons = output_reasons(pairs, make_plan(strategy="shadow-canary").limits(0))

    assert len(reasons) == 2
    assert max(reasons, key=lambda r: ["pass", "inconclusive", "fail"].index(r.outcome)).outcome is outcome


def test_a_dropped_arm_moves_nobody_elses_keys() -> None:
    experiment = Experiment(more_arms=(arm("v3"),), effect=0.1, share=20)
    both = Trial(arms={"v2": ArmTrial(), "v3": ArmTrial()})
    one = Trial(arms={"v2": ArmTrial(dropped="slow"), "v3": ArmTrial()})

    def owners(trial: Trial) -> list[str]:
        return [slot.revision for slot in slots(experiment, trial, "v1") for _ in range(slot.percent)]

    before, after = owners(both), owners(one)
    assert (before.count("v1"), before.count("v2"), before.count("v3")) == (60, 20, 20)
    assert {(a, b) for a, b in zip(before, after, strict=True) if a != b} == {("v2", "v1")}
    assert shares(slots(experiment, one, "v1")) == {"v1": 80, "v3": 20}


def test_an_a_b_test_promotes_the_winner_through_full_traffic_and_lets_the_others_go(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    target = fake_target({})
    target.good = {"v3": 0.6}
    plan = make_plan(strategy="a-b", experiment=Experiment(more_arms=(arm("v3"),), effect=0.2))

    final = run_rollout(target, plan, root=tmp_path)

    assert final.phase is Phase.PROMOTED
    assert stops(final) == ["", "a-b", "100 %", ""]
    assert final.trial is not None
    assert final.trial.winner == final.canary == "v3"
    assert target.weights == {"v3": 100}
    assert set(target.replicas) == {"v1", "v3"}
    assert "route v1=34 v2=33 v3=33" in target.acts


def test_no_difference_keeps_the_stable_revision(tmp_path: Path, make_plan: Make, fake_target: Any) -> None:
    target = fake_target({})

    final = run_rollout(target, make_plan(strategy="a-b", experiment=Experiment(effect=0.2)), root=tmp_path)

    assert final.phase is Phase.KEPT
    assert final.trial is not None
    assert final.trial.conclusion is Conclusion.NO_DIFFERENCE
    assert target.weights == {"v1": 100}
    assert set(target.replicas) == {"v1"}


def test_without_rewards_a_test_is_inconclusive_at_its_deadline(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    target = fake_target({})
    target.rewards = lambda *_: {}
    experiment = Experiment(effect=0.2, deadline_s=0.05)

    final = run_rollout(target, make_plan(strategy="a-b", experiment=experiment), root=tmp_path)

    assert final.phase is Phase.ROLLED_BACK
    assert final.trial is not None
    assert final.trial.conclusion is Conclusion.INCONCLUSIVE


def test_an_arm_that_breaks_the_slo_cannot_win_and_the_test_goes_on_without_it(
    tmp_path: Path, make_plan: Make, fake_target: Any
) -> None:
    target = fake_target({"v2": 0.3})
    target.good = {"v2": 0.9, "v3": 0.6}
    plan = make_plan(strategy="a-b", experiment=Experiment(more_arms=(arm("v3"),), effect=0.2))

    final = run_rollout(target, plan, root=tmp_path)

    assert final.phase is Phase.PROMOTED
    assert final.canary == "v3"
    assert any("v2 is out" in moment.why for moment in final.timeline)


def test_rewards_that_run_backwards_add_nothing() -> None:
    trial = Trial(arms={"v2": ArmTrial()})
    once = reward(trial, {"v1": Counts(trials=9, events=3), "v2": Counts(trials=9, events=4)}, "v1", 0.1)

    assert reward(once, {"v1": Counts(trials=5, events=3), "v2": Counts()}, "v1", 0.1) == once


def test_experiments_that_cannot_be_are_refused(make_plan: Make) -> None:
    with pytest.raises(ValueError, match="leave no control"):
        Experiment(effect=0.1, share=100)
    with pytest.raises(ValueError, match="need its path"):
        Experiment(effect=0.1, source=RewardSource(kind=RewardKind.FILE))
    with pytest.raises(ValueError, match="needs its experiment"):
        make_plan(strategy="a-b")
    with pytest.raises(ValueError, match="revision of its own"):
        make_plan(strategy="a-b", experiment=Experiment(effect=0.1, more_arms=(arm("v2"),)))
