"""`modelway rollout` on a stack that serves on a cluster."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_controller import ISVC
from fake_kubernetes_api import FakeKubernetesApi
from typer.testing import CliRunner

import stacks.active
import stacks.interrupted
import stacks.preview
import stacks.release
import stacks.settling
import stacks.standby
from modelway.bundle.bundle import Bundle
from modelway.cli import rollout
from modelway.contract import Outcome, Verdict
from modelway.errors import ConfigError, RolloutError
from modelway.registry.model_version import ModelVersion
from modelway.registry.stages import Stage
from serving.rollout.kserve import KServeTarget
from serving.rollout.local import LocalTarget
from serving.rollout.target import Revision

RunsAs = Callable[[str, int], Revision]


class FakeRegistry:
    """Two versions of `paint` in Staging; who was promoted or retired."""

    def __init__(self, revisions: dict[int, Revision]) -> None:
        self._revisions = revisions
        self.stages = dict.fromkeys(revisions, Stage.STAGING)
        self.approvals = SimpleNamespace(check=lambda *_, **__: None)

    def get(self, name: str, reference: int | str) -> ModelVersion:
        number = int(reference)
        revision = self._revisions[number]
        return ModelVersion(
            name=name,
            version=number,
            stage=self.stages[number],
            digest=revision.digest,
            bundle_path=revision.bundle,
            run_id="run",
            aliases=(),
            verdict=Verdict(outcome=Outcome.PASS),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    def bundle(self, name: str, reference: int | str) -> Bundle:
        revision = self._revisions[int(reference)]
        return Bundle.open(revision.bundle, verify_key=revision.verify_key)

    def champion(self, name: str) -> ModelVersion | None:
        live = [number for number, stage in self.stages.items() if stage is Stage.PRODUCTION]
        return self.get(name, live[0]) if live else None

    def fallbacks(self, _name: str) -> tuple[ModelVersion, ...]:
        return ()

    def promote(self, name: str, reference: int, **_: Any) -> ModelVersion:
        self.stages[reference] = Stage.PRODUCTION
        return self.get(name, reference)

    def retire(self, name: str, reference: int, **_: Any) -> ModelVersion:
        self.stages[reference] = Stage.ARCHIVED
        return self.get(name, reference)


@pytest.fixture
def registry(runs_as: RunsAs) -> FakeRegistry:
    return FakeRegistry({1: runs_as("good", 1), 2: runs_as("better", 2)})


@pytest.fixture
def call(
    busy_api: FakeKubernetesApi,
    make_target: Callable[[FakeKubernetesApi], KServeTarget],
    registry: FakeRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., str]:
    """Runs `modelway rollout …` on the fake cluster; its errors are raised."""
    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path))
    target = make_target(busy_api)
    parts = (stacks.active, stacks.release, stacks.settling, stacks.interrupted)
    for module in (*parts, stacks.preview):
        monkeypatch.setattr(module, "serving_target", lambda _service: target)
    for module in parts:
        monkeypatch.setattr(module, "registry", lambda: registry)
    monkeypatch.setattr(stacks.standby, "warm_versions", lambda: 1)
    monkeypatch.setattr(stacks.release, "reports_folder", lambda: tmp_path / "reports")

    def run(*argv: str) -> str:
        return CliRunner().invoke(rollout.app, list(argv), catch_exceptions=False).output

    return run


def test_a_release_a_preview_and_a_rollout_without_requests(
    call: Callable[..., str], busy_api: FakeKubernetesApi, registry: FakeRegistry
) -> None:
    assert "paint@1 serves at http://paint-default.example.com" in call("start", "paint@1")
    assert registry.stages[1] is Stage.PRODUCTION
    before = busy_api.objects.get(ISVC, "paint")

    preview = call("start", "paint@2", "--dry-run", "--weights", "10,100")
    assert "+++ 10 % of traffic" in preview
    assert "+    labels:\n+      modelway-revision: paint-v2" in preview
    assert (busy_api.objects.get(ISVC, "paint") or {})["spec"] == (before or {})["spec"]

    with pytest.raises(RolloutError, match="no verdict within 2 s"):
        call("start", "paint@2", "--deadline-s", "2")
    assert registry.stages[2] is Stage.ARCHIVED
    assert "rolled_back" in call("status", "paint")
    spec = (busy_api.objects.get(ISVC, "paint") or {})["spec"]
    assert spec["predictor"]["labels"] == {"modelway-revision": "paint-v1"}
    assert spec["canary"] == []


def test_a_strategy_that_a_cluster_cannot_carry_out_is_refused_before_anything_runs(
    call: Callable[..., str], busy_api: FakeKubernetesApi
) -> None:
    call("start", "paint@1")

    with pytest.raises(ConfigError, match="KServeTarget cannot"):
        call("start", "paint@2", "--strategy", "shadow-canary")
    assert not (busy_api.objects.get(ISVC, "paint") or {})["spec"].get("canary")


def test_a_preview_of_blue_green_switches_once_with_as_many_pods_as_are_live(
    call: Callable[..., str],
    busy_api: FakeKubernetesApi,
    make_target: Callable[[FakeKubernetesApi], KServeTarget],
    runs_as: RunsAs,
) -> None:
    first = call("start", "paint@1", "--dry-run", "--strategy", "blue-green")
    assert "+++ create InferenceService paint" in first
    make_target(busy_api).serve(runs_as("good", 1), replicas=3)

    told = call("start", "paint@2", "--dry-run", "--strategy", "blue-green", "--weights", "5,100")
    titles = [line.removeprefix("+++ ") for line in told.splitlines() if line.startswith("+++ ")]
    assert titles == ["deploy without traffic", "100 % of traffic", "promote"]
    assert "+    minReplicas: 3\n" in told  # of the canary
    assert "+  minReplicas: 6\n" in told  # KServe takes the canary's from the stable arm's
    assert not (busy_api.objects.get(ISVC, "paint") or {})["spec"].get("canary")

    fewer = call("start", "paint@2", "--dry-run", "--strategy", "blue-green", "--replicas", "2")
    assert "+    minReplicas: 2\n" in fewer
    assert "+++ pods for 100 %" in fewer


@pytest.mark.parametrize("weights", ["5,150", "-5,100", "50,25,100", "5,25"])
def test_weights_that_no_rollout_takes_have_no_preview(call: Callable[..., str], weights: str) -> None:
    call("start", "paint@1")

    with pytest.raises(ConfigError, match="weights"):
        call("start", "paint@2", "--dry-run", f"--weights={weights}")


def test_a_preview_of_the_local_gateway_is_refused(
    call: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks.preview, "serving_target", lambda _service: LocalTarget(tmp_path))

    with pytest.raises(ConfigError, match="serves on this machine"):
        call("start", "paint@2", "--dry-run")
