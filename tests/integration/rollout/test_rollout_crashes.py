"""What dies or is restarted under real requests to the real runtime, and what that costs."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from modelway.cli import serve
from serving.gateway.control import Gateway
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import run_rollout
from serving.rollout.state import Phase
from serving.rollout.target import Revision

RunsAs = Callable[[str, int], Revision]


def until(question: Callable[[], object], limit_s: float = 90.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not question():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.05)


def pids(target: LocalTarget, name: str) -> list[int]:
    status = target.status()
    assert status is not None
    return [each.pid for each in status.revisions[name].replicas if each.pid and each.ready]


def restart(target: LocalTarget) -> None:
    Gateway(target.root, runtime="serving.runtime").restart()


def test_one_of_two_real_replicas_is_killed_and_no_client_notices(
    target: LocalTarget, runs_as: RunsAs, load: Any
) -> None:
    live = runs_as("good", 1)
    url = target.serve(live, replicas=2)

    with load(url, clients=8) as requests:
        for turn in range(4):
            time.sleep(0.3)
            before = pids(target, live.id)
            os.kill(before[turn % 2], signal.SIGKILL)
            until(lambda before=before: len(now := pids(target, live.id)) == 2 and now != before)

    assert {status for status, _ in requests.answers} == {200}
    assert sum(requests.answers.values()) > 500


def test_a_rollout_goes_through_while_the_gateway_is_restarted_again_and_again(
    target: LocalTarget, runs_as: RunsAs, make_plan: Callable[..., Plan], load: Any
) -> None:
    stable, canary = runs_as("good", 1), runs_as("better", 2)
    over = threading.Event()
    done = []

    def restarts() -> None:
        while not over.wait(0.5):
            restart(target)
            done.append(time.monotonic())

    with load(target.serve(stable)) as requests:
        thread = threading.Thread(target=restarts)
        thread.start()
        final = run_rollout(target, make_plan(stable, canary), root=target.root)
        over.set()
        thread.join()

    assert final.phase is Phase.PROMOTED, final.cause
    assert len(done) >= 2
    assert {status for status, _ in requests.answers} == {200}
    assert {revision for _, revision in requests.answers} == {"paint-v1", "paint-v2"}


def test_the_command_restarts_what_runs(
    target: LocalTarget, runs_as: RunsAs, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = target.serve(runs_as("good", 1))
    before = target.status()
    monkeypatch.setattr(serve, "_target", lambda: target)

    done = CliRunner().invoke(serve.app, ["--restart"])

    after = target.status()
    assert done.exit_code == 0, done.output
    assert done.output == f"restarted in place; {url} serves on\n"
    assert before is not None
    assert after is not None
    assert (before.restarts_asked, after.restarts_asked) == (0, 1)
    assert (after.pid, after.envoy_pid) == (before.pid, before.envoy_pid)
