"""A training that is killed again and again ends in the bundle of one that nobody disturbed.

Each start is killed one point further on, in the same home, so that every start finds what the killed ones
left. A few points by default; `MODELWAY_KILL_EVERYWHERE=1` takes all steps, before, in the middle and after.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelway.data.storage import sha256_of
from modelway.home import Home
from stacks.active import bundles_folder, registry

FEW = [("train_candidates", "middle"), ("register_model", "after")]
STEPS = (
    "ingest_data",
    "materialise_features",
    "check_contract",
    "assemble_training_set",
    "split_in_time",
    "train_candidates",
    "check_parity",
    "probe_honesty",
    "evaluate_candidate",
    "decide_gates",
    "pack_bundle",
    "register_model",
)
EVERYWHERE = [(step, when) for step in STEPS for when in ("before", "middle", "after")]
SHA256 = 64
LIMIT_S = 600
"""Far above what a start takes, for a machine that does other things as well."""
EVERY = os.environ.get("MODELWAY_KILL_EVERYWHERE") == "1"


def start(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    # Without git on the path: somebody may commit meanwhile, and the commit is part of the bundle.
    environment = {**os.environ, "MODELWAY_HOME": str(home.root), "PATH": str(Path(sys.executable).parent)}
    script = Path(__file__).with_name("train_and_die.py")
    command = [sys.executable, str(script), *words]
    root = Path(__file__).parents[3]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=root
    )


@pytest.mark.timeout(LIMIT_S * (1 + len(EVERYWHERE if EVERY else FEW)))
def test_a_training_killed_at_its_steps_ends_in_the_same_bundle(orchestration):
    for point in EVERYWHERE if EVERY else FEW:
        killed = start(orchestration, *point)
        assert killed.returncode == -signal.SIGKILL, (point, killed.stderr[-2000:])

    done = start(orchestration)

    assert done.returncode == 0, done.stderr[-3000:]
    resumed, undisturbed = done.stdout.splitlines()[-1].split()
    assert resumed == undisturbed
    versions = [version for version in registry().list("iris") if version.digest == resumed]
    assert len(versions) == 1
    assert registry().bundle("iris", versions[0].version).digest == resumed
    assert registry().audit.verify().passed
    assert not torn(bundles_folder().parent), "a file whose name is a hash that its bytes do not have"


def torn(folder: Path) -> list[Path]:
    """Files named by content that hold something else; what killed writers left beside begins with a dot."""
    named = [p for p in folder.rglob("*") if p.is_file() and len(p.stem) == SHA256 and p.name[0] != "."]
    assert named
    of_content = [p for p in named if p.parent.name in {"frames", "objects"}]
    return [path for path in of_content if sha256_of(path.read_bytes()) != path.stem]
