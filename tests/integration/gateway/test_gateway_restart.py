"""The supervisor puts a new program in its own place while clients ask."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gateway_load import alive, ask, complete, pids, route, under_load, until

from modelway.errors import NotRunningError, TransitionError
from serving.gateway.control import Gateway
from serving.gateway.desired import Status
from serving.rollout.local import LocalTarget
from serving.rollout.target import Revision

Make = Callable[..., Revision]


def restart(target: LocalTarget) -> Status:
    return Gateway(target.root, runtime="fake_runtime").restart()


def supervisor(target: LocalTarget) -> Status:
    status = target.status()
    assert status is not None
    return status


def started_as(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def test_three_restarts_cost_no_request_and_no_child(local_target: LocalTarget, fake_revision: Make) -> None:
    local_target.serve(fake_revision("v1", delay_ms=10), replicas=2)
    before, children = supervisor(local_target), pids(local_target)
    asked = []

    def thrice() -> None:
        for _ in range(3):
            time.sleep(0.3)
            asked.append(restart(local_target).restarts_asked)
        time.sleep(0.5)

    ends = under_load(local_target, thrice, clients=40)

    after = supervisor(local_target)
    assert asked == [1, 2, 3]
    assert set(ends) == {"200"}
    assert (after.pid, after.port, after.admin_port) == (before.pid, before.port, before.admin_port)
    assert pids(local_target) == children
    assert "--resume" in started_as(after.pid)
    assert not local_target.status().restart_refused
    assert not (local_target.root / "handover.json").exists()


def test_a_restart_in_the_middle_of_a_change_finishes_the_change(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    local_target.serve(fake_revision("v1", delay_ms=20), replicas=2)
    gateway = Gateway(local_target.root, runtime="fake_runtime")

    def change() -> None:
        local_target.deploy(fake_revision("v2", delay_ms=20), replicas=2)
        gateway.restart()
        until(lambda: complete(local_target, "v2"))
        for weight in (5, 50, 95):
            local_target.route({"v1": 100 - weight, "v2": weight}, mirror="v2" if weight == 5 else None)
            gateway.restart()
        route(local_target, {"v2": 100})
        local_target.retire("v1")
        gateway.restart()
        until(lambda: "v1" not in supervisor(local_target).revisions)
        time.sleep(1.5)  # its processes end meanwhile

    local_target_pids = pids(local_target)
    ends = under_load(local_target, change, clients=40)

    assert set(ends) == {"200"}
    assert ask(local_target, 3) == {(200, "v2"): 3}
    envoy, *replicas = local_target_pids
    assert alive(envoy)
    until(lambda: not any(alive(pid) for pid in replicas))


def test_after_a_restart_children_are_watched_stopped_and_never_orphaned(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    local_target.serve(fake_revision("v1"), replicas=2)
    restart(local_target)
    first, second = (each.pid or 0 for each in supervisor(local_target).revisions["v1"].replicas)

    os.kill(first, signal.SIGKILL)
    until(lambda: first not in pids(local_target) and complete(local_target, "v1"))
    assert second in pids(local_target)
    problems = [each.problem for each in supervisor(local_target).revisions["v1"].replicas]
    assert "exit code -9" in problems[0]

    envoy = supervisor(local_target).envoy_pid or 0
    os.kill(envoy, signal.SIGKILL)
    until(lambda: (supervisor(local_target).envoy_pid or envoy) != envoy and local_target.routing())
    until(lambda: set(ask(local_target, 1)) == {(200, "v1")})

    restart(local_target)
    children = pids(local_target)
    assert len(children) == 3
    os.kill(supervisor(local_target).pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in children))


def test_a_restarted_gateway_stops_as_any_other(local_target: LocalTarget, fake_revision: Make) -> None:
    local_target.serve(fake_revision("v1"), replicas=2)
    restart(local_target)
    everyone = [supervisor(local_target).pid, *pids(local_target)]

    local_target.stop()

    until(lambda: not any(alive(pid) for pid in everyone[1:]))
    assert not local_target.running
    with pytest.raises(NotRunningError):
        restart(local_target)


def test_a_program_that_does_not_start_is_refused_and_the_old_one_goes_on(
    local_target: LocalTarget, fake_revision: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fake_runtime_gone.py").write_text(
        (Path(__file__).parent / "fake_runtime.py").read_text(encoding="utf-8")
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    target = LocalTarget(tmp_path / "other", runtime="fake_runtime_gone")
    try:
        target.serve(fake_revision("v1"))
        children = pids(target)
        (tmp_path / "fake_runtime_gone.py").unlink()

        with pytest.raises(TransitionError, match="the new program does not start"):
            restart(target)

        assert pids(target) == children
        assert ask(target, 3) == {(200, "v1"): 3}
        assert not (target.root / "handover.json").exists()
    finally:
        target.stop()


def test_signals_that_come_in_a_heap_are_all_survived(local_target: LocalTarget, fake_revision: Make) -> None:
    local_target.serve(fake_revision("v1"))
    children, pid = pids(local_target), supervisor(local_target).pid

    def shower() -> None:
        for _ in range(40):
            os.kill(pid, signal.SIGHUP)
            time.sleep(0.05)
        restart(local_target)

    ends = under_load(local_target, shower, clients=8)

    assert set(ends) == {"200"}
    assert pids(local_target) == children


def test_a_stop_that_comes_during_a_restart_is_not_lost(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    for pause_s in (0.0, 0.3, 0.6, 0.9, 1.2):
        local_target.serve(fake_revision("v1"))
        everyone = [supervisor(local_target).pid, *pids(local_target)]

        os.kill(everyone[0], signal.SIGHUP)
        time.sleep(pause_s)
        local_target.stop()

        until(lambda everyone=everyone: not any(alive(pid) for pid in everyone[1:]))
        assert not local_target.running
        assert not (local_target.root / "status.json").exists()


def _on_trial(pid: int, handover: Path) -> bool:
    """Ask for a restart; whether its file was seen, which is there for a moment and can be slept through."""
    os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + 10
    while not handover.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return handover.exists()


def test_a_supervisor_killed_during_a_restart_leaves_no_orphan_and_a_file_that_nobody_believes(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    url = local_target.serve(fake_revision("v1"))
    handover = local_target.root / "handover.json"
    for pause_s in (0.0, 0.2, 0.4, 0.7):
        children, pid = pids(local_target), supervisor(local_target).pid
        until(lambda pid=pid: _on_trial(pid, handover))
        time.sleep(pause_s)
        os.kill(pid, signal.SIGKILL)
        until(lambda children=children: not any(alive(each) for each in children))

        until(lambda: complete(local_target, "v1"))  # asking revives it
        until(lambda: set(ask(local_target, 1)) == {(200, "v1")})
        assert local_target.gateway_url == url
        assert not set(children) & set(pids(local_target))

    handover.write_text(handover.read_text() if handover.exists() else "{}")
    command = [sys.executable, "-m", "serving.gateway", "--root", str(local_target.root), "--check"]
    checked = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert checked.returncode != 0
    assert b"handover.json" in checked.stderr
    restart(local_target)
    assert not handover.exists()
