"""Clients that we did not write, against a real server: tritonclient and the KServe SDK, HTTP and gRPC."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from modelway.bundle.bundle import Bundle
from modelway.bundle.signing import VERIFY_KEY_FILE


def grpc_address(server: Any) -> str:
    return f"127.0.0.1:{server.said[0]['grpc_port']}"


def run_cases(server: Any, cases: str, which: str = "test") -> None:
    """Run a client's cases in a process of their own; finding none fails too."""
    where = {
        "MODELWAY_TEST_HTTP": server.url.removeprefix("http://"),
        "MODELWAY_TEST_GRPC": grpc_address(server),
    }
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-q",
            str(Path(__file__).with_name(cases)),
            "-k",
            which,
        ],
        env={**os.environ, **where},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


def test_tritonclient_gets_what_the_specification_says(speaking: Any) -> None:
    run_cases(speaking, "triton_cases.py", "not loads_and_unloads")


def test_the_clients_of_kserve_get_what_the_specification_says(speaking: Any) -> None:
    run_cases(speaking, "kserve_cases.py")


def test_tritonclient_loads_and_unloads(begin: Any, bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    for version in ("1", "2"):
        shutil.copytree(bundle.path, tmp_path / "echo" / version)
    key = ("--verify-key", str(keys / VERIFY_KEY_FILE), "--repository", str(tmp_path))
    ports = ("--port", "0", "--grpc-port", "0", "--model-control")
    server = begin([sys.executable, "-m", "serving.runtime", *key, *ports])

    run_cases(server, "triton_cases.py", "loads_and_unloads")
