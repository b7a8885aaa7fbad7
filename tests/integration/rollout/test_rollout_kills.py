"""kill -9 everywhere: the driver after every state it writes and every act, a replica, the supervisor."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Records, run_rollout
from serving.rollout.state import Phase
from serving.rollout.target import Revision

RunsAs = Callable[[str, int], Revision]
MakePlan = Callable[..., Plan]

# A driver that dies of SIGKILL after the first new state it writes ("persist") or the first act it performs.
MORTAL = """
import os, signal, sys
from pathlib import Path
from serving.rollout import runner
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Target(LocalTarget):
    pass

def mortal(name):
    act = getattr(LocalTarget, name)
    def call(self, *args, **kwargs):
        act(self, *args, **kwargs)
        die()
    return call

plan, root, hour = Plan.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), sys.argv[3]
if hour == "act":
    for name in ("deploy", "route", "split", "retire"):
        setattr(Target, name, mortal(name))
if hour == "persist":
    write = runner.Records.write
    def wrapped(self, record):
        before = self.read(record.plan.service)
        write(self, record)
        after = (record.state.phase, record.state.step, record.state.window is None)
        if before is None or (before.state.phase, before.state.step, before.state.window is None) != after:
            die()
    runner.Records.write = wrapped
runner.run_rollout(Target(root), plan, root=root)
"""


class Watcher:
    """Notes every share of traffic that the gateway followed, in order."""

    def __init__(self, target: LocalTarget) -> None:
        self.seen: list[dict[str, int]] = []
        self._target, self._stop = target, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            status = self._target.status()
            weights = {n: w for n, w in (status.weights or {}).items() if w} if status else {}
            if weights and (not self.seen or self.seen[-1] != weights):
                self.seen.append(weights)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


def drive_until_over(plan: Plan, root: Path, folder: Path) -> int:
    """Drivers one after the other, each killed at its hour, until one ends by itself. Returns the killed."""
    file = folder / "plan.json"
    file.write_text(plan.model_dump_json())
    for deaths in range(60):
        hour = ("persist", "act")[deaths % 2]
        command = [sys.executable, "-c", MORTAL, str(file), str(root), hour]
        code = subprocess.run(command, timeout=240, check=False).returncode
        if code == 0:
            return deaths
        assert code == -signal.SIGKILL
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize(
    ("graph", "road", "phase", "shares", "steps"),
    [
        (
            "better",
            {"weights": (25, 100)},
            Phase.PROMOTED,
            [{"paint-v1": 100}, {"paint-v1": 75, "paint-v2": 25}, {"paint-v2": 100}],
            ["", "25 %", "100 %", ""],
        ),
        (
            "failing",
            {"weights": (25, 100)},
            Phase.ROLLED_BACK,
            [{"paint-v1": 100}, {"paint-v1": 75, "paint-v2": 25}, {"paint-v1": 100}],
            ["", "25 %", "", "", ""],
        ),
        (
            "better",
            {"strategy": "blue-green", "watch_s": 1},
            Phase.PROMOTED,
            [{"paint-v1": 100}, {"paint-v2": 100}],
            ["", "smoke", "shadow", "watch", ""],
        ),
    ],
    ids=["promoted", "rolled-back", "blue-green"],
)
def test_a_driver_killed_after_every_state_and_every_act_ends_where_it_should(  # noqa: PLR0913, PLR0917 - a table
    target: LocalTarget,
    runs_as: RunsAs,
    make_plan: MakePlan,
    load: Any,
    tmp_path: Path,
    graph: str,
    road: dict[str, Any],
    phase: Phase,
    shares: list[dict[str, int]],
    steps: list[str],
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as(graph, 2), **road)
    url = target.serve(stable)
    watcher = Watcher(target)

    with watcher.watching(), load(url) as requests:
        deaths = drive_until_over(plan, target.root, tmp_path)
        time.sleep(0.5)

    final = Records(target.root).require("paint").state
    assert final.phase is phase, final.cause
    assert deaths >= 2 * len(steps) - 3
    assert [moment.step for moment in final.timeline] == steps
    assert watcher.seen == shares  # no share was skipped, repeated or invented
    allowed = {200, 500} if graph == "failing" else {200}
    assert {status for status, _ in requests.answers} <= allowed


def test_a_canarys_replica_killed_under_load_costs_no_answer_and_is_counted(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan, load: Any
) -> None:
    stable = runs_as("good", 1)
    plan = make_plan(stable, runs_as("better", 2), weights=(50, 100))
    killed: list[int] = []

    def kill(state: Any) -> None:
        if state.window is not None and not killed:
            status = target.status()
            assert status is not None
            killed.append(status.revisions["paint-v2"].replicas[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    with load(target.serve(stable)) as requests:
        final = run_rollout(target, plan, root=target.root, on_change=kill)

    assert killed
    assert final.phase in {Phase.PROMOTED, Phase.ROLLED_BACK}
    lost = {answer: n for answer, n in requests.answers.items() if answer[0] != 200}
    assert sum(lost.values()) <= 4, lost  # at most the one under way of each client
    live = target.live().id
    assert live == ("paint-v2" if final.phase is Phase.PROMOTED else "paint-v1")


def revived(target: LocalTarget, name: str, dead: int) -> bool:
    ready, status = target.ready(name), target.status()
    back = status is not None and status.pid != dead and status.gateway_ready
    return back and ready is not None and ready.complete


def test_a_killed_supervisor_costs_the_requests_of_its_absence_and_no_wrong_answer(
    target: LocalTarget, runs_as: RunsAs, load: Any
) -> None:
    stable = runs_as("good", 1)
    with load(target.serve(stable)) as requests:
        time.sleep(0.5)
        status = target.status()
        assert status is not None
        os.kill(status.pid, signal.SIGKILL)
        deadline = time.monotonic() + 90
        while not revived(target, stable.id, status.pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        before = requests.answers[200, stable.id]
        time.sleep(1)

    assert requests.answers[200, stable.id] > before  # the same port answers again
    assert {code for code, _ in requests.answers} <= {0, 200, 503}
    assert target.live() == stable
