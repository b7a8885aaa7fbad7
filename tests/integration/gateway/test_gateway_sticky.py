"""Keys and arms through a real Envoy."""

import time
from collections import Counter
from collections.abc import Callable

import httpx

from serving.rollout.local import LocalTarget
from serving.rollout.sights import Slot
from serving.rollout.target import Revision

Make = Callable[..., Revision]
KEYS = [f"customer-{n}" for n in range(600)]


def until(question: Callable[[], object], limit_s: float = 90.0) -> None:
    deadline = time.monotonic() + limit_s
    while not question():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def split(target: LocalTarget, *slots: tuple[str, int]) -> None:
    target.split(tuple(Slot(revision=name, percent=percent) for name, percent in slots), key_header="x-key")
    until(lambda: (routing := target.routing()) and routing.slots == slots and routing.key_header == "x-key")


def owners(target: LocalTarget) -> dict[str, str]:
    with httpx.Client(base_url=target.gateway_url) as client:
        answers = {
            key: client.post("/v2/models/m/infer", content=b"{}", headers={"x-key": key}) for key in KEYS
        }
    assert {answer.status_code for answer in answers.values()} == {200}
    return {key: answer.headers["x-revision"] for key, answer in answers.items()}


def test_a_key_sees_one_arm_and_a_dropped_arm_moves_its_own_keys_alone(
    local_target: LocalTarget, fake_revision: Make
) -> None:
    local_target.serve(fake_revision("v1"))
    for name in ("v2", "v3"):
        local_target.deploy(fake_revision(name), replicas=1)
        until(lambda name=name: (ready := local_target.ready(name)) and ready.complete)
    split(local_target, ("v1", 50), ("v2", 25), ("v3", 25))

    first, again = owners(local_target), owners(local_target)
    split(local_target, ("v1", 50), ("v1", 25), ("v3", 25))
    without = owners(local_target)

    assert first == again
    counts = Counter(first.values())
    assert 230 < counts["v1"] < 370  # 50 % of 600, six standard deviations
    assert 85 < counts["v2"] < 215
    assert {key: name for key, name in first.items() if name != "v2"} == {
        key: name for key, name in without.items() if first[key] != "v2"
    }
    assert {without[key] for key, name in first.items() if name == "v2"} == {"v1"}
    local_target.route({"v1": 100})
    until(lambda: (routing := local_target.routing()) and not routing.key_header)
