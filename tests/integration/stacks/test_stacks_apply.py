"""Applying stack files to a real ZenML store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from zenml.client import Client
from zenml.enums import StackComponentType
from zenml.models import FlavorFilter

from modelway.errors import ConfigError
from modelway.home import Home
from stacks import active, apply
from stacks.spec import ComponentSpec

ORCHESTRATOR = {
    "flavor": "prefect",
    "source": "stacks.flavors.prefect_orchestrator.PrefectOrchestratorFlavor",
}


@pytest.fixture
def folder(orchestration: Home, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    if "trial" in apply.applied_stacks():
        Client().delete_stack("trial", recursive=True)


def write(folder: Path, **changes: Any) -> Path:
    components = {
        "orchestrator": ORCHESTRATOR,
        "artifact_store": {"flavor": "local", "config": {"path": "${stack}/artifacts"}},
        "experiment_tracker": {
            "flavor": "mlflow",
            "config": {"tracking_uri": "sqlite:///${stack}/mlflow.db"},
        },
        **changes,
    }
    present = {kind: component for kind, component in components.items() if component}
    (folder / "trial.yaml").write_text(
        yaml.safe_dump({"name": "trial", "description": "A test's.", "components": present})
    )
    return folder


def components_of(name: str) -> dict[str, tuple[str, dict[str, Any]]]:
    stack = Client().get_stack(name)
    return {str(kind): (one[0].flavor_name, one[0].configuration) for kind, one in stack.components.items()}


def test_applying_registers_what_the_file_says(orchestration: Home, folder: Path):
    changes = apply.apply("trial", orchestration, write(folder))

    assert [change.action for change in changes] == ["registered"] * 4
    stored = components_of("trial")
    assert stored["orchestrator"] == ("prefect", {})
    assert stored["artifact_store"] == ("local", {"path": str(orchestration.stack("trial") / "artifacts")})


def test_applying_again_changes_nothing(orchestration: Home, folder: Path):
    apply.apply("trial", orchestration, write(folder))

    assert apply.apply("trial", orchestration, folder) == ()


@pytest.mark.parametrize("name", ["local", "local-dev"])
def test_the_shipped_stacks_are_applied_once(orchestration: Home, name: str):
    assert apply.apply(name, orchestration) == ()


def test_a_home_whose_first_command_was_killed_is_finished_by_the_next_one(orchestration: Home):
    store = Client().zen_store
    unlisted = FlavorFilter(name="local_docker", type=StackComponentType.ORCHESTRATOR)
    store.delete_flavor(store.list_flavors(unlisted).items[0].id)

    assert apply.check_component("orchestrator", ComponentSpec(flavor="local_docker")) == {}
    assert len(store.list_flavors(unlisted).items) == 1


def test_a_changed_setting_is_changed_and_nothing_else(orchestration: Home, folder: Path):
    apply.apply("trial", orchestration, write(folder))
    elsewhere = {"flavor": "local", "config": {"path": "${stack}/elsewhere"}}

    changes = apply.apply("trial", orchestration, write(folder, artifact_store=elsewhere))

    assert [(change.kind, change.action) for change in changes] == [("artifact_store", "updated")]
    path = components_of("trial")["artifact_store"][1]["path"]
    assert path == str(orchestration.stack("trial") / "elsewhere")


def test_a_setting_that_is_left_out_is_gone(orchestration: Home, folder: Path):
    tracker = {
        "flavor": "mlflow",
        "config": {"tracking_uri": "sqlite:///${stack}/mlflow.db", "experiment_name": "x"},
    }
    apply.apply("trial", orchestration, write(folder, experiment_tracker=tracker))
    assert components_of("trial")["experiment_tracker"][1]["experiment_name"] == "x"

    apply.apply("trial", orchestration, write(folder))

    assert set(components_of("trial")["experiment_tracker"][1]) == {"tracking_uri"}


def test_a_component_of_another_flavor_takes_the_place_of_the_old_one(orchestration: Home, folder: Path):
    apply.apply("trial", orchestration, write(folder))

    changes = apply.apply("trial", orchestration, write(folder, orchestrator={"flavor": "local"}))

    assert components_of("trial")["orchestrator"][0] == "local"
    assert [change.name for change in changes if change.action == "deleted"] == ["trial.prefect"]
    assert Client().list_stack_components(name="trial.prefect").total == 0


def test_a_component_that_is_left_out_is_taken_out(orchestration: Home, folder: Path):
    registry = {"flavor": "mlflow"}
    apply.apply("trial", orchestration, write(folder, model_registry=registry))
    assert "model_registry" in components_of("trial")

    apply.apply("trial", orchestration, write(folder))

    assert "model_registry" not in components_of("trial")
    assert apply.apply("trial", orchestration, folder) == ()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param(
            {"artifact_store": {"flavor": "local", "config": {"paht": "x"}}}, "`paht`", id="misspelt-setting"
        ),
        pytest.param({"alerter": {"flavor": "carrier-pigeon"}}, "carrier-pigeon", id="unknown-flavor"),
        pytest.param(
            {"alerter": {"flavor": "x", "source": "no.such.Flavor"}}, "no.such.Flavor", id="unknown-class"
        ),
        pytest.param({"alerter": {**ORCHESTRATOR}}, "no alerter flavor", id="class-of-another-type"),
        pytest.param(
            {"artifact_store": {"flavor": "local", "config": {"path": ["x"]}}},
            "artifact_store.config",
            id="setting-of-a-wrong-type",
        ),
    ],
)
def test_a_wrong_component_is_named_and_nothing_is_registered(
    orchestration: Home, folder: Path, changes: dict[str, Any], named: str
):
    with pytest.raises(ConfigError, match=named):
        apply.apply("trial", orchestration, write(folder, **changes))

    assert "trial" not in apply.applied_stacks()
    assert Client().list_stack_components(name="startswith:trial").total == 0


def test_switching_to_a_stack_that_was_not_applied_says_how_to_apply_it(orchestration: Home):
    with pytest.raises(ConfigError) as caught:
        apply.activate("trial")

    assert caught.value.remedy == "modelway stack apply trial"


def test_the_active_stack_decides_where_everything_lives(orchestration: Home):
    places = {}
    for name in ("local", "local-dev"):
        apply.activate(name)
        places[name] = [active.frames_folder(), active.tracking_uri(), str(active.serving_root())]
    apply.activate("local")

    for name, found in places.items():
        assert all(str(orchestration.stack(name)) + "/" in place for place in found)


def test_a_stack_without_the_part_asked_for_says_so(orchestration: Home, folder: Path):
    apply.apply("trial", orchestration, write(folder))
    apply.activate("trial")
    try:
        with pytest.raises(ConfigError, match="`trial` has no model_deployer"):
            active.serving_root()
    finally:
        apply.activate("local")


def test_a_stack_may_keep_online_features_in_redis(orchestration: Home, folder: Path):
    component = {
        "flavor": "feast_redis",
        "source": "stacks.flavors.feast_redis.FeastRedisFlavor",
        "config": {"root": "${stack}/features", "redis": "cache:6379,password=$${REDIS_PASSWORD}"},
    }
    apply.apply("trial", orchestration, write(folder, feature_store=component))
    apply.activate("trial")
    try:
        store = active.feature_store()
        assert (store.root, store.redis) == (
            orchestration.stack("trial") / "features",
            "cache:6379,password=${REDIS_PASSWORD}",
        )
        assert Client().active_stack.feature_store.config.root == str(store.root)
    finally:
        apply.activate("local")


def test_every_component_of_a_shipped_stack_loads(orchestration: Home):
    stack = Client().active_stack

    assert stack.name == "local"
    assert stack.orchestrator.flavor == "prefect"
    assert stack.model_deployer.flavor == "gateway"
    assert stack.feature_store.flavor == "feast_sqlite"


def test_models_cannot_be_put_past_the_judge(orchestration: Home):
    deployer = Client().active_stack.model_deployer

    with pytest.raises(NotImplementedError, match="modelway rollout start"):
        deployer.perform_deploy_model(id=None, config=None)
