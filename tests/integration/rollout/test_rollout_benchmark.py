"""The judge's benchmark: its arrays must end every replayed rollout as the real driver does."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "judge.py"


@pytest.mark.parametrize(
    "row", ["A/A, errors 0.02 %", "a bad day", "counts missing from 30", "errors 1 %", "slow 60"]
)
def test_arrays_and_driver_agree_and_the_bounds_hold(row: str) -> None:
    command = [sys.executable, str(SCRIPT), "--rollouts", "40", "--seed", "3", "--only", row]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert row in done.stdout
