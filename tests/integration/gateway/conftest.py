import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.rollout.local import LocalTarget
from serving.rollout.target import Revision


@pytest.fixture
def fake_revision(tmp_path: Path) -> Callable[..., Revision]:
    """Makes a revision that behaves as told; `behave` may be called again to change it."""

    def make(name: str, **behaviour: object) -> Revision:
        folder = tmp_path / "bundles" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "new.json").write_text(json.dumps(behaviour))
        (folder / "new.json").replace(folder / "behaviour.json")
        return Revision(id=name, bundle=folder, digest=f"digest-of-{name}", verify_key=folder / "key.pem")

    return make


@pytest.fixture
def local_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalTarget]:
    """A gateway of its own whose predictors are FakeRuntime processes; stopped at the end."""
    here = str(Path(__file__).parent)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    )
    target = LocalTarget(tmp_path / "serving", runtime="fake_runtime")
    yield target
    target.stop()
