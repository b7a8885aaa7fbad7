"""gRPC through the gateway: shares, pins, keys, evidence, and no call lost. Real Envoy, real runtime."""

import http.client
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from modelway.errors import ConfigError
from serving.gateway.control import Gateway
from serving.gateway.envoy import admin
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import run_rollout
from serving.rollout.sights import Slot
from serving.rollout.state import Phase
from serving.rollout.target import Revision, Window
from serving.runtime.grpc.messages import message

RunsAs = Callable[[str, int], Revision]
MakePlan = Callable[..., Plan]
LOAD = Path(__file__).with_name("triton_load.py")
INFER = "/inference.GRPCInferenceService/ModelInfer"


class Calls:
    """One connection to the gateway. What a call came to: code, and the revision that its metadata names."""

    def __init__(self, target: LocalTarget) -> None:
        status = target.status()
        assert status is not None
        assert status.grpc_address is not None
        self.channel = grpc.insecure_channel(status.grpc_address, [("grpc.use_local_subchannel_pool", 1)])

    def end(self, amount: float = 0.0, method: str = INFER, **metadata: str) -> tuple[str, str]:
        request = message("ModelInferRequest")(model_name="paint")
        request.inputs.add(name="features", datatype="FP32", shape=[1, 2])
        request.raw_input_contents.append(struct.pack("<2f", amount, 0.5))
        ask = self.channel.unary_unary(
            method, lambda each: each.SerializeToString(), message("ModelInferResponse").FromString
        )
        told = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        try:
            _, call = ask.with_call(request, timeout=60, metadata=told)
        except grpc.RpcError as error:
            call = error
        said = {**dict(call.trailing_metadata() or ()), **dict(call.initial_metadata() or ())}
        return call.code().name, said.get("x-revision", "")

    def ends(self, times: int, amount: float = 0.0, **metadata: str) -> Counter[tuple[str, str]]:
        return Counter(self.end(amount, INFER, **metadata) for _ in range(times))


@contextmanager
def triton_clients(target: LocalTarget) -> Iterator[Counter[str]]:
    """tritonclient asks meanwhile; afterwards the counter says how its calls ended."""
    status = target.status()
    assert status is not None
    ended: Counter[str] = Counter()
    command = [sys.executable, str(LOAD), str(status.grpc_address)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "asking\n"
        yield ended
    finally:
        ended.update(json.loads(process.communicate()[0]))


@contextmanager
def harmless_requests(url: str) -> Iterator[Counter[int]]:
    """HTTP requests with the one row that the failing graph can score."""
    over, statuses = threading.Event(), Counter[int]()
    tensor = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 0.5]}

    def ask() -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        while not over.is_set():
            connection.request("POST", "/v2/models/paint/infer", json.dumps({"inputs": [tensor]}))
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
            time.sleep(0.002)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    yield statuses
    over.set()
    thread.join()


def until(question: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not question():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_calls_alone_promote_a_revision_and_none_is_lost(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan
) -> None:
    stable, canary = runs_as("good", 1), runs_as("better", 2)
    target.serve(stable, grpc=True)

    with triton_clients(target) as ended:
        final = run_rollout(target, make_plan(stable, canary), root=target.root)
        Gateway(target.root, runtime="serving.runtime").restart()
        target.route({stable.id: 100})  # and back, at once
        until(lambda: target.live() == stable and target.routing().weights[stable.id] == 100)  # type: ignore[union-attr] # it runs
        target.retire(canary.id)
        until(lambda: canary.id not in target.status().revisions)  # type: ignore[union-attr] # as above

    assert final.phase is Phase.PROMOTED, final.cause
    assert set(ended) == {"OK paint-v1", "OK paint-v2"}


def test_a_canary_that_fails_over_grpc_alone_is_rolled_back(
    target: LocalTarget, runs_as: RunsAs, make_plan: MakePlan
) -> None:
    stable = runs_as("good", 1)
    url = target.serve(stable, grpc=True)

    with harmless_requests(url) as statuses, triton_clients(target) as ended:
        final = run_rollout(target, make_plan(stable, runs_as("failing", 2)), root=target.root)

    assert final.phase is Phase.ROLLED_BACK
    assert "error" in final.cause
    assert set(statuses) == {200}
    assert set(ended) == {"OK paint-v1", "OK paint-v2", "StatusCode.INTERNAL"}
    assert target.live() == stable


def test_shares_pins_and_keys_hold_for_calls_and_what_no_replica_answered_is_evidence(
    target: LocalTarget, runs_as: RunsAs
) -> None:
    stable, canary = runs_as("good", 1), runs_as("failing", 2)
    target.serve(stable, grpc=True)
    target.deploy(canary, replicas=1)
    until(lambda: (found := target.ready(canary.id)) is not None and found.complete)
    weights = {stable.id: 70, canary.id: 30}
    target.route(weights)
    until(lambda: (now := target.routing()) is not None and now.weights == weights)
    calls, window = Calls(target), Window(id="w", opened_at=datetime.now(UTC))
    target.observe(window)

    shares = calls.ends(400)
    assert set(shares) == {("OK", "paint-v1"), ("OK", "paint-v2")}
    assert 80 <= shares["OK", "paint-v2"] <= 165  # 120 of 400 are expected; 4.5 standard deviations
    assert calls.ends(20, x_revision="paint-v2") == {("OK", "paint-v2"): 20}
    assert calls.end(1.0, x_revision="paint-v2") == ("INTERNAL", "paint-v2")
    assert calls.end(method="/inference.GRPCInferenceService/ModelStreamInfer")[0] == "UNIMPLEMENTED"
    seen = target.observe(window)["paint-v2"]
    of_canary = shares["OK", "paint-v2"] + 21
    assert (seen.requests, seen.server_errors, seen.answered) == (of_canary, 1, of_canary)

    status = target.status()
    assert status is not None
    assert set(calls.ends(200, amount=1.0)) == {("OK", "paint-v1"), ("INTERNAL", "paint-v2")}
    ejected = "/stats?filter=grpc_rev_paint-v2.outlier_detection.ejections_enforced_total"
    assert int((admin(status.admin_port, ejected) or "").rpartition(": ")[2]) >= 1  # as over HTTP

    os.kill(status.revisions["paint-v2"].replicas[0].pid or 0, signal.SIGKILL)
    before = target.observe(window)["paint-v2"].server_errors or 0
    lost = calls.ends(10, x_revision="paint-v2")["UNAVAILABLE", "paint-v2"]
    assert lost > 0  # until it is up again
    dead = target.observe(window)["paint-v2"]
    assert dead.server_errors is not None
    assert dead.server_errors >= before + lost

    slots = (Slot(revision=stable.id, percent=50), Slot(revision=canary.id, percent=50))
    target.split(slots, key_header="x-key")
    until(lambda: (now := target.routing()) is not None and now.key_header == "x-key")
    until(lambda: calls.end(x_revision="paint-v2") == ("OK", "paint-v2"))
    keyed = {key: calls.ends(3, x_key=key) for key in map(str, range(40))}
    assert all(len(ends) == 1 for ends in keyed.values())
    assert {revision for ends in keyed.values() for _, revision in ends} == {"paint-v1", "paint-v2"}


def test_grpc_is_turned_on_under_load_by_the_settings(
    target: LocalTarget, runs_as: RunsAs, load: Any
) -> None:
    revision = runs_as("good", 1)
    url = target.serve(revision)
    before = target.status()
    assert before is not None
    assert before.grpc_address is None

    with load(url) as requests:
        (target.root / "settings.yaml").write_text("grpc_port: 0\n")
        target.serve(revision)

    assert {status for status, _ in requests.answers} == {200}
    assert Calls(target).end() == ("OK", "paint-v1")
    until(lambda: len(target.status().revisions["paint-v1"].replicas) == 1)  # type: ignore[union-attr] # it runs
    after = target.status()
    assert after is not None
    assert after.port == before.port
    assert after.revisions["paint-v1"].replicas[0].pid != before.revisions["paint-v1"].replicas[0].pid

    (target.root / "settings.yaml").write_text("grpc_port: 9000\n")
    with pytest.raises(ConfigError, match="`grpc_port` 9000"):
        target.deploy(runs_as("better", 2), replicas=1)
    (target.root / "settings.yaml").unlink()
    target.serve(revision, grpc=False)
    without = target.status()
    assert without is not None
    assert without.grpc_address is None
