"""Whole rollouts: real Envoy, real runtime, real ONNX graphs, real requests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelway.bundle.bundle import Bundle
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Records, run_rollout
from serving.rollout.start import plan_over_live
from serving.rollout.state import Phase, RolloutState
from serving.rollout.target import Revision

RunsAs = Callable[[str, int], Revision]
MakePlan = Callable[..., Plan]

DRIVER = """
import sys
from pathlib import Path
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import run_rollout
plan = Plan.model_validate_json(Path(sys.argv[1]).read_text())
root = Path(sys.argv[2])
run_rollout(LocalTarget(root), plan, root=root)
"""


def test_a_good_revision_takes_over_step_by_step(
    target: LocalTarget, runs_as: RunsAs, bundled: Callable[[str], Bundle], load: Any
) -> None:
    stable, canary = runs_as("good", 1), runs_as("better", 2)
    url = target.serve(stable)
    plan = plan_over_live(target, bundled("better"), canary, strategy="shadow-canary")
    assert plan.stable == stable
    plan = plan.model_copy(update={"look_every_s": 0.25})

    with load(url) as requests:
        final = run_rollout(target, plan, root=target.root)

    assert final.phase is Phase.PROMOTED, final.cause
    assert [moment.step for moment in final.timeline] == ["", "shadow", "5 %", "25 %", "50 %", "100 %", ""]
    assert {status for status, _ in requests.answers} == {200}
    assert {revision for _, revision in requests.answers} == {"paint-v1", "paint-v2"}
    assert target.live() == canary
    routing = target.routing()
    assert routing is not None
    assert routing.weights == {"paint-v1": 0, "paint-v2": 100}  # the old one stays warm


def test_a_slow_revision_is_rolled_back(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as("slow", 2))

    with load(target.serve(stable)):
        final = run_rollout(target, plan, root=target.root)

    assert final.phase is Phase.ROLLED_BACK
    assert "slower than the SLO" in final.cause
    assert final.seconds_to_restore is not None
    assert target.live() == stable


def test_a_failing_revision_is_rolled_back_and_gone(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any
) -> None:
    stable = runs_as("good", 1)
    with load(target.serve(stable)) as requests:
        final = run_rollout(target, make_plan(stable, runs_as("failing", 2)), root=target.root)
        restored = dict(requests.answers)
        time.sleep(1)

    assert final.phase is Phase.ROLLED_BACK
    assert "error" in final.cause
    phases = [moment.phase for moment in final.timeline]
    assert phases == [
        Phase.DEPLOYING,
        Phase.STEP,
        Phase.ROLLING_BACK,
        Phase.ROLLING_BACK,
        Phase.ROLLED_BACK,
    ]
    assert requests.answers[500, "paint-v2"] == restored.get((500, "paint-v2"))  # none after the restore
    share = requests.answers[500, "paint-v2"] / sum(restored.values())
    assert share < 0.2
    routing = target.routing()
    assert routing is not None
    assert routing.weights == {"paint-v1": 100}


def test_without_any_request_nothing_is_promoted(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan
) -> None:
    stable = runs_as("good", 1)
    target.serve(stable)

    final = run_rollout(target, make_plan(stable, runs_as("better", 2), step_deadline_s=2), root=target.root)

    assert final.phase is Phase.ROLLED_BACK
    assert "no verdict within 2 s" in final.cause


def test_a_bundle_whose_key_is_wrong_never_gets_traffic(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, tmp_path: Path
) -> None:
    stable, canary = runs_as("good", 1), runs_as("better", 2)
    target.serve(stable)
    model = canary.bundle / "model.onnx"
    model.chmod(0o644)
    model.write_bytes(model.read_bytes() + b"x")

    final = run_rollout(target, make_plan(stable, canary), root=target.root)

    assert final.phase is Phase.ROLLED_BACK
    assert final.timeline[-1].step == ""
    assert "crash loop" in final.cause
    assert "model.onnx" in final.cause


def test_an_abort_from_another_process_gives_the_traffic_back(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as("better", 2))
    records = Records(target.root)

    def ask(state: RolloutState) -> None:
        if state.phase is Phase.STEP and state.step == 1:
            records.ask_to_abort("paint", "changed my mind")

    with load(target.serve(stable)):
        final = run_rollout(target, plan, root=target.root, on_change=ask)

    assert final.phase is Phase.ABORTED
    assert target.live() == stable


def drive(plan: Plan, root: Path, folder: Path) -> subprocess.Popen[bytes]:
    file = folder / "plan.json"
    file.write_text(plan.model_dump_json())
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(file), str(root)])


def kill_at(
    process: subprocess.Popen[bytes], records: Records, reached: Callable[[RolloutState], bool]
) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        record = records.read("paint")
        if record is not None and reached(record.state):
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            return
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    raise AssertionError("it never got there")


def test_a_rollout_whose_driver_and_gateway_are_killed_goes_on_to_its_end(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any, tmp_path: Path
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as("better", 2))
    records = Records(target.root)
    with load(target.serve(stable)):
        moments: list[Callable[[RolloutState], bool]] = [
            lambda state: state.phase is Phase.DEPLOYING,
            lambda state: state.phase is Phase.STEP and state.step == 0,
            lambda state: state.phase is Phase.STEP and state.step >= 1,
        ]
        for reached in moments:
            kill_at(drive(plan, target.root, tmp_path), records, reached)
        status = target.status()
        assert status is not None
        os.kill(status.pid, signal.SIGKILL)
        process = drive(plan, target.root, tmp_path)
        assert process.wait(90) == 0

    final = records.require("paint").state
    assert final.phase is Phase.PROMOTED, final.cause
    assert target.live() == plan.canary
    steps = [moment.step for moment in final.timeline]
    assert steps == ["", "5 %", "25 %", "50 %", "100 %", ""]


def test_a_rollback_whose_driver_is_killed_is_finished(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any, tmp_path: Path
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as("failing", 2))
    records = Records(target.root)
    with load(target.serve(stable)):
        kill_at(drive(plan, target.root, tmp_path), records, lambda state: state.phase is Phase.ROLLING_BACK)
        assert drive(plan, target.root, tmp_path).wait(60) == 0

    assert records.require("paint").state.phase is Phase.ROLLED_BACK
    assert target.live() == stable
    on_disk = json.loads((target.root / "rollouts" / "paint.json").read_text())
    assert on_disk["state"]["cause"]
