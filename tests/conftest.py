"""Rules for every test: Debian packages are asked for by marker, state never leaves the test's folder."""

import os
import shutil
import tempfile

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))  # a red build must be red again

PROGRAMS = {"chromium": "chromium", "wrk": "wrk"}

# Prefect and ZenML read the environment while test modules import them: no fixture is early enough.
_HOME = tempfile.mkdtemp(prefix="modelway-tests-")
os.environ["MODELWAY_HOME"] = _HOME
os.environ.pop("PREFECT_API_URL", None)


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_HOME, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip a test whose Debian package is missing, and say which; under CI that is a failure instead."""
    must_run = os.environ.get("MODELWAY_REQUIRE_APT") == "1"
    for item in items:
        for marker in item.iter_markers("apt"):
            package = marker.args[0]
            if shutil.which(PROGRAMS[package]) is None and not must_run:
                item.add_marker(
                    pytest.mark.skip(reason=f"needs Debian's {package}: apt-get install {package}")
                )


@pytest.fixture(autouse=True)
def _no_home_leak(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test that forgets to name a home gets an empty one, never the developer's."""
    if "MODELWAY_HOME" not in os.environ:
        monkeypatch.setenv("MODELWAY_HOME", str(tmp_path_factory.mktemp("home")))
