"""The former version on a cluster: loaded, without traffic, and out of the way of a rollout."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from fake_controller import DEPLOYMENT, ISVC, POD
from fake_kubernetes_api import FakeKubernetesApi
from fake_objects import Refusal

from modelway.errors import BundleRejectedError, ConfigError, TransitionError
from serving.rollout.kserve import KServeTarget
from serving.rollout.sights import Keeps
from serving.rollout.target import Revision

RunsAs = Callable[[str, int], Revision]


def asked(api: FakeKubernetesApi) -> list[tuple[str | None, int, int | None]]:
    """Per arm: name of the predictor, its replicas, its share where it is no stable one."""
    spec: dict[str, Any] = (api.objects.get(ISVC, "paint") or {})["spec"]
    stable = spec["predictor"]
    beside = [(one["predictor"], one["trafficPercent"]) for one in spec.get("canary") or []]
    return [(p.get("name"), p["minReplicas"], share) for p, share in [(stable, None), *beside]]


def running(api: FakeKubernetesApi) -> dict[str, int]:
    return {d["metadata"]["name"]: d["status"]["availableReplicas"] for d in api.objects.list(DEPLOYMENT)}


@pytest.fixture
def kept(api: FakeKubernetesApi, target: KServeTarget, runs_as: RunsAs) -> KServeTarget:
    """paint-v2 serves with three replicas, paint-v1 is kept beside it."""
    target.deploy(runs_as("better", 2), replicas=3)
    api.settle()
    target.keep(runs_as("good", 1))
    api.settle()
    return target


def test_a_former_revision_is_loaded_beside_the_one_that_serves(
    api: FakeKubernetesApi, kept: KServeTarget, runs_as: RunsAs
) -> None:
    assert isinstance(kept, Keeps)
    assert asked(api) == [(None, 6, None), ("s2", 3, 0)]
    assert running(api) == {"paint-predictor": 3, "paint-s2-predictor": 3}
    assert kept.live() == runs_as("better", 2)
    ready = kept.ready("paint-v1")
    assert ready is not None
    assert ready.complete

    before = sum(method == "PATCH" for method, _ in api.calls)
    kept.keep(runs_as("good", 1))
    kept.promote("paint-v2")  # who serves already has nothing to be promoted over
    assert sum(method == "PATCH" for method, _ in api.calls) == before

    kept.keep(None)
    api.settle()
    assert asked(api) == [(None, 3, None)]
    assert running(api) == {"paint-predictor": 3}


def test_going_back_starts_no_pod(
    busy_api: FakeKubernetesApi, make_target: Callable[..., KServeTarget], runs_as: RunsAs
) -> None:
    target = make_target(busy_api)
    good, better = runs_as("good", 1), runs_as("better", 2)
    target.serve(better)
    target.keep(good)
    pods = "app=isvc.paint-s2-predictor"
    before = _until(lambda: [p["metadata"]["name"] for p in busy_api.objects.list(POD, pods)])

    target.serve(good)

    assert target.live() == good
    assert asked(busy_api) == [("s2", 1, None)]
    assert [p["metadata"]["name"] for p in busy_api.objects.list(POD, pods)] == before


def test_a_rollout_takes_its_place_and_is_never_driven_out_by_it(
    api: FakeKubernetesApi, kept: KServeTarget, runs_as: RunsAs
) -> None:
    canary = runs_as("failing", 3)
    text = kept.planned_diff(canary, weights=(100,))
    titles = [line.removeprefix("+++ ") for line in text.splitlines() if line.startswith("+++ ")]
    assert titles[:2] == ["let paint-v1 go", "deploy without traffic"]
    assert "+    name: r4" in text

    for _ in range(2):  # as the driver does at each look
        kept.deploy(canary, replicas=1)
        api.settle()
    assert asked(api) == [(None, 4, None), ("r4", 1, 0)]

    kept.keep(runs_as("good", 1))
    assert asked(api) == [(None, 4, None), ("r4", 1, 0)]
    with pytest.raises(TransitionError, match="stands beside"):
        kept.deploy(runs_as("good", 1), replicas=1)


def test_it_makes_room_for_nothing_that_would_be_refused(
    api: FakeKubernetesApi, kept: KServeTarget, runs_as: RunsAs
) -> None:
    def frozen() -> None:
        text = 'admission webhook "policy" denied the request: models are frozen over the holidays'
        raise Refusal(403, "Forbidden", text)

    def refused(error: type[Exception], match: str, canary: Revision) -> None:
        with pytest.raises(error, match=match):
            kept.deploy(canary, replicas=1)
        api.settle()
        assert asked(api) == [(None, 6, None), ("s2", 3, 0)]

    live, canary = runs_as("better", 2), runs_as("failing", 3)
    refused(ConfigError, "serves already", live.model_copy(update={"id": "paint-v9"}))
    refused(ConfigError, "holds paint", canary.model_copy(update={"digest": "0" * 64}))
    api.before_write = frozen
    refused(ConfigError, "frozen over the holidays", canary)
    (canary.bundle / "model.onnx").write_bytes(b"altered")
    refused(BundleRejectedError, "model.onnx", canary)


def _until(look: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return found
