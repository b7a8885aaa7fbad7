"""Whole rollouts on the fake cluster with real model servers as pods, real requests and the real judge."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from fake_controller import DEPLOYMENT, HPA, ISVC, POD, ROUTE
from fake_kubelets import ProcessKubelet, wait_for
from fake_kubernetes_api import FakeKubernetesApi

from modelway.bundle.bundle import Bundle
from serving.kserve.places import Places
from serving.rollout.kserve import KServeTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import Records, run_rollout
from serving.rollout.state import Phase
from serving.rollout.target import Revision

RunsAs = Callable[[str, int], Revision]
DRIVER = """
import sys
from pathlib import Path
from serving.kserve.client import Cluster
from serving.kserve.places import Places
from serving.kserve.spec import Service
from serving.rollout.kserve import KServeTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import run_rollout
kubeconfig, places, plan = (Path(each) for each in sys.argv[1:])
places = Places.model_validate_json(places.read_text())
cluster = Cluster("default", kubeconfig=kubeconfig)
target = KServeTarget(cluster, Service(name="paint"), places)
run_rollout(target, Plan.model_validate_json(plan.read_text()), root=target.root)
"""


class Gateway:
    """Clients whose requests go to pods by the HTTPRoute's weights, as a gateway would send them."""

    def __init__(self, api: FakeKubernetesApi, kubelet: ProcessKubelet, clients: int = 3) -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self._api, self._kubelet = api, kubelet
        self._table: list[tuple[int, list[int]]] = []
        self._in_flight: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(clients)]
        self._threads.append(threading.Thread(target=self._follow))

    def __enter__(self) -> Self:
        self._kubelet.pre_stop = self._left
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _left(self, port: int) -> None:
        """Until no request can go to the port: what the seconds of a real pod's preStop hook are for."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._stop.is_set() or not self._sends_to(port), 60)

    def _sends_to(self, port: int) -> bool:
        return self._in_flight[port] > 0 or any(port in ports for _, ports in self._table)

    def _follow(self) -> None:
        while not self._stop.is_set():
            table = self._api.do(self._read)
            with self._changed:
                self._table = table
                self._changed.notify_all()
            time.sleep(0.05)

    def _read(self) -> list[tuple[int, list[int]]]:
        route = self._api.objects.get(ROUTE, "paint")
        backends = route["spec"]["rules"][0]["backendRefs"] if route else []
        return [(ref["weight"], self._ports(ref["name"])) for ref in backends if ref["weight"]]

    def _ports(self, deployment: str) -> list[int]:
        pods = self._api.objects.list(POD, f"app=isvc.{deployment}")
        ready = [
            pod for pod in pods if {"type": "Ready", "status": "True"} in pod["status"].get("conditions", [])
        ]
        ports = [self._kubelet.port(pod["metadata"]["name"]) for pod in ready]
        return [port for port in ports if port is not None]

    def _ask(self, seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311 - no secret
        while not self._stop.is_set():
            port = self._chosen(draw)
            if port is not None:
                answer = _post(port, [float(draw.random() < 0.5), draw.random()])
                self._took(port, answer)
            time.sleep(0.003)

    def _chosen(self, draw: random.Random) -> int | None:
        with self._changed:
            table = [row for row in self._table if row[1]]
            if not table:
                return None
            port = draw.choice(draw.choices([row[1] for row in table], [row[0] for row in table])[0])
            self._in_flight[port] += 1
            return port

    def _took(self, port: int, answer: tuple[int, str]) -> None:
        with self._changed:
            self.answers[answer] += 1
            self._in_flight[port] -= 1
            self._changed.notify_all()


def _post(port: int, row: list[float]) -> tuple[int, str]:
    tensor = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": row}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = json.dumps({"inputs": [tensor]})
        connection.request("POST", "/v2/models/paint/infer", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
    except OSError as error:
        return 0, type(error).__name__
    finally:
        connection.close()
    return answer.status, answer.headers.get("x-revision", "")


@pytest.fixture
def pods(tmp_path: Path, places: Places) -> Iterator[ProcessKubelet]:
    kubelet = ProcessKubelet(tmp_path / "pods", places.verify_key)
    yield kubelet
    kubelet.stop_all()


@pytest.fixture
def real(pods: ProcessKubelet) -> Iterator[FakeKubernetesApi]:
    """A cluster whose pods are processes."""
    with FakeKubernetesApi(pods, auto=True) as api:
        yield api


def plan_for(stable: Revision, canary: Revision, **changes: Any) -> Plan:
    slo = Bundle.open(canary.bundle, verify_key=canary.verify_key).slo
    fields = {"id": f"{canary.id}.1", "service": "paint", "stable": stable, "canary": canary, "slo": slo}
    return Plan.model_validate(fields | {"look_every_s": 0.25, "step_deadline_s": 240} | changes)


def deployments(api: FakeKubernetesApi) -> list[str]:
    return [one["metadata"]["name"] for one in api.objects.list(DEPLOYMENT)]


def test_a_good_revision_is_promoted_and_a_bad_one_rolled_back(
    real: FakeKubernetesApi, pods: ProcessKubelet, make_target: Any, runs_as: RunsAs
) -> None:
    target: KServeTarget = make_target(real)
    first, better, failing = runs_as("good", 1), runs_as("better", 2), runs_as("failing", 3)
    target.serve(first, limit_s=120)

    with Gateway(real, pods) as gateway:
        wait_for(lambda: gateway.answers)
        promoted = run_rollout(target, plan_for(first, better), root=target.root)

        assert promoted.phase is Phase.PROMOTED, promoted.cause
        assert [moment.step for moment in promoted.timeline] == ["", "5 %", "25 %", "50 %", "100 %", ""]
        assert target.live() == better
        assert (
            deployments(real)
            == [one["metadata"]["name"] for one in real.objects.list(HPA)]
            == ["paint-r2-predictor"]
        )
        assert {status for status, _ in gateway.answers} == {200}

        rolled_back = run_rollout(target, plan_for(better, failing), root=target.root)

    assert rolled_back.phase is Phase.ROLLED_BACK
    assert "error" in rolled_back.cause
    assert rolled_back.seconds_to_restore is not None
    assert target.live() == better
    assert deployments(real) == ["paint-r2-predictor"]
    assert gateway.answers[500, "paint-v3"] < 0.2 * sum(gateway.answers.values())


def test_a_rollout_whose_driver_is_killed_goes_on_from_the_cluster_and_its_file(
    real: FakeKubernetesApi,
    pods: ProcessKubelet,
    make_target: Any,
    runs_as: RunsAs,
    places: Places,
) -> None:
    target: KServeTarget = make_target(real, scaling=None)
    first, better = runs_as("good", 1), runs_as("better", 2)
    target.serve(first, limit_s=120)
    plan = plan_for(first, better)
    folder = places.root.parent
    (folder / "places.json").write_text(places.model_dump_json())
    (folder / "plan.json").write_text(plan.model_dump_json())
    arguments = [real.kubeconfig(folder), folder / "places.json", folder / "plan.json"]

    with Gateway(real, pods):
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, *map(str, arguments)])
        try:
            wait_for(lambda: (record := Records(target.root).read("paint")) and record.state.step == 1, 120)
        finally:
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
        killed_at = len(real.objects.events)
        final = run_rollout(target, plan, root=target.root)

    assert final.phase is Phase.PROMOTED, final.cause
    assert [moment.step for moment in final.timeline] == ["", "5 %", "25 %", "50 %", "100 %", ""]
    shares = [
        canary["trafficPercent"]
        for kind, _, one in real.objects.events[killed_at:]
        if kind == ISVC
        for canary in one["spec"].get("canary") or []
    ]
    assert shares == sorted(shares)
    assert min(shares) >= 5  # it began nowhere anew
    assert target.live() == better


def test_a_pod_refuses_a_bundle_that_was_altered_in_the_store_and_the_rollout_says_so(
    real: FakeKubernetesApi,
    pods: ProcessKubelet,
    make_target: Any,
    runs_as: RunsAs,
    tmp_path: Path,
) -> None:
    target: KServeTarget = make_target(real)
    first, better = runs_as("good", 1), runs_as("better", 2)
    target.serve(first, limit_s=120)
    stored = tmp_path / "store" / "paint" / better.digest / "model.onnx"
    real.before_write = lambda: stored.write_bytes(b"altered")  # after the upload, before the pod fetches it

    final = run_rollout(target, plan_for(first, better), root=target.root)

    assert final.phase is Phase.ROLLED_BACK
    assert final.timeline[-1].step == ""
    assert "crash loop" in final.cause
    assert "bundle rejected: model.onnx" in final.cause
    assert target.live() == first
