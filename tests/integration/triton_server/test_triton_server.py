"""NVIDIA's own server answers like our graph.

In a process of its own: tritonclient and the KServe SDK register the same protocol buffers.
"""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.accelerator("triton")
def test_tritons_own_server_serves_what_we_rendered() -> None:
    cases = Path(__file__).with_name("triton_server_cases.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", str(cases)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert "passed" in run.stdout
    assert "skipped" not in run.stdout
