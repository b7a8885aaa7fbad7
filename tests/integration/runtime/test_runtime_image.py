"""What the server brings along: the image's recipe without Docker, and nothing in the user's home."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelway.bundle.bundle import Bundle

ROOT = Path(__file__).parents[3]
TRAINING_SIDE = {
    "evidently", "fastapi", "feast", "kserve", "mlflow", "onnx", "optuna", "pandas", "polars", "prefect",
    "scikit-learn", "scipy", "torch", "typer", "zenml",
}  # fmt: skip


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=280, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def instructions(keyword: str) -> list[str]:
    joined = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in joined.splitlines() if line.startswith(f"{keyword} ")]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment, made by the Dockerfile's own two commands."""
    folder = tmp_path_factory.mktemp("image")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder / "wheels", ".")
    run(sys.executable, "-m", "venv", folder / "venv")
    (wheel,) = (folder / "wheels").glob("modelway-*.whl")
    run(folder / "venv" / "bin" / "pip", "install", "-q", f"{wheel}[serving]")
    return folder


def test_the_serving_extra_carries_no_training_stack(image: Path) -> None:
    listed = json.loads(run(image / "venv" / "bin" / "pip", "list", "--format", "json"))
    installed = {package["name"].lower() for package in listed}

    assert {"httptools", "onnxruntime", "pyarrow", "modelway"} <= installed
    assert installed.isdisjoint(TRAINING_SIDE)


def test_a_bundle_is_served_from_there(
    image: Path, bundle: Bundle, keys: Path, tmp_path: Path, begin: Any
) -> None:
    python = image / "venv" / "bin" / "python"
    where: Sequence[str] = ["--bundle", str(bundle.path), "--verify-key", str(keys / "verify.pem")]
    more = ["--revision", "r1", "--port", "0", "--log-dir", str(tmp_path / "log")]
    server = begin([str(python), "-m", "serving.runtime", *where, *more], cwd=tmp_path)
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [0.25, 0, 0]}
    answer = httpx.post(f"{server.url}/v2/models/echo/infer", json={"inputs": [tensor]}, timeout=30)

    assert answer.json()["outputs"][0]["data"] == [0.25]
    assert server.stop() == 0
    assert len(list((tmp_path / "log").glob("*.parquet"))) == 1


def test_the_dockerfile_copies_what_the_wheel_is_made_of(image: Path) -> None:
    (wheel,) = (image / "wheels").glob("*.whl")
    packages = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist() if ".dist-info" not in name}
    copied = {word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert packages <= copied <= allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_dockerfile_ends_as_an_ordinary_user_with_a_probe() -> None:
    assert len(instructions("FROM")) == 2
    assert instructions("USER") == ["10001"]
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["python", "-m", "serving.runtime"]
    assert re.search(r"/v2/health/ready", instructions("HEALTHCHECK")[0])
    assert any("[serving]" in line for line in instructions("RUN"))


def test_nothing_is_written_to_the_users_home(start: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """ONNX Runtime's wheels keep a telemetry database there, and send it, unless told otherwise in time."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    server = start()
    httpx.post(f"{server.url}/v1/models/echo:predict", json={"instances": [[0.5, 0, None]]}, timeout=30)

    assert server.stop() == 0
    assert list(tmp_path.rglob("*")) == []
