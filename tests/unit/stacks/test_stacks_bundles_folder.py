"""Where bundles go, and where they cannot."""

import pytest

from modelway.errors import ConfigError
from stacks import active


def test_a_remote_artifact_store_is_refused_and_no_folder_named_after_its_scheme_is_made(monkeypatch) -> None:
    monkeypatch.setattr(active, "_artifact_path", lambda: "s3://lake/artifacts")
    monkeypatch.setattr(active, "stack_name", lambda: "cloud")

    with pytest.raises(ConfigError, match="the artifact store of stack cloud is s3://lake"):
        active.bundles_folder()


def test_a_folder_of_this_machine_is_taken(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(active, "_artifact_path", lambda: str(tmp_path))

    assert active.bundles_folder() == tmp_path / "bundles"
