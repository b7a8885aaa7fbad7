"""The stack that serves on a cluster: what is applied is what the target is made of."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from zenml.client import Client

from modelway.errors import ConfigError
from modelway.home import Home
from serving.rollout.kserve import KServeTarget
from serving.rollout.local import LocalTarget
from stacks import active, apply


@pytest.fixture
def on_kubernetes(orchestration: Home) -> Iterator[Home]:
    """The shipped stack, active; `local` again afterwards."""
    apply.apply("kubernetes", orchestration)
    apply.activate("kubernetes")
    yield orchestration
    apply.activate("local")
    Client().delete_stack("kubernetes", recursive=True)


def test_switching_the_stack_switches_where_rollouts_go(on_kubernetes: Home) -> None:
    target = active.serving_target("credit")

    assert isinstance(target, KServeTarget)
    assert target.root == on_kubernetes.stack("kubernetes") / "serving"
    assert active.serving_root() == target.root
    apply.activate("local")
    assert isinstance(active.serving_target("credit"), LocalTarget)
    apply.activate("kubernetes")


def test_what_only_the_local_gateway_can_do_says_so(on_kubernetes: Home) -> None:
    with pytest.raises(ConfigError, match="serves on a cluster"):
        active.local_gateway()
    with pytest.raises(ConfigError, match="which service"):
        active.serving_target()


def test_a_wrong_setting_is_refused_when_the_stack_is_applied(on_kubernetes: Home, tmp_path: Path) -> None:
    text = (apply.SHIPPED / "kubernetes.yaml").read_text()
    (tmp_path / "kubernetes.yaml").write_text(text.replace("s3://modelway-bundles/production", "no-url"))

    with pytest.raises(ConfigError, match="storage"):
        apply.apply("kubernetes", on_kubernetes, tmp_path)
