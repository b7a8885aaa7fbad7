"""What a drill leaves behind: nothing, also when it was killed and somebody cleans up later."""

import shutil
from datetime import UTC, datetime

from serving.rollout.driver import given_up
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Records
from serving.rollout.state import RolloutState

SUFFIX = ".drill"
"""A drill's records stand under the model's name and this."""
FOLDERS = "drill-"
"""Its bundles and rows lie in a folder of the gateway whose name begins so."""
_GONE_S = 60.0


def undo_killed(target: LocalTarget) -> RolloutState | None:
    """Give the live revision the traffic back that a drill took and never returned.

    Returns:
        How the drill ended; None where none was killed.

    Raises:
        TransitionError: It still runs, or another process moves the model's traffic.
    """
    records = Records(target.root)
    for service in sorted(each for each in records.services() if each.endswith(SUFFIX)):
        with records.turn(service.removesuffix(SUFFIX), "the end of a drill that was killed"):
            record = records.read(service)
            if record is not None:
                clear(target, record.plan)
                for folder in target.root.glob(f"{FOLDERS}*"):
                    shutil.rmtree(folder, ignore_errors=True)
                return given_up(record.state, record.plan, datetime.now(UTC), "the drill was killed")
    return None


def clear(target: LocalTarget, plan: Plan) -> None:
    """Give the live revision all traffic again, unless another one has it since, and forget the records."""
    if plan.canary.id in target.deployed():
        target.serve(plan.stable, replicas=target.replicas(plan.stable.id), limit_s=_GONE_S)
    rollouts = target.root / "rollouts"
    for path in (rollouts / "windows").glob(f"{plan.id}.*"):
        path.unlink(missing_ok=True)
    for name in (f"{plan.service}.lock", f"{plan.service}.abort", f"{plan.service}.json"):
        (rollouts / name).unlink(missing_ok=True)
