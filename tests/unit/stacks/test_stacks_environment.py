"""The environment that keeps ZenML and Prefect in our home."""

import os
from pathlib import Path

import pytest

from stacks.environment import SOURCE_ROOT, activate_home


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A plain environment in place of the real one, which the other tests need."""
    ours = ("ZENML_", "PREFECT_", "MODELWAY_", "MLFLOW_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    monkeypatch.setattr(os, "environ", {**plain, "MODELWAY_HOME": str(tmp_path / "home")})


def test_state_lives_below_the_home(tmp_path: Path):
    activate_home()

    assert os.environ["ZENML_CONFIG_PATH"] == str(tmp_path / "home" / "zenml")
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "home" / "prefect")
    assert os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] == "false"


def test_the_source_root_holds_flows_and_steps():
    activate_home()

    root = Path(os.environ["ZENML_CUSTOM_SOURCE_ROOT"])
    assert root == SOURCE_ROOT
    assert (root / "flows" / "bridge.py").is_file()


def test_activating_makes_no_file(tmp_path: Path):
    activate_home()

    assert list(tmp_path.iterdir()) == []


def test_a_second_home_takes_all_state_along(tmp_path: Path):
    activate_home()
    os.environ["MODELWAY_HOME"] = str(tmp_path / "other")

    activate_home()

    assert os.environ["ZENML_CONFIG_PATH"] == str(tmp_path / "other" / "zenml")
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "other" / "prefect")


def test_what_says_nothing_about_places_is_the_users_to_set():
    os.environ["ZENML_ANALYTICS_OPT_IN"] = "true"
    os.environ["PREFECT_API_URL"] = "http://team:4200/api"

    activate_home()

    assert os.environ["ZENML_ANALYTICS_OPT_IN"] == "true"
    assert os.environ["PREFECT_API_URL"] == "http://team:4200/api"
