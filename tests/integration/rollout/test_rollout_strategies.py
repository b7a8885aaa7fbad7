"""Every strategy once on the real thing: Envoy, the runtime, ONNX graphs, prediction logs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.rollout.arms import Conclusion
from serving.rollout.experiment import Experiment
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import run_rollout
from serving.rollout.sights import RewardKind, RewardSource
from serving.rollout.state import Phase, RolloutState
from serving.rollout.target import Revision

RunsAs = Callable[[str, int], Revision]
MakePlan = Callable[..., Plan]


def steps(final: RolloutState) -> list[str]:
    return [moment.step for moment in final.timeline]


def found(final: RolloutState, metric: str) -> tuple[float | None, int | None]:
    for moment in final.timeline:
        for reason in moment.verdict.reasons if moment.verdict else ():
            if reason.metric == metric:
                return reason.found, reason.samples
    return None, None


def test_shadow_canary_compares_the_answers_before_any_user_sees_one(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as("better", 2), strategy="shadow-canary", weights=(50, 100))

    with load(target.serve(stable)) as requests:
        final = run_rollout(target, plan, root=target.root)

    assert final.phase is Phase.PROMOTED, final.cause
    assert steps(final) == ["", "shadow", "50 %", "100 %", ""]
    changed, compared = found(final, "changed_decisions")
    assert changed == 0  # both weights have the same signs: the same decisions
    assert compared is not None
    assert compared > 20
    assert {status for status, _ in requests.answers} == {200}


def test_a_shadow_that_decides_otherwise_never_gets_traffic(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as("contrary", 2), strategy="shadow-canary")

    with load(target.serve(stable)) as requests:
        final = run_rollout(target, plan, root=target.root)

    assert final.phase is Phase.ROLLED_BACK
    assert "decisions differ from stable's" in final.cause
    assert {revision for _, revision in requests.answers} == {"paint-v1"}


def test_blue_green_tries_shadows_switches_once_and_watches(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as("better", 2), strategy="blue-green", watch_s=2)

    with load(target.serve(stable)) as requests:
        final = run_rollout(target, plan, root=target.root)

    assert final.phase is Phase.PROMOTED, final.cause
    assert steps(final) == ["", "smoke", "shadow", "watch", ""]
    watched = final.timeline[-1].at - final.timeline[-2].at
    assert watched.total_seconds() >= 2
    assert {status for status, _ in requests.answers} == {200}
    routing = target.routing()
    assert routing is not None
    assert routing.weights == {"paint-v1": 0, "paint-v2": 100}  # the old one stays warm


def test_blue_green_does_not_switch_to_what_fails_its_smoke_test(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as("failing", 2), strategy="blue-green")

    with load(target.serve(stable)) as requests:
        final = run_rollout(target, plan, root=target.root)

    assert final.phase is Phase.ROLLED_BACK
    assert steps(final)[:3] == ["", "smoke", ""]
    assert {revision for _, revision in requests.answers} == {"paint-v1"}


def test_an_a_b_test_keeps_each_key_on_its_arm_and_finds_the_winner(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any
) -> None:
    # "good" decides positively where amount >= months / 2: for about half of the rows; "contrary" otherwise.
    stable, level, winner = runs_as("good", 1), runs_as("better", 2), runs_as("contrary", 3)
    rewards = RewardSource(kind=RewardKind.FILE, path=target.root / "rewards.csv")
    experiment = Experiment(more_arms=(winner,), effect=0.2, source=rewards, deadline_s=240)
    plan = make_plan(stable, level, strategy="a-b", experiment=experiment)
    arms: dict[str, set[str]] = {}
    begun: list[bool] = []

    with load(target.serve(stable)) as requests:

        def label(state: RolloutState) -> None:
            """Labels that mature while the test runs: the third arm's are good twice as often."""
            if state.phase is Phase.STEP and state.step == 0 and state.window is not None:
                if not begun:
                    requests.arms.clear()  # what was answered before the split does not count
                begun.append(True)
                arms.update({key: set(seen) for key, seen in list(requests.arms.items())})
                write_rewards(target.root / "rewards.csv", arms)

        final = run_rollout(target, plan, root=target.root, on_change=label)

    assert final.phase is Phase.PROMOTED, final.cause
    assert final.trial is not None
    assert (final.trial.conclusion, final.trial.winner) == (Conclusion.WINNER, "paint-v3")
    assert steps(final) == ["", "a-b", "100 %", ""]
    assert len(arms) > 100
    assert {len(seen) for seen in arms.values()} == {1}  # one key, one arm
    assert {revision for seen in arms.values() for revision in seen} == {"paint-v1", "paint-v2", "paint-v3"}
    assert target.live() == winner
    routing = target.routing()
    assert routing is not None
    assert "paint-v2" not in {name for name, weight in routing.weights.items() if weight}


def write_rewards(path: Path, arms: dict[str, set[str]]) -> None:
    good = {"paint-v3": 8, "paint-v2": 4, "paint-v1": 4}
    lines = ["key,reward"]
    for key, seen in arms.items():
        if len(seen) == 1:
            lines.append(f"{key},{int(int(key[1:]) % 10 < good[next(iter(seen))])}")
    temporary = path.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(path)
