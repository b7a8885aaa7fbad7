"""Stack files: what they may say, and what a wrong one is told."""

from pathlib import Path

import pytest
import yaml

from modelway.errors import ConfigError
from modelway.home import Home
from modelway.registry.governance import GovernancePolicy
from stacks.spec import read_stack, stack_names

HOME = Home(Path("/srv/modelway"))


def minimal(**changes) -> dict:
    components = {
        "orchestrator": {"flavor": "prefect", "source": "somewhere.Flavor"},
        "artifact_store": {"flavor": "local", "config": {"path": "${stack}/artifacts"}},
        "experiment_tracker": {"flavor": "mlflow"},
    }
    return {"name": "mine", "description": "A test's.", "components": components, **changes}


def write(folder: Path, content, name: str = "mine") -> Path:
    (folder / f"{name}.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return folder


def test_the_shipped_stacks_are_two_for_this_machine_and_one_for_a_cluster():
    assert stack_names() == ["kubernetes", "local", "local-dev"]


@pytest.mark.parametrize("name", ["local", "local-dev"])
def test_a_shipped_stack_keeps_everything_below_its_own_folder(name: str):
    components = read_stack(name, HOME).components.present()

    paths = [str(value) for one in components.values() for value in one.config.values()]
    assert len(paths) == 4
    assert all(f"/srv/modelway/stacks/{name}/" in path for path in paths)
    assert components["orchestrator"].flavor == "prefect"


def test_the_two_shipped_stacks_share_no_store():
    def stores(name: str) -> dict[str, object]:
        present = read_stack(name, HOME).components.present()
        return {kind: one.config for kind, one in present.items() if one.config}

    here, there = stores("local"), stores("local-dev")
    assert set(here) == {"artifact_store", "experiment_tracker", "feature_store", "model_deployer"}
    assert all(here[kind] != there[kind] for kind in here)


def test_a_variable_is_replaced_by_the_folder_of_the_stack(tmp_path: Path):
    spec = read_stack("mine", HOME, write(tmp_path, minimal()))

    assert spec.components.artifact_store.config == {"path": "/srv/modelway/stacks/mine/artifacts"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        pytest.param(minimal(nmae="x"), "`nmae`", id="unknown-key"),
        pytest.param(
            {k: v for k, v in minimal().items() if k != "components"}, "`components`", id="missing-key"
        ),
        pytest.param(
            minimal(components={"orchestrater": {"flavor": "x"}}), "`components.orchestrater`", id="typo"
        ),
        pytest.param(
            minimal(components={**minimal()["components"], "alerter": {"flavour": "slack"}}),
            "`components.alerter.flavour`",
            id="typo-in-a-component",
        ),
        pytest.param(minimal(name="Mine!"), "`name`", id="bad-name"),
        pytest.param("name: [", "not YAML", id="not-yaml"),
        pytest.param("just text", "the file", id="not-a-mapping"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_key(tmp_path: Path, content, named: str):
    with pytest.raises(ConfigError) as caught:
        read_stack("mine", HOME, write(tmp_path, content))

    assert named in caught.value.found
    assert "mine.yaml" in caught.value.found


def test_a_file_must_bear_its_stacks_name(tmp_path: Path):
    with pytest.raises(ConfigError, match="name: mine"):
        read_stack("yours", HOME, write(tmp_path, minimal(), name="yours"))


def test_an_unknown_variable_is_named(tmp_path: Path):
    components = {
        **minimal()["components"],
        "artifact_store": {"flavor": "local", "config": {"path": "${stak}/x"}},
    }

    with pytest.raises(ConfigError, match="stak"):
        read_stack("mine", HOME, write(tmp_path, minimal(components=components)))


def test_asking_for_a_stack_that_is_not_there_lists_those_that_are():
    with pytest.raises(ConfigError) as caught:
        read_stack("lokal", HOME)

    assert caught.value.expected == "one of: kubernetes, local, local-dev"


def test_a_stack_without_rules_asks_for_nothing_and_one_with_rules_says_which(tmp_path: Path):
    rules = {"approvals": 2, "approvers": ["ada", "bob"], "rollout_verdict": True}

    assert read_stack("local", HOME).governance == GovernancePolicy()
    assert read_stack(
        "mine", HOME, write(tmp_path, minimal(governance=rules))
    ).governance == GovernancePolicy(approvals=2, approvers=("ada", "bob"), rollout_verdict=True)


def test_rules_that_are_misspelt_or_cannot_be_kept_are_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"governance\.aprovals"):
        read_stack("mine", HOME, write(tmp_path, minimal(governance={"aprovals": 1})))
    with pytest.raises(ConfigError, match="2 approvals cannot come from 1 approvers"):
        read_stack("mine", HOME, write(tmp_path, minimal(governance={"approvals": 2, "approvers": ["ada"]})))


def test_a_stack_keeps_one_former_version_loaded_unless_it_says_otherwise(tmp_path: Path):
    assert read_stack("mine", HOME, write(tmp_path, minimal())).serving.warm_versions == 1
    said = minimal(serving={"warm_versions": 3})
    assert read_stack("mine", HOME, write(tmp_path, said)).serving.warm_versions == 3
    with pytest.raises(ConfigError, match="warm_version"):
        read_stack("mine", HOME, write(tmp_path, minimal(serving={"warm_version": 3})))
