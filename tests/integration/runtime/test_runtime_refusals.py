"""The reasons not to start, each in three lines and with its exit code."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modelway.bundle.bundle import Bundle
from modelway.bundle.signing import load_or_create_key

ROOT = Path(__file__).parents[3]


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving.runtime", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_tampered_bundle_is_refused(bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    (copy / "model.onnx").write_bytes(b"another")
    ended = refused(
        "--bundle", str(copy), "--verify-key", str(keys / "verify.pem"), "--revision", "r1", "--port", "0"
    )

    assert ended.returncode == 3
    assert ended.stderr.startswith("error: bundle rejected: model.onnx was altered\nexpected: ")
    assert ended.stderr.count("\n") == 3
    assert ended.stdout == ""


def test_a_bundle_of_another_key_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    load_or_create_key(tmp_path)
    ended = refused(
        "--bundle",
        str(bundle.path),
        "--verify-key",
        str(tmp_path / "verify.pem"),
        "--revision",
        "r1",
        "--port",
        "0",
    )

    assert ended.returncode == 3
    assert "MANIFEST.sig" in ended.stderr


@pytest.mark.parametrize("reuse", [False, True], ids=["plain", "shared-port"])
def test_a_busy_port_is_said_in_three_lines(bundle: Bundle, keys: Path, reuse: bool) -> None:
    with socket.socket() as taken:
        if reuse:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        where = ["--bundle", str(bundle.path), "--verify-key", str(keys / "verify.pem")]
        ended = refused(*where, "--revision", "r1", "--port", port)

    assert ended.returncode == 3
    assert ended.stderr.startswith(
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use\nexpected: "
    )
    assert ended.stderr.count("\n") == 3


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--workers", "0"], "1 or more processes"),
        (["--revision", "../r"], "letters, digits"),
        (["--port", "70000"], "0 to 65535"),
    ],
)
def test_a_wrong_option_is_a_usage_error(bundle: Bundle, keys: Path, more: list[str], says: str) -> None:
    where = ["--bundle", str(bundle.path), "--verify-key", str(keys / "verify.pem")]
    ended = refused(*where, "--revision", "r1", "--port", "0", *more)

    assert ended.returncode == 2
    assert says in ended.stderr
