"""Names of the prediction log's files: no two processes that share a folder take the same."""

import os
import socket
from pathlib import Path

import pytest

from serving.runtime.opening import Opening
from serving.runtime.settings import Settings


def test_first_processes_of_two_containers_write_files_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for pod in ("paint-r2-predictor-7d-x2", "paint-r2-predictor-7d-q9"):
        monkeypatch.setattr(os, "getpid", lambda: 1)
        monkeypatch.setattr(socket, "gethostname", lambda pod=pod: pod)
        names.append(Opening(Path("verify.pem"), Settings(), None)._prefix("paint-v2"))

    assert names == ["paint-v2-paint-r2-predictor-7d-x2.1", "paint-v2-paint-r2-predictor-7d-q9.1"]


def test_workers_of_two_containers_write_files_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for pod in ("x2", "q9"):
        monkeypatch.setattr(os, "getpid", lambda: 8)
        monkeypatch.setattr(os, "getppid", lambda: 1)
        monkeypatch.setattr(socket, "gethostname", lambda pod=pod: pod)
        names.append(Opening(Path("verify.pem"), Settings(), None)._prefix("r1"))

    assert names == ["r1-x2.8", "r1-q9.8"]


def test_elsewhere_the_process_id_tells_them_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 7)
    assert Opening(Path("verify.pem"), Settings(), None)._prefix("r1") == f"r1-{os.getpid()}"
