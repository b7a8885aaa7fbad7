"""The real supervisor with a real Envoy; predictors are FakeRuntime processes."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from gateway_load import INFER, alive, ask, complete, deploy, pids, route, under_load, until

from modelway.errors import ConfigError, NotReadyError, NotRunningError, PortInUseError
from serving.rollout.local import LocalTarget
from serving.rollout.target import Revision, Window

Make = Callable[..., Revision]


def test_serves_one_revision_and_stops_everything(local_target: LocalTarget, fake_revision: Make) -> None:
    url = local_target.serve(fake_revision("v1"))
    children = pids(local_target)

    assert local_target.gateway_url == url
    assert ask(local_target, 3) == {(200, "v1"): 3}
    assert local_target.live().id == "v1"

    local_target.stop()
    assert not local_target.running
    assert not any(alive(pid) for pid in children)
    with pytest.raises(NotRunningError):
        _ = local_target.gateway_url


def test_weights_pins_and_mirrors(local_target: LocalTarget, fake_revision: Make) -> None:
    local_target.serve(fake_revision("v1"))
    deploy(local_target, fake_revision("v2"))
    route(local_target, {"v1": 75, "v2": 25})

    split = ask(local_target, 400)
    assert 60 < split[200, "v2"] < 145  # 25 % of 400, four standard deviations
    assert sum(split.values()) == 400
    assert ask(local_target, 5, **{"x-revision": "v2"}) == {(200, "v2"): 5}

    route(local_target, {"v1": 100}, mirror="v2")
    window = Window(id="mirror", opened_at=datetime.now(UTC))
    local_target.observe(window)
    assert ask(local_target, 50) == {(200, "v1"): 50}
    until(lambda: local_target.observe(window)["v2"].requests == 50)


def test_no_request_is_dropped_through_weights_scaling_and_a_swap(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    local_target.serve(fake_revision("v1", delay_ms=20), replicas=2)

    def swap() -> None:
        deploy(local_target, fake_revision("v2", delay_ms=20))
        for weight in (5, 50, 20, 95):
            route(local_target, {"v1": 100 - weight, "v2": weight})
            time.sleep(0.2)
        deploy(local_target, fake_revision("v1", delay_ms=20), replicas=1)
        route(local_target, {"v2": 100})
        local_target.retire("v1")
        until(lambda: "v1" not in (local_target.routing() or pytest.fail("no routing")).weights)
        time.sleep(1.5)  # its processes end meanwhile

    ends = under_load(local_target, swap)

    assert set(ends) == {"200"}
    assert ends["200"] > 300
    assert ask(local_target, 3) == {(200, "v2"): 3}


def test_a_dead_canary_costs_no_answer_and_comes_back(local_target: LocalTarget, fake_revision: Make) -> None:
    local_target.serve(fake_revision("v1"))
    deploy(local_target, fake_revision("v2"))
    route(local_target, {"v1": 50, "v2": 50})
    status = local_target.status()
    assert status is not None

    os.kill(status.revisions["v2"].replicas[0].pid or 0, signal.SIGKILL)
    answers = ask(local_target, 200)

    assert {code for code, _ in answers} == {200}
    assert answers[200, "v1"] > 60
    until(lambda: complete(local_target, "v2"))
    readiness = local_target.ready("v2")
    assert readiness is not None
    assert readiness.restarts == 1
    assert "exit code -9" in readiness.problem


def test_a_canarys_errors_reach_the_client_and_the_counts(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    local_target.serve(fake_revision("v1"))
    deploy(local_target, fake_revision("v2", error_share=0.5, reject_share=0.2))
    route(local_target, {"v1": 50, "v2": 50})
    window = Window(id="errors", opened_at=datetime.now(UTC))
    local_target.observe(window)

    answers = ask(local_target, 100)
    seen = local_target.observe(window)

    assert seen["v2"].server_errors == answers[500, "v2"] > 0
    assert seen["v2"].rejected == answers[422, "v2"] > 0
    assert seen["v2"].requests == answers[200, "v2"] + answers[500, "v2"]
    assert seen["v1"].requests == answers[200, "v1"]
    assert seen["v1"].server_errors == 0


def test_counts_survive_a_crash_and_a_dark_replica_is_not_zero(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    local_target.serve(fake_revision("v1"))
    window = Window(id="crash", opened_at=datetime.now(UTC))
    local_target.observe(window)
    ask(local_target, 20)
    assert local_target.observe(window)["v1"].answered == 20
    status = local_target.status()
    assert status is not None
    pid = status.revisions["v1"].replicas[0].pid or 0

    os.kill(pid, signal.SIGSTOP)
    dark = local_target.observe(window)["v1"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in pids(local_target) and complete(local_target, "v1"))
    until(lambda: set(ask(local_target, 1)) == {(200, "v1")})
    ask(local_target, 10)

    assert dark.answered is None
    assert dark.slo_exceeded is None
    assert (local_target.observe(window)["v1"].answered or 0) >= 31


def test_a_killed_supervisor_leaves_no_orphan_and_comes_back_as_it_was(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    url = local_target.serve(fake_revision("v1"))
    deploy(local_target, fake_revision("v2"))
    route(local_target, {"v1": 75, "v2": 25})
    children, status = pids(local_target), local_target.status()
    assert status is not None

    os.kill(status.pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in children))
    assert local_target.routing() is None
    assert local_target.observe(Window(id="none", opened_at=datetime.now(UTC))) == {}

    until(lambda: complete(local_target, "v2"))  # asking revives it
    until(lambda: local_target.routing() is not None)
    routing = local_target.routing()
    assert routing is not None
    assert routing.weights == {"v1": 75, "v2": 25}
    assert local_target.gateway_url == url
    until(lambda: {code for code, _ in ask(local_target, 10)} == {200})


def test_a_refused_bundle_says_why_and_traffic_stays(local_target: LocalTarget, fake_revision: Make) -> None:
    local_target.serve(fake_revision("v1"))

    for limit_s in (2, 60):  # on a busy machine it has said nothing yet after two seconds
        with pytest.raises(NotReadyError) as told:
            local_target.serve(fake_revision("v2", exit_code=3), limit_s=limit_s)
        if "this bundle is refused" in str(told.value):
            break

    assert "this bundle is refused" in str(told.value)
    assert ask(local_target, 3) == {(200, "v1"): 3}
    until(lambda: (routing := local_target.routing()) and "v2" not in routing.weights)


def test_slow_requests_under_way_are_answered_when_the_gateway_stops(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    local_target.serve(fake_revision("v1", delay_ms=1500))

    async def run() -> int:
        async with httpx.AsyncClient(base_url=local_target.gateway_url, timeout=60) as client:
            request = asyncio.create_task(client.post(INFER, content=b"{}"))
            await asyncio.sleep(0.7)
            await asyncio.to_thread(local_target.stop)
            return (await request).status_code

    assert asyncio.run(run()) == 200


def test_a_busy_port_is_named(local_target: LocalTarget, fake_revision: Make) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(PortInUseError, match=str(port)):
            local_target.serve(fake_revision("v1"), port=port)
        command = [sys.executable, "-m", "serving.gateway", "--root", str(local_target.root)]
        done = subprocess.run([*command, "--port", str(port)], capture_output=True, timeout=120, check=False)

    assert done.returncode == 3
    assert f"port {port} is in use".encode() in done.stderr
    assert not local_target.running


def test_one_supervisor_per_root(local_target: LocalTarget) -> None:
    local_target.start()

    command = [sys.executable, "-m", "serving.gateway", "--root", str(local_target.root)]
    second = subprocess.run(command, capture_output=True, timeout=120, check=False)

    assert second.returncode == 3
    assert b"already running" in second.stderr
    assert httpx.post(local_target.gateway_url + INFER).status_code == 503  # nobody has traffic yet


def test_a_revision_never_changes_its_bundle(local_target: LocalTarget, fake_revision: Make) -> None:
    local_target.serve(fake_revision("v1"))
    other = fake_revision("v1").model_copy(update={"digest": "another"})

    with pytest.raises(ConfigError, match="already runs bundle"):
        local_target.deploy(other, replicas=1)
    with pytest.raises(ConfigError, match="still has traffic"):
        local_target.retire("v1")
