"""`--dry-run`: what would change, patch by patch, and nothing changes."""

from collections.abc import Callable

import pytest
from fake_controller import ISVC
from fake_kubernetes_api import FakeKubernetesApi

from modelway.errors import ConfigError, TransitionError
from serving.rollout.kserve import KServeTarget
from serving.rollout.target import Revision

RunsAs = Callable[[str, int], Revision]


def test_a_first_release_shows_the_object(
    api: FakeKubernetesApi, target: KServeTarget, runs_as: RunsAs
) -> None:
    text = target.planned_diff(runs_as("good", 1), weights=(100,))

    assert "+++ create InferenceService paint" in text
    assert "+      modelway-revision: paint-v1" in text
    assert api.objects.get(ISVC, "paint") is None


def test_each_patch_of_a_rollout_is_one_diff(
    api: FakeKubernetesApi, target: KServeTarget, runs_as: RunsAs, places
) -> None:
    target.deploy(runs_as("good", 1), replicas=4)
    api.settle()
    before = api.objects.get(ISVC, "paint")

    text = target.planned_diff(runs_as("better", 2), weights=(5, 50, 100))

    titles = [line.removeprefix("+++ ") for line in text.splitlines() if line.startswith("+++ ")]
    assert titles == [
        "deploy without traffic",
        "5 % of traffic",
        "pods for 50 %",
        "50 % of traffic",
        "pods for 100 %",
        "100 % of traffic",
        "promote",
    ]
    share = "\n-  trafficPercent: 0\n+  trafficPercent: 5\n"
    assert share in text
    assert api.objects.get(ISVC, "paint") == before
    assert sum(method == "PATCH" for method, _ in api.calls) == 1  # the dry run on the cluster's side
    assert not list((places.root.parent / "store" / "paint").glob(f"{runs_as('better', 2).digest}/*"))


def test_the_diffs_are_what_the_rollout_then_does(
    api: FakeKubernetesApi, target: KServeTarget, runs_as: RunsAs
) -> None:
    target.deploy(runs_as("good", 1), replicas=2)
    api.settle()
    text = target.planned_diff(runs_as("better", 2), weights=(100,))
    planned = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("+  minReplicas")]

    target.deploy(runs_as("better", 2), replicas=1)
    done = [(api.objects.get(ISVC, "paint") or {})["spec"]["predictor"]["minReplicas"]]
    for _ in range(3):
        api.settle()
        target.route({"paint-v2": 100})
    done.append((api.objects.get(ISVC, "paint") or {})["spec"]["predictor"]["minReplicas"])

    assert [int(number) for number in planned][:2] == done == [3, 4]


def test_what_cannot_be_rolled_out_has_no_diff(
    api: FakeKubernetesApi, target: KServeTarget, runs_as: RunsAs
) -> None:
    target.deploy(runs_as("good", 1), replicas=1)
    api.settle()
    with pytest.raises(ConfigError, match="serves already"):
        target.planned_diff(runs_as("good", 2), weights=(100,))

    target.deploy(runs_as("better", 2), replicas=1)
    with pytest.raises(TransitionError, match="stands beside"):
        target.planned_diff(runs_as("failing", 3), weights=(100,))
