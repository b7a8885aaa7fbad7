"""Which code and which libraries a training ran on."""

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from modelway.contract import Frozen

LIBRARIES = ("numpy", "scipy", "polars", "scikit-learn", "torch", "lightgbm", "xgboost-cpu", "optuna", "onnx")
"""Those that can change a model's bytes."""
CHECKOUT = Path(__file__).parents[2]
GIT_LIMIT_S = 10


class Environment(Frozen):
    """Enough to set the same one up again."""

    git_commit: str | None
    """None outside a checkout."""
    git_dirty: bool
    """Tracked files differ from the commit."""
    lock_sha256: str | None
    """Of requirements.lock; None where there is none."""
    python: str
    libraries: Mapping[str, str]

    def tags(self) -> dict[str, str]:
        """As MLflow tags."""
        return {
            "modelway.git_commit": self.git_commit or "unknown",
            "modelway.git_dirty": str(self.git_dirty).lower(),
            "modelway.lock_sha256": self.lock_sha256 or "unknown",
            "modelway.python": self.python,
            **{f"modelway.library.{name}": number for name, number in self.libraries.items()},
        }


def current(checkout: Path = CHECKOUT) -> Environment:
    """Look at the checkout and the interpreter."""
    lock = checkout / "requirements.lock"
    commit = _git(checkout, "rev-parse", "HEAD")
    return Environment(
        git_commit=commit,
        git_dirty=bool(commit and _git(checkout, "status", "--porcelain", "--untracked-files=no")),
        lock_sha256=hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
        python=platform.python_version(),
        libraries={name: found for name in LIBRARIES if (found := _version(name))},
    )


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=GIT_LIMIT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
