"""Rules for every test: Debian packages are asked for by marker, state never leaves the test's folder."""

import ctypes
import importlib.util
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadlines: a busy machine is no fault of ours.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", UNHURRIED, derandomize=True)
settings.register_profile("search", UNHURRIED, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))  # a red build must be red again

ROOT = Path(__file__).parents[1]
ACCELERATORS = {
    "tensorrt-rtx": lambda: importlib.util.find_spec("tensorrt_rtx") is not None,
    "triton": (ROOT / ".venv-triton" / ".ready").exists,
}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


PACKAGES = {
    "chromium": lambda: shutil.which("chromium") is not None,
    "redis-server": lambda: shutil.which("redis-server") is not None,
    "wrk": lambda: shutil.which("wrk") is not None,
    "libgomp1": lambda: _loads("libgomp.so.1"),  # LightGBM's wheel brings none of its own
}

# A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Prefect and ZenML read the environment while test modules import them: no fixture is early enough.
_HOME = tempfile.mkdtemp(prefix="modelway-tests-")
os.environ["MODELWAY_HOME"] = _HOME
os.environ.pop("PREFECT_API_URL", None)


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_HOME, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip a test whose Debian package or accelerator is missing, and say which; under CI that fails."""
    must_run = os.environ.get("MODELWAY_REQUIRE_APT") == "1"
    for item in items:
        _skip_without_accelerator(item)
        for marker in item.iter_markers("apt"):
            package = marker.args[0]
            if not PACKAGES[package]() and not must_run:
                item.add_marker(
                    pytest.mark.skip(reason=f"needs Debian's {package}: apt-get install {package}")
                )


def _skip_without_accelerator(item: pytest.Item) -> None:
    must_run = os.environ.get("MODELWAY_REQUIRE_ACCELERATORS") == "1"
    for marker in item.iter_markers("accelerator"):
        if not ACCELERATORS[marker.args[0]]() and not must_run:
            item.add_marker(pytest.mark.skip(reason=f"needs {marker.args[0]}: make accelerators"))


@pytest.fixture(autouse=True)
def _no_home_leak(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test that forgets to name a home gets an empty one, never the developer's."""
    if "MODELWAY_HOME" not in os.environ:
        monkeypatch.setenv("MODELWAY_HOME", str(tmp_path_factory.mktemp("home")))
