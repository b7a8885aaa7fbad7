"""Processes that die under load: what clients see, and what the judge does."""

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from gateway_load import INFER, complete, deploy, pids, route, under_load, until

from modelway.contract import Slo
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import run_rollout
from serving.rollout.state import Phase
from serving.rollout.target import Revision, Window

Make = Callable[..., Revision]


def replica_pids(target: LocalTarget, name: str) -> list[int]:
    status = target.status()
    assert status is not None
    return [each.pid for each in status.revisions[name].replicas if each.pid]


def deaths(revision: Revision) -> int:
    return len(list(revision.bundle.glob("died-*")))


@pytest.mark.parametrize(("clients", "delay_ms"), [(8, 0), (100, 20)])
def test_killing_one_of_two_replicas_again_and_again_costs_no_request(
    local_target: LocalTarget, fake_revision: Make, clients: int, delay_ms: int
) -> None:
    local_target.serve(fake_revision("v1", delay_ms=delay_ms), replicas=2)
    killed = []

    def kill() -> None:
        for number in range(5):
            time.sleep(0.4)
            pid = replica_pids(local_target, "v1")[number % 2]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            until(lambda pid=pid: pid not in pids(local_target) and complete(local_target, "v1"))

    ends = under_load(local_target, kill, clients=clients)

    assert len(set(killed)) == 5
    assert set(ends) == {"200"}
    assert ends["200"] > 100


def test_a_canary_that_dies_of_requests_costs_no_answer_and_each_death_is_its_error(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    canary = fake_revision("v2", death_share=1.0)
    local_target.serve(fake_revision("v1"))
    deploy(local_target, canary)
    route(local_target, {"v1": 50, "v2": 50})
    window = Window(id="deaths", opened_at=datetime.now(UTC))
    local_target.observe(window)

    ends = under_load(local_target, lambda: time.sleep(2), clients=4)
    seen = local_target.observe(window)

    assert set(ends) == {"200"}
    assert (seen["v2"].server_errors or 0) >= deaths(canary) > 0
    assert seen["v1"].server_errors == 0


def test_a_canary_that_dies_of_requests_is_rolled_back_and_clients_see_no_error(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    stable, canary = fake_revision("v1"), fake_revision("v2", death_share=0.3)
    slo = Slo(latency_limit_ms=60, latency_percentile=90, max_error_rate=0.01, rate_rps=100)
    plan = Plan(
        id="v2.1", service="m", stable=stable, canary=canary, slo=slo, look_every_s=0.25, step_deadline_s=200
    )
    local_target.serve(stable)
    finals = []

    ends = under_load(
        local_target,
        lambda: finals.append(run_rollout(local_target, plan, root=local_target.root)),
        clients=4,
    )

    (final,) = finals
    assert final.phase is Phase.ROLLED_BACK
    assert "error" in final.cause or "crash loop" in final.cause
    assert deaths(canary) > 0
    assert set(ends) == {"200"}


def test_a_request_that_kills_ends_three_processes_at_most(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    revision = fake_revision("v1")
    local_target.serve(revision, replicas=4)

    answer = httpx.post(local_target.gateway_url + INFER, content=b"{}", headers={"x-deadly": "1"})

    assert answer.status_code == 503
    assert deaths(revision) == 3
    until(lambda: httpx.post(local_target.gateway_url + INFER, content=b"{}").status_code == 200)


@pytest.mark.parametrize("path", [INFER + "?async", INFER + "?async=true", "/v2/repository/models/m/load"])
def test_a_job_or_a_load_that_a_process_died_of_is_not_repeated(
    local_target: LocalTarget, fake_revision: Make, path: str
) -> None:
    revision = fake_revision("v1")
    local_target.serve(revision, replicas=2)

    answer = httpx.post(local_target.gateway_url + path, content=b"{}", headers={"x-deadly": "1"})

    assert answer.status_code == 503
    assert deaths(revision) == 1
